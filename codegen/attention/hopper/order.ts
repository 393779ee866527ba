// In which order tiles of queries are drawn: some heads at a time, of those the last tiles first, which are the longest
// ones under a causal mask. How many heads that are is all that tells one order from another.

import type { LaunchShape } from '../../../dsl/shape.ts';

/**
 * `head`: one at a time, for sets of its own where the keys of a head do not fit L2: tiles that are near each other ask
 * for the same; `heads`: those of one KV head at a time, whose keys stay in L2 as long as they can; `sections`: as many
 * as fit L2 together, so that long tiles come early and keys still stay; `longest`: all, so that the last tiles drawn
 * are short ones.
 */
export type WorkOrder = 'head' | 'heads' | 'sections' | 'longest';
export const workOrders = [
  'sections',
  'longest',
  'heads',
  'head',
] as const satisfies readonly WorkOrder[];

/** Bytes of keys and values that are taken to stay in L2 while all blocks read them. */
const cachedBytes = 32e6;

/** Heads of all batch entries whose tiles are drawn together, of `units`: one, or all query heads of some KV heads. */
export function sectionOf(
  order: WorkOrder,
  { kLen, headDim, valueDim, heads, kvHeads }: LaunchShape,
  units: number,
): number {
  if (order === 'longest') return units;
  if (order === 'head') return 1;
  const bytes = kLen * (headDim + valueDim) * 2;
  let kvCount = 1;
  // A power of two.
  if (order === 'sections') while (2 * kvCount * bytes <= cachedBytes && kvCount < 64) kvCount *= 2;
  return Math.max(1, Math.min(kvCount * Math.floor(heads / kvHeads), units));
}
