// Which kernels a pass and its readings have; kernels.ts makes them.

import type { Kernel } from '../kernel.ts';
import type { ReadingPlan } from './passes.ts';

/** Of one reading; what it does not need is undefined. */
export interface ReadingKernels {
  readonly shift: Kernel | undefined;
  readonly sum: Kernel | undefined;
  readonly poolSums: Kernel | undefined;
  /** One for each selection, and what goes before where rows are split. */
  readonly select: readonly Kernel[];
  readonly count: readonly (Kernel | undefined)[];
}

export interface PassKernels {
  readonly left: Kernel | undefined;
  readonly right: Kernel | undefined;
  readonly scores: Kernel;
  readonly statistics: Kernel | undefined;
  readonly readings: ReadonlyMap<ReadingPlan, ReadingKernels>;
}
