// Rows of several query heads of a KV head in one tile: which patterns allow it, since all of them attend to the same
// keys, and which need it, since they choose keys for fewer queries than a tile has rows.

import { type Expression, walk } from '../../dsl/expression.ts';
import type { KernelPass } from './passes.ts';
import { sameForRows } from './rows.ts';
import type { AttentionSpec } from './spec.ts';

/**
 * Does nothing that a kernel asks of a pair depend on which of the query heads of a KV head asks, the values of
 * parameters apart? Sets have to be one per KV head.
 */
export function headsAreAlike({
  mask,
  score,
  perGroup,
}: Pick<AttentionSpec, 'mask' | 'score' | 'perGroup'>): boolean {
  const isAlike = (node: Expression): boolean => {
    if (node.op === 'index') return node.name !== 'head';
    return node.op !== 'has' || perGroup.has(node.set);
  };
  return [mask, score].every((one) => one === undefined || [...walk(one)].every(isAlike));
}

/**
 * Of the heads that may share a tile of so many rows, ascending from 1, the fewest that leave it no more queries than
 * sets are asked for together: then all of the tile asks for the same keys.
 */
export function headsToShare(
  passes: readonly KernelPass[],
  rows: number,
  heads: readonly number[],
): number {
  const sets = passes.flatMap(({ mask }) => [...walk(mask)].filter(({ op }) => op === 'has'));
  const isEnough = (count: number) => sets.every((one) => sameForRows(one, rows / count));
  return heads.find(isEnough) ?? heads.at(-1)!;
}
