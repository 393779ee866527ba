// What a back-end of the attention kernel is: how tiles are loaded and multiplied. Arguments, units and the walk
// are the same for all; elements, scores, the softmax and results are sections that a back-end takes as it needs.

import type { Expression } from '../../dsl/expression.ts';
import type { Names } from '../names.ts';
import type { KernelPass } from './passes.ts';
import type { TileKnobs } from './tiles.ts';

/** What the sections of a kernel are written from. A back-end may have more knobs than the common ones. */
export interface KernelContext<Knobs extends TileKnobs = TileKnobs> {
  readonly dtype: 'fp16' | 'bf16';
  readonly headDim: number;
  readonly valueDim: number;
  /** Packed sequences by cumulative lengths. */
  readonly segments: boolean;
  readonly knobs: Knobs;
  readonly passes: readonly KernelPass[];
  readonly score: Expression | undefined;
  readonly names: Names;
}

/** A way to write attention kernels. All functions are pure. */
export interface AttentionBackend<Knobs extends TileKnobs = TileKnobs> {
  /** Files of codegen/device that its copies and products need. */
  readonly primitives: readonly string[];
  /** Threads of a block. */
  readonly threads: (context: KernelContext<Knobs>) => number;
  /** Dynamic shared memory of a block, in bytes. */
  readonly sharedBytes: (context: KernelContext<Knobs>) => number;
  /**
   * Sizes by name, above all other text. The walk needs `k_tile`; scores, softmax and results need
   * `row_blocks`, `score_blocks`, `value_blocks` and `key_steps`.
   */
  readonly constants: (context: KernelContext<Knobs>) => string;
  /** All that follows `Arguments`, `Unit` and `advance`, down to the kernel `attention`. */
  readonly body: (context: KernelContext<Knobs>) => string;
}
