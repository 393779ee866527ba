// Where a stream of rows goes: to the selections row by row, or into sums over rows, heads, columns or
// distances. Open weights (behind exp) are summed under a running maximum. No scores and no selection.

import { type Grid, type Line, visibleEnd } from '../../../dsl/estimate/axes.ts';
import { expOfNegative } from './exponential.ts';

/** Rows `[from, to)` of one head: scores, or weights after softmax. */
export interface Chunk {
  readonly from: number;
  readonly to: number;
  /** Row i starts at `i * stride`; its first entry belongs to column `firstColumn`. */
  readonly values: Float32Array;
  readonly stride: number;
  readonly firstColumn: number;
  /** The end of the columns that row i sees. */
  readonly ends: Int32Array;
  /** The largest value that row i sees, -Infinity when it sees none. */
  readonly maxima: Float64Array;
}

/** Takes a finished row: `weights[0]` belongs to column `from`. */
export type Emit = (row: number, weights: Float32Array, from: number, to: number) => void;

export interface Sink {
  take(chunk: Chunk): void;
  /** All heads have given the rows before `next`; `done` after the last row. */
  finish(next: number, done: boolean): void;
}

/** The end of the columns that a row of blocks sees: what its last query sees. */
export function visibleEndOfBlock(grid: Grid, rows: Line, columns: Line, row: number): number {
  const position = Math.min(rows.end, (row + 1) * rows.size) - 1;
  const fine = Math.floor(position / grid.rows.size);
  const end = visibleEnd(grid.rows, grid.columns, grid.causal, fine);
  return Math.ceil((end * grid.columns.size) / columns.size);
}

/** Rows as they are: each is emitted at once. */
export function directRows(open: boolean, emit: Emit): Sink {
  let scratch = new Float32Array(0);
  return {
    take({ from, to, values, stride, firstColumn, ends, maxima }) {
      for (let row = from; row < to; row++) {
        const i = row - from;
        const count = ends[i]! - firstColumn;
        const at = i * stride;
        if (!open) {
          emit(row, values.subarray(at, at + count), firstColumn, ends[i]!);
          continue;
        }
        if (scratch.length < count) scratch = new Float32Array(stride);
        for (let c = 0; c < count; c++) scratch[c] = expOfNegative(values[at + c]! - maxima[i]!);
        emit(row, scratch, firstColumn, ends[i]!);
      }
    },
    finish() {},
  };
}

interface SumOptions {
  readonly grid: Grid;
  /** The rows that are emitted, or undefined for one sum over all rows. */
  readonly rows: Line | undefined;
  /** The columns that are emitted. */
  readonly columns: Line;
  readonly open: boolean;
}

/**
 * Sums of rows to blocks of rows and of columns to blocks of columns, over all heads that give rows. A
 * row of sums is emitted when its last fine row has been given; at most one chunk of them is held.
 */
export class Sums implements Sink {
  readonly #options: SumOptions;
  readonly #emit: Emit;
  readonly #width: number;
  /** Fine columns per column. */
  readonly #span: number;
  #first: number;
  /** Rows from #first on; each has `width` sums under the maximum `shifts`. */
  #sums = new Float64Array(0);
  #shifts = new Float64Array(0);
  #row = new Float32Array(0);

  constructor(options: SumOptions, emit: Emit) {
    this.#options = options;
    this.#emit = emit;
    this.#width = options.columns.to;
    this.#span = options.columns.size / options.grid.columns.size;
    this.#first = options.rows?.from ?? 0;
  }

  take(chunk: Chunk): void {
    if (chunk.from === chunk.to) return;
    this.#reserve(this.#rowOf(chunk.to - 1) - this.#first + 1);
    for (let row = chunk.from; row < chunk.to; ) {
      const block = this.#rowOf(row);
      let end = row + 1;
      while (end < chunk.to && this.#rowOf(end) === block) end += 1;
      this.#addRows(chunk, row, end, block - this.#first);
      row = end;
    }
  }

  finish(next: number, done: boolean): void {
    const { rows, grid, columns } = this.#options;
    if (!rows) {
      if (done) this.#emitRow(0, 0, columns.from, this.#width);
      return;
    }
    const end = done ? rows.to : this.#rowOf(next);
    this.#reserve(end - this.#first);
    for (let row = this.#first; row < end; row++) {
      this.#emitRow(
        row,
        row - this.#first,
        columns.from,
        visibleEndOfBlock(grid, rows, columns, row),
      );
    }
    // What is left moves to the front, the rest is empty again.
    const gone = end - this.#first;
    const left = this.#shifts.length - gone;
    this.#sums.copyWithin(0, gone * this.#width);
    this.#sums.fill(0, left * this.#width);
    this.#shifts.copyWithin(0, gone);
    this.#shifts.fill(-Infinity, left);
    this.#first = end;
  }

