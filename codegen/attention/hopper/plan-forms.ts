// The forms of plans that have tiles of their own, and what a measured tile is.

import { formulaOf } from '../../../dsl/analysis/formula.ts';
import { type Expression, walk } from '../../../dsl/expression.ts';
import { positional } from '../../keys.ts';
import type { AttentionSpec } from '../spec.ts';
import type { HopperKnobs } from './knobs.ts';

/**
 * What tiles a kernel is best made of depends on how its keys are walked over: ranges, or anything else tile by tile;
 * sets at distances or of blocks that differ by 64 rows; sets of blocks that rows of several heads ask together. Where
 * ranges leave nothing out, `full`, or later keys alone, `causal`, rows of tiles are long, and those of more queries move
 * less; a score function costs more beside products, and a tanh of each, `capped`, more than they.
 */
export const planForms = [
  'ranges',
  'full',
  'causal',
  'scored',
  'capped',
  'distances',
  'blocks',
  'shared',
] as const;
export type PlanForm = (typeof planForms)[number];

/** The form of what is walked over tile by tile, by what is asked of a pair and what becomes of its score. */
export function rangesForm({ mask, score }: Pick<AttentionSpec, 'mask' | 'score'>): PlanForm {
  if (score) return [...walk(score)].some(isTanh) ? 'capped' : 'scored';
  const formula = formulaOf(positional(mask));
  if (formula.op === 'true') return 'full';
  return formula.op === 'linear' && formula.q === -1 && formula.k === 1 ? 'causal' : 'ranges';
}

const isTanh = (part: Expression): boolean => part.op === 'unary' && part.name === 'tanh';

/** A measured tile: for heads of up to `dim` and calls of up to `upTo` keys. */
export interface DefaultRow {
  readonly form: PlanForm;
  readonly dim: number;
  readonly upTo: number;
  readonly knobs: HopperKnobs;
  /** On which chip, by what, and when. */
  readonly measured: string;
}
