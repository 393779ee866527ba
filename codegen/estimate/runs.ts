// Runs of heads (or KV heads) with equal numbers: what one launch serves.

import type { LaunchShape } from '../../dsl/shape.ts';
import type { FieldValues } from '../struct.ts';

export interface Run {
  /** Heads, or KV heads of what is one per KV head: `[from, to)`. */
  readonly from: number;
  readonly to: number;
  readonly numbers: FieldValues;
}

/** Consecutive heads that are needed and whose numbers are equal; `within` limits them. */
export function runsOfEqual(
  { perGroup, numbersOf }: { perGroup: boolean; numbersOf: (head: number) => FieldValues },
  { heads, kvHeads }: LaunchShape,
  needed: ReadonlySet<number>,
  within: { readonly from: number; readonly to: number } = { from: 0, to: heads },
): Run[] {
  const size = perGroup ? heads / kvHeads : 1;
  const runs: { from: number; to: number; numbers: FieldValues; key: string }[] = [];
  for (let unit = within.from; unit < Math.min(within.to, heads / size); unit++) {
    const first = unit * size;
    const own = Array.from({ length: size }, (_, i) => first + i);
    if (!own.some((head) => needed.has(head))) continue;
    const numbers = numbersOf(first);
    const key = Object.values(numbers).join(' ');
    const last = runs.at(-1);
    if (last && last.to === unit && last.key === key) last.to += 1;
    else runs.push({ from: unit, to: unit + 1, numbers, key });
  }
  return runs;
}