  #rowOf(fine: number): number {
    const { rows, grid } = this.#options;
    return rows ? Math.floor((fine * grid.rows.size) / rows.size) : 0;
  }

  #reserve(rows: number): void {
    if (this.#shifts.length >= rows) return;
    const sums = new Float64Array(rows * this.#width);
    const shifts = new Float64Array(rows).fill(-Infinity);
    sums.set(this.#sums);
    shifts.set(this.#shifts);
    this.#sums = sums;
    this.#shifts = shifts;
  }

  #addRows(chunk: Chunk, from: number, to: number, slot: number): void {
    const { open } = this.#options;
    let shift = 0;
    if (open) {
      shift = this.#shifts[slot]!;
      let maximum = shift;
      for (let row = from; row < to; row++) {
        maximum = Math.max(maximum, chunk.maxima[row - chunk.from]!);
      }
      if (maximum > shift) rescale(this.#sums, slot * this.#width, this.#width, shift - maximum);
      this.#shifts[slot] = maximum;
      shift = maximum;
    }
    const { values, stride, firstColumn } = chunk;
    const base = slot * this.#width;
    const sums = this.#sums;
    const span = this.#span;
    for (let row = from; row < to; row++) {
      const i = row - chunk.from;
      const count = chunk.ends[i]! - firstColumn;
      const at = i * stride;
      if (span === 1) {
        const target = base + firstColumn;
        if (open)
          for (let c = 0; c < count; c++)
            sums[target + c]! += expOfNegative(values[at + c]! - shift);
        else for (let c = 0; c < count; c++) sums[target + c]! += values[at + c]!;
        continue;
      }
      for (let c = 0; c < count; ) {
        const block = Math.floor((firstColumn + c) / span);
        const end = Math.min(count, (block + 1) * span - firstColumn);
        let sum = 0;
        if (open) for (; c < end; c++) sum += expOfNegative(values[at + c]! - shift);
        else for (; c < end; c++) sum += values[at + c]!;
        sums[base + block]! += sum;
      }
    }
  }

  #emitRow(row: number, slot: number, from: number, to: number): void {
    if (this.#row.length < this.#width) this.#row = new Float32Array(this.#width);
    const start = slot * this.#width;
    // The slot is missing when nothing was ever given: zeros.
    for (let c = from; c < to; c++) this.#row[c - from] = this.#sums[start + c] ?? 0;
    this.#emit(row, this.#row, from, to);
  }
}

function rescale(sums: Float64Array, from: number, count: number, exponent: number): void {
  const factor = exponent === -Infinity ? 0 : expOfNegative(exponent);
  for (let i = from; i < from + count; i++) sums[i]! *= factor;
}

/** Sums per distance `q - k >= 0` over all rows and heads; rows and columns are single tokens. */
export function distanceSums(length: number, open: boolean, emit: Emit): Sink {
  const sums = new Float64Array(length);
  let shift = -Infinity;
  return {
    take({ from, to, values, stride, firstColumn, ends }) {
      const endOf = (row: number) => Math.min(ends[row - from]!, row + 1);
      if (open) {
        // The maximum over what is summed: keys after the query are not, without causal().
        let maximum = shift;
        for (let row = from; row < to; row++) {
          const at = (row - from) * stride - firstColumn;
          for (let c = firstColumn; c < endOf(row); c++) {
            if (values[at + c]! > maximum) maximum = values[at + c]!;
          }
        }
        if (maximum > shift) rescale(sums, 0, length, shift - maximum);
        shift = maximum;
      }
      for (let row = from; row < to; row++) {
        const at = (row - from) * stride - firstColumn;
        const end = endOf(row);
        if (open)
          for (let c = firstColumn; c < end; c++)
            sums[row - c]! += expOfNegative(values[at + c]! - shift);
        else for (let c = firstColumn; c < end; c++) sums[row - c]! += values[at + c]!;
      }
    },
    finish(_next, done) {
      if (done) emit(0, Float32Array.from(sums), 0, length);
    },
  };
}
