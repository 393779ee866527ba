// The forms of plans that have tiles of their own, and what a measured tile is.

import type { HopperKnobs } from './knobs.ts';

/**
 * What tiles a kernel is best made of depends on how its keys are walked over: ranges, or anything else tile by tile;
 * sets at distances or of blocks that differ by 64 rows; sets of blocks that rows of several heads ask together. Scores that
 * take a tanh of each product cost more than their products: they have tiles of their own where nothing else has.
 */
export const planForms = ['ranges', 'capped', 'distances', 'blocks', 'shared'] as const;
export type PlanForm = (typeof planForms)[number];

/** A measured tile: for heads of up to `dim` and calls of up to `upTo` keys. */
export interface DefaultRow {
  readonly form: PlanForm;
  readonly dim: number;
  readonly upTo: number;
  readonly knobs: HopperKnobs;
  /** On which chip, by what, and when. */
  readonly measured: string;
}
