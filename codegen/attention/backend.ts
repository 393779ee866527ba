// What a back-end of the attention kernel is: how tiles are loaded and multiplied. Arguments, units and the walk
// are the same for all; elements, scores, the softmax and results are sections that a back-end takes as it needs.

import type { BoxMap, Buffer, Place, Step } from '../kernel.ts';
import type { Names } from '../names.ts';
import type { Field } from '../struct.ts';
import type { CallFacts } from './call.ts';
import type { Exponent } from './exponent.ts';
import type { KernelPass } from './passes.ts';
import type { AttentionSpec } from './spec.ts';
import type { TileKnobs } from './tiles.ts';

/** What the sections of a kernel are written from. A back-end may have more knobs than the common ones. */
export interface KernelContext<Knobs extends TileKnobs = TileKnobs>
  extends Pick<
    AttentionSpec<Knobs>,
    'dtype' | 'headDim' | 'valueDim' | 'segments' | 'hasTurns' | 'knobs'
  > {
  readonly passes: readonly KernelPass[];
  /** Undefined: the scaled logit. */
  readonly score: Exponent | undefined;
  readonly names: Names;
  /** Is a mask the same for all query heads of a KV head, and a score? */
  readonly headsAlike: boolean;
  /** No less than the bytes of `Unit`. */
  readonly unitBytes: number;
}

/** One launch of a kernel for a call: how many blocks, and the arguments that are the back-end's own. */
export interface KernelLaunch {
  readonly blocks: number;
  readonly args: Readonly<Record<string, number>>;
  readonly buffers: Readonly<Record<string, Place>>;
  readonly maps?: Readonly<Record<string, Place & BoxMap>>;
  /** Of its own: memory, and what has to be done before. */
  readonly workspace?: readonly Buffer[];
  readonly before?: readonly Step[];
}

/** What a launch is made from: query tiles of a unit, and units (query heads of a batch entry). */
export interface LaunchRequest {
  readonly call: CallFacts;
  readonly tiles: number;
  readonly units: number;
  /** Entries that a list of columns has room for. */
  readonly columnsCapacity: number;
}

/** A way to write attention kernels. All functions are pure. */
export interface AttentionBackend<Knobs extends TileKnobs = TileKnobs> {
  /** Files of codegen/device that its copies and products need. */
  readonly primitives: readonly string[];
  /** Does it ask for scores as exponents less a reference that it knows before? */
  readonly relative?: boolean;
  /** Can its products have the part that each key has in a bias that is linear in the key? */
  readonly ramps?: (
    spec: Pick<AttentionSpec<Knobs>, 'knobs' | 'valueDim'>,
    passes: readonly KernelPass[],
  ) => boolean;
  /** Why there is no such kernel, or undefined. */
  readonly problem?: (context: KernelContext<Knobs>) => string | undefined;
  /** Threads of a block. */
  readonly threads: (context: KernelContext<Knobs>) => number;
  /** Dynamic shared memory of a block, in bytes. */
  readonly sharedBytes: (context: KernelContext<Knobs>) => number;
  /** The arguments beside those of the unit, in their order. */
  readonly fields: (context: KernelContext<Knobs>) => readonly Field[];
  /**
   * Sizes by name, above all other text. The walk needs `k_tile`; scores, softmax and results need
   * `row_blocks`, `score_blocks`, `value_blocks` and `key_steps`.
   */
  readonly constants: (context: KernelContext<Knobs>) => string;
  /** All that follows `Arguments`, `Unit` and the masks, down to the kernel `attention`. */
  readonly body: (context: KernelContext<Knobs>) => string;
  readonly launch: (context: KernelContext<Knobs>, request: LaunchRequest) => KernelLaunch;
}
