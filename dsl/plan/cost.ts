// What a plan costs beside dense attention, in steps. How many of them a query tile takes is walk.ts; how long anything
// takes is not here.

import { boxOf } from '../analysis/box.ts';
import { formulaOf } from '../analysis/formula.ts';
import { possible } from '../analysis/possible.ts';
import { and, compare, index } from '../expression.ts';
import { queryOffset } from '../shape.ts';
import { spread } from '../spread.ts';
import type { UnitPlan } from './unit.ts';
import { type Stretch, stepsIn, stretchesOf } from './walk.ts';

/**
 * A step over a tile whose mask is evaluated, in steps over a full tile. The only constant of the cost
 * model: a masked step evaluates one expression per pair beside its two products.
 */
export const partialStep = 1.2;

/** Steps of query tiles without and with a mask. */
export interface Steps {
  readonly plain: number;
  readonly masked: number;
}

/** In steps over full tiles. */
export const weighted = ({ plain, masked }: Steps): number => plain + masked * partialStep;

/** The steps of one query tile beside those of others. Stand-ins are gathered into steps, and these are masked. */
export function addSteps(upto: Steps, own: readonly Stretch[], kTile: number): Steps {
  let [{ plain, masked }, standIns] = [upto, 0];
  for (const stretch of own) {
    const steps = stepsIn(stretch, kTile);
    if (stretch.kind === 'rest') standIns += steps;
    else if (stretch.full) plain += steps;
    else masked += steps;
  }
  return { plain, masked: masked + Math.ceil(standIns / kTile) };
}

/** The weighted steps of a plan as a share of those of dense attention, from `sample` evenly spaced query tiles. */
export function costShare(plan: UnitPlan, sample: number): number {
  const tiles = spread(plan.tiles, sample);
  let steps: Steps = { plain: 0, masked: 0 };
  for (const tile of tiles) steps = addSteps(steps, stretchesOf(plan, tile), plan.kTile);
  const { causalCost, all } = denseSteps(plan);
  const dense = isCausal(plan) ? causalCost : all;
  return dense === 0 ? 0 : ((weighted(steps) / tiles.length) * plan.tiles) / dense;
}

/** Is it proved that no query attends to a key after it? */
export function isCausal({ mask, binding }: UnitPlan): boolean {
  const { shape } = binding;
  if (shape.qLen === 0 || shape.kLen === 0) return true;
  const ahead = formulaOf(and(mask, compare('lt', index('q'), index('k'))));
  const all = boxOf(queryOffset(shape), shape.kLen - 1, 0, shape.kLen - 1);
  return possible(ahead, all, binding).is === 'no';
}

/** Key tiles of the grid, those up to the diagonal, and the weighted steps of the latter. */
export function denseSteps(plan: UnitPlan): { all: number; causal: number; causalCost: number } {
  const { qTile, kTile, tiles, firstTile } = plan;
  const { shape } = plan.binding;
  const [offset, { kLen }] = [queryOffset(shape), shape];
  let [causal, plain] = [0, 0];
  // Of the rows of each tile (unit.ts), without a box for each: there may be many tiles.
  for (let tile = 0; tile < tiles; tile += 1) {
    const start = (firstTile + tile) * qTile;
    const [q0, q1] = [Math.max(offset, start), Math.min(kLen - 1, start + qTile - 1)];
    causal += Math.max(0, Math.ceil((q1 + 1) / kTile));
    plain += Math.max(0, Math.floor((Math.min(q0, kLen) + 1) / kTile));
  }
  const causalCost = plain + (causal - plain) * partialStep;
  return { all: tiles * Math.ceil(kLen / kTile), causal, causalCost };
}
