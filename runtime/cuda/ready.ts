// What calls of one kind share on a machine: the first of them makes it ready, later ones only fill addresses in.

import type { ShapeError } from '../../dsl/diagnostic.ts';
import type { NeededRows } from '../../dsl/estimate/needed.ts';
import type { EstimateGraph } from '../../dsl/estimate/trace.ts';
import type { BackendCall } from '../backend.ts';
import { bytesPerElement } from '../dtype.ts';
import { type ReadyAttention, type ReadyEstimate, valuesDecide } from './calls.ts';
import { notNumber } from './error-words.ts';
import { type Layout, layoutOf } from './layout.ts';
import type { Machine } from './machine.ts';
import { Sequences } from './sequence.ts';
import type { SetFacts } from './sets.ts';

/** Kept as long as the kind of call is. */
export interface ReadyKind {
  readonly results: Layout;
  readonly parts: readonly ReadyPart[];
  readonly sequences: Sequences;
  /** The error that a word of the kernels stands for. */
  explain(word: bigint): ShapeError;
}

export interface ReadyPart {
  /** Not once for all calls of the kind. */
  readonly isProvedAlways: boolean;
  /** Of the latest call, and what it knew of its sets. */
  attention?: ReadyAttention;
  /** Of the heads that chose too much, in calls whose heads may fall back. */
  hull?: ReadyAttention;
  sets?: KnownSets;
  /** What the first head chooses. */
  graph?: EstimateGraph;
  /** The rows of its sets that matter, once sets were passed that have not all. */
  rows?: NeededRows;
  estimate?: ReadyEstimate;
}

/** By name. */
export type KnownSets = Readonly<Record<string, SetFacts>>;

/** Whether a kernel that was made ready for one set serves another. */
export const isLike = (a: SetFacts, b: SetFacts): boolean =>
  a.perGroup === b.perGroup &&
  a.most === b.most &&
  a.domain.rowFrom === b.domain.rowFrom &&
  a.domain.rows === b.domain.rows &&
  a.domain.columns === b.domain.columns &&
  a.domain.arity === b.domain.arity;

export function readyKindOf({ parts, checked }: BackendCall, machine: Machine): ReadyKind {
  const { q, shape } = checked;
  const { heads, valueDim } = shape;
  const [batch = 0, , qLen = 0] = q.shape;
  const rows = batch * heads * qLen;
  return {
    results: layoutOf([
      { name: 'out', bytes: rows * valueDim * bytesPerElement[q.dtype] },
      { name: 'lse', bytes: rows * 4 },
    ]),
    parts: parts.map(({ definition }) => ({ isProvedAlways: valuesDecide(definition) })),
    sequences: new Sequences(machine),
    explain: (word) => notNumber(word, heads),
  };
}
