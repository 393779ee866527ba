// The tiles that are taken untuned, by head dimension, length and the form of the plan: first what was measured to be
// the fastest (defaults.ts), then smaller ones for masks that leave no room for it.

import { rows } from './defaults.ts';
import { type HopperKnobs, hopperTile } from './knobs.ts';
import type { PlanForm } from './plan-forms.ts';

const single = { qBuffers: 1 } as const;
const small = [hopperTile(2, 96), hopperTile(2, 64), hopperTile(2, 48, single)];

/** Tiles for heads of up to `dim`, each smaller than the one before. */
const smaller: readonly { readonly dim: number; readonly tiles: readonly HopperKnobs[] }[] = [
  { dim: 128, tiles: [hopperTile(2, 128), ...small] },
  { dim: 192, tiles: [hopperTile(2, 96, single), hopperTile(2, 64, single)] },
  { dim: 256, tiles: [hopperTile(2, 64, single), hopperTile(2, 48, single)] },
];

const smallerApart = (dim: number): HopperKnobs =>
  hopperTile(2, dim <= 128 ? 128 : 64, { boxes: 2, ...single });

/** The smallest dimension that holds a head and has rows. */
const dimOf = (form: PlanForm, dim: number): number =>
  Math.min(...rows.filter((row) => row.form === form && row.dim >= dim).map((row) => row.dim));

/** The row for a head and a length: of those for the smallest dimension that holds it. */
function measuredFor(form: PlanForm, dim: number, kLen: number): HopperKnobs[] {
  const least = dimOf(form, dim);
  const ofDim = rows
    .filter((row) => row.form === form && row.dim === least)
    .sort((a, b) => a.upTo - b.upTo);
  // Of longer calls than were measured the longest ones say most.
  const row = ofDim.find(({ upTo }) => kLen <= upTo) ?? ofDim.at(-1);
  return row ? [row.knobs] : [];
}

/** Tiles for a head, the fastest first, by the larger of its dimensions and by the keys (of all lengths, when left out). */
export function hopperCandidates(
  headDim: number,
  valueDim: number,
  kLen = Number.POSITIVE_INFINITY,
  form: PlanForm = 'ranges',
): readonly HopperKnobs[] {
  const dim = Math.max(headDim, valueDim);
  const all = [
    ...measuredFor(form, dim, kLen),
    ...(form === 'distances' || form === 'blocks' ? [smallerApart(dim)] : []),
    ...measuredFor('ranges', dim, kLen),
    ...(smaller.find((row) => dim <= row.dim)?.tiles ?? []),
  ];
  return [...new Map(all.map((knobs) => [JSON.stringify(knobs), knobs])).values()];
}
