// Runs of heads (or KV heads) with equal numbers: what one launch of a selection serves.

import type { Leaf } from '../../dsl/estimate/demand.ts';
import type { LaunchShape } from '../../dsl/shape.ts';
import type { SetPlan } from './passes.ts';
import { leafArguments } from './select.ts';

export interface Run {
  /** Heads, or KV heads of a set that is one per KV head: `[from, to)`. */
  readonly from: number;
  readonly to: number;
  readonly leaf: Leaf;
}

/** Consecutive heads whose sets are needed and whose numbers are equal; `within` limits them. */
export function runsOfEqual(
  { perGroup, leaves }: SetPlan,
  { heads, kvHeads }: LaunchShape,
  needed: ReadonlySet<number>,
  within: { readonly from: number; readonly to: number } = { from: 0, to: heads },
): Run[] {
  const size = perGroup ? heads / kvHeads : 1;
  const runs: { from: number; to: number; leaf: Leaf; key: string }[] = [];
  for (let unit = within.from; unit < Math.min(within.to, heads / size); unit++) {
    const first = unit * size;
    const own = Array.from({ length: size }, (_, i) => first + i);
    if (!own.some((head) => needed.has(head))) continue;
    const leaf = leaves[first]!;
    const key = JSON.stringify(leafArguments(leaf));
    const last = runs.at(-1);
    if (last && last.to === unit && last.key === key) last.to += 1;
    else runs.push({ from: unit, to: unit + 1, leaf, key });
  }
  return runs;
}
