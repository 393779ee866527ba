// What an attention kernel is made for.

import type { Declarations } from '../../dsl/declarations.ts';
import type { Expression } from '../../dsl/expression.ts';
import type { TileKnobs } from './tiles.ts';

/** Everything that a kernel is made for. Lengths, batch, heads, strides and other parameters are arguments. */
export interface AttentionSpec<Knobs extends TileKnobs = TileKnobs> {
  readonly declarations: Declarations;
  readonly mask: Expression;
  readonly score: Expression | undefined;
  /** Values of the fixed parameters. */
  readonly fixed: Readonly<Record<string, number>>;
  /** The set whose keys are gathered as columns. */
  readonly gather: string | undefined;
  /** Size of the pools of stand-ins. */
  readonly restSize: number | undefined;
  /** Sets that are one per KV head. */
  readonly perGroup: ReadonlySet<string>;
  readonly dtype: 'fp16' | 'bf16';
  readonly headDim: number;
  readonly valueDim: number;
  /** Packed sequences by cumulative lengths. */
  readonly segments: boolean;
  /** Whether another kernel attends to some of the units (turns.ts). */
  readonly hasTurns?: boolean;
  readonly knobs: Knobs;
}
