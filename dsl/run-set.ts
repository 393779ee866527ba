// A set of which every row is one run of columns that is told, not stored: what may be chosen, for plans made before
// anything is.

import { BitSet, type RowRange, type SetDomain } from './chosen.ts';

export class RunSet extends BitSet {
  readonly #runOf: (row: number) => RowRange;

  /** `runOf`: the columns `[from, to)` of a row of the domain; those outside of the domain are left out. */
  constructor(domain: SetDomain, runOf: (row: number) => RowRange) {
    super(domain, new Uint32Array(0));
    this.#runOf = runOf;
  }

  /** Empty for rows outside the domain. */
  run(row: number): RowRange {
    const { rowFrom, rows, columns } = this.domain;
    if (row < rowFrom || row >= rowFrom + rows) return { from: 0, to: 0 };
    const { from, to } = this.#runOf(row);
    return { from: Math.max(0, from), to: Math.min(to, columns) };
  }

  override hasIn(row: number, column: number): boolean {
    const { from, to } = this.run(row);
    return column >= from && column < to;
  }

  override count(row: number, from = 0, to: number = this.domain.columns): number {
    const run = this.run(row);
    return Math.max(0, Math.min(to, run.to) - Math.max(from, run.from));
  }

  override members(row = 0, from = 0, to: number = this.domain.columns): Int32Array {
    const first = Math.max(from, this.run(row).from);
    const result = new Int32Array(this.count(row, from, to));
    for (let i = 0; i < result.length; i += 1) result[i] = first + i;
    return result;
  }

  override runs(r0 = 0, r1: number = r0, over: 'any' | 'every' = 'any'): Int32Array {
    const { rowFrom, rows } = this.domain;
    const [first, last] = [Math.max(r0, rowFrom), Math.min(r1, rowFrom + rows - 1)];
    const own = Array.from({ length: Math.max(0, last - first + 1) }, (_, i) =>
      this.run(first + i),
    );
    if (own.length === 0) return new Int32Array(0);
    if (over === 'every') {
      const from = Math.max(...own.map((run) => run.from));
      const to = Math.min(...own.map((run) => run.to));
      return Int32Array.from(from < to ? [from, to] : []);
    }
    const result: number[] = [];
    for (const { from, to } of own.sort((a, b) => a.from - b.from)) {
      if (from >= to) continue;
      if (result.length > 0 && from <= result.at(-1)!)
        result[result.length - 1] = Math.max(result.at(-1)!, to);
      else result.push(from, to);
    }
    return Int32Array.from(result);
  }
}
