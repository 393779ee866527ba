// How fast, never what: the knobs of a schedule, and the language in which an author may state which
// keys a query tile visits. A stated schedule is checked against the mask (coverage.ts), never trusted.

import { type Diagnostic, diagnostic } from './diagnostic.ts';

/** One value, or several for the tuner to choose from; the first is used untuned. */
type Stated<Value> = Value | readonly Value[];

/** Everything a schedule may say. What a chip does not know is left aside there. */
export interface Knobs {
  /** Query rows per tile. */
  readonly qTile?: Stated<number>;
  /** Keys per tile. */
  readonly kTile?: Stated<number>;
  /** Warps per thread block that compute (CUDA). */
  readonly warps?: Stated<number>;
  /** K/V tiles in flight (CUDA). */
  readonly stages?: Stated<number>;
  /** Thread blocks that share a multiprocessor (CUDA). */
  readonly blocks?: Stated<number>;
  /** Tiles of queries in shared memory: with 2, the next one begins while this one ends (Hopper). */
  readonly qBuffers?: Stated<1 | 2>;
  /** Warpgroups take turns at the tensor cores (Hopper). */
  readonly pingPong?: Stated<boolean>;
  /** Weights relative to the highest score of the first step, or to the highest so far (Hopper). */
  readonly softmax?: Stated<'speculative' | 'classic'>;
  /** Boxes of keys in a slot: with 2 or 3 each warpgroup asks for its own (Hopper). */
  readonly boxes?: Stated<1 | 2 | 3>;
  /** Query heads of a KV head whose rows share a tile, where the pattern treats them alike (Hopper). */
  readonly headsPerTile?: Stated<number>;
  /**
   * Which tiles of queries come first: query head after query head, KV head after KV head, the longest of so many heads
   * as fit the cache, or the longest of all (Hopper).
   */
  readonly work?: Stated<'head' | 'heads' | 'sections' | 'longest'>;
  /** Which key tiles come first. */
  readonly order?: 'ascending' | 'descending';
  /** A set of single keys whose K and V rows are packed once per head. */
  readonly gather?: string;
}

/** Integers from 1 on. */
const limits = {
  ...{ qTile: 256, kTile: 256, warps: 16, stages: 8, blocks: 2 },
  ...{ qBuffers: 2, boxes: 3, headsPerTile: 16 },
} as const;

const words = {
  pingPong: [true, false],
  softmax: ['speculative', 'classic'],
  work: ['head', 'heads', 'sections', 'longest'],
} as const;

/** Unknown knobs, and values that no device could run. */
export function checkKnobs(
  pattern: string,
  knobs: Knobs,
  setArity: (name: string) => number | undefined,
): Diagnostic[] {
  const findings: Diagnostic[] = [];
  for (const [name, value] of Object.entries(knobs)) {
    const list: unknown[] = Array.isArray(value) ? value : [value];
    if (name in limits) {
      const high = limits[name as keyof typeof limits];
      const bad = list.find(
        (one) => typeof one !== 'number' || !Number.isInteger(one) || one < 1 || one > high,
      );
      if (list.length === 0 || bad !== undefined) {
        findings.push(
          diagnostic('S001', `${name} of '${pattern}' is ${String(bad)}`, {
            help: `give an integer from 1 to ${high}, or a list of them`,
          }),
        );
      }
    } else if (name in words) {
      const known: readonly unknown[] = words[name as keyof typeof words];
      const bad = list.find((one) => !known.includes(one));
      if (list.length === 0 || bad !== undefined) {
        const shown = known.map((one) => (typeof one === 'string' ? `'${one}'` : String(one)));
        findings.push(
          diagnostic('S001', `${name} of '${pattern}' is ${String(bad)}`, {
            help: `write ${shown.slice(0, -1).join(', ')} or ${shown.at(-1)}, or a list of them`,
          }),
        );
      }
    } else if (name === 'order') {
      if (value !== 'ascending' && value !== 'descending') {
        findings.push(
          diagnostic('S001', `order of '${pattern}' is ${String(value)}`, {
            help: "write 'ascending' or 'descending'",
          }),
        );
      }
    } else if (name === 'gather') {
      if (setArity(String(value)) !== 1) {
        findings.push(
          diagnostic(
            'S002',
            `gather of '${pattern}' names '${String(value)}', which is no set of single keys`,
            { help: 'name a set that the estimate returns and the mask asks with .has(k)' },
          ),
        );
      }
    } else {
      findings.push(
        diagnostic('S001', `'${name}' is no knob of a schedule`, {
          help: `it has ${[...Object.keys(limits), ...Object.keys(words)].join(', ')}, order and gather`,
        }),
      );
    }
  }
  return findings;
}

/** Tile sizes of an untuned plan: 64 x 64 serves every pattern and is the grain of the estimates. */
export function tileSizes(knobs: Knobs): { qTile: number; kTile: number } {
  const first = (value: number | readonly number[] | undefined) =>
    (typeof value === 'object' ? value[0] : value) ?? 64;
  return { qTile: first(knobs.qTile), kTile: first(knobs.kTile) };
}

/** Keys `[from, to)`. */
export interface KeySpan {
  readonly from: number;
  readonly to: number;
}

/** What a stated schedule sees of one query tile. */
export interface VisitInputs {
  /** Positions of the tile's first and last query, inclusive, and the lengths. */
  readonly tile: {
    readonly q0: number;
    readonly q1: number;
    readonly qLen: number;
    readonly kLen: number;
    readonly head: number;
    readonly batch: number;
  };
  /** Keys `[from, to)`; what lies outside the sequence is cut off. */
  span(from: number, to: number): readonly KeySpan[];
  /** Several spans; those that touch or overlap become one. */
  union(...spans: readonly (readonly KeySpan[])[]): readonly KeySpan[];
}

export type VisitProgram = (inputs: VisitInputs, numbers: never) => readonly KeySpan[];

/** Sorted, disjoint, non-empty spans inside `[0, kLen)`. */
export function mergeSpans(spans: readonly KeySpan[], kLen: number): KeySpan[] {
  const inside = spans
    .map(({ from, to }) => ({
      from: Math.max(0, Math.floor(from)),
      to: Math.min(kLen, Math.ceil(to)),
    }))
    .filter(({ from, to }) => from < to)
    .sort((a, b) => a.from - b.from);
  const merged: { from: number; to: number }[] = [];
  for (const span of inside) {
    const last = merged.at(-1);
    if (last && span.from <= last.to) last.to = Math.max(last.to, span.to);
    else merged.push({ ...span });
  }
  return merged;
}
