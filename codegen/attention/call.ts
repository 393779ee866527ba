// A call of an attention kernel, as far as a launch depends on it: sizes, strides, and what the pattern is given.

import type { SetDomain } from '../../dsl/chosen.ts';
import type { Declarations } from '../../dsl/declarations.ts';
import type { BoundParameters } from '../../dsl/given.ts';
import type { LaunchShape } from '../../dsl/shape.ts';

/** Steps in elements from one batch entry, head and row to the next. */
export interface RowStrides {
  readonly batch: number;
  readonly head: number;
  readonly row: number;
}

/** Cumulative lengths of packed sequences, from 0: [batch + 1] each. */
export interface Segments {
  readonly q: readonly number[];
  readonly k: readonly number[];
}

/** What a launch attends by, where two share the units of a call out between them. */
export type Turn = 'chosen' | 'hull';

export interface CallFacts {
  /** Where another launch attends to the other units: which of the two this is. Reads the buffer `fallen`. */
  readonly turn?: Turn | undefined;
  readonly declarations: Declarations;
  readonly dtype: 'fp16' | 'bf16';
  /** With segments: `batch` is their number, `qLen` and `kLen` the longest. */
  readonly shape: LaunchShape;
  readonly strides: Readonly<Record<'q' | 'k' | 'v' | 'out', RowStrides>>;
  /** The query heads of this launch; all of them, when left out. Their numbers are the buffer `head_list`. */
  readonly headList?: readonly number[] | undefined;
  /** One number per name, or one per head: the buffer `params` (see `paramsOf`). */
  readonly params: BoundParameters;
  /** Buffers `set <name>`: bits [units, rows, stride]. */
  readonly sets: Readonly<
    Record<
      string,
      {
        readonly domain: SetDomain;
        readonly perGroup: boolean;
        /** No row has more members. */
        readonly most: number;
      }
    >
  >;
  /** Buffers `tensor <name>`: row-major. */
  readonly captured: Readonly<Record<string, { readonly shape: readonly number[] }>>;
  /** Buffers `q_starts` and `k_starts`. */
  readonly segments?: Segments | undefined;
  /** Blocks that run at the same time where each takes a whole multiprocessor. */
  readonly multiprocessors: number;
}
