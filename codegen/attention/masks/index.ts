// The mask on the scores of a step, as CUDA C: -inf where it is false. It is asked for each element where that is
// cheap, else in a way that asks it fewer times, or in fewer places of the text.

import type { Expression } from '../../../dsl/expression.ts';
import { isQuick } from '../../expression.ts';
import type { Names } from '../../names.ts';
import type { KernelContext } from '../backend.ts';
import type { KernelPass } from '../passes.ts';
import { boxed, ownBoxed } from './boxes.ts';
import { kept } from './kept.ts';
import { loaded, ownLoaded } from './loaded.ts';
import { ownMasks } from './own.ts';
import { worded, wordsOf } from './words.ts';

/** Row by row; by words or boxes where a warp has one row block; or what a walk left of each pass to ask. */
export type MaskWay = 'rows' | 'boxes' | { readonly left: readonly Expression[] };

/** Passes whose mask a way asks as a whole, by `allowed`. */
export function askedWhole(context: KernelContext, way: MaskWay): readonly KernelPass[] {
  const { passes, names } = context;
  if (way === 'rows') return ownMasks(passes, [], names).whole;
  if (way !== 'boxes') return passes.filter(({ kind }) => kind === 'rest');
  if (isCheap(passes)) return passes;
  if (wordsOf(context) !== undefined || ownLoaded(passes, names) !== undefined) return [];
  return ownBoxed(passes, names).whole;
}

/** `mask_scores`. Needs `Scores` and elements.ts. */
export function maskText(context: KernelContext, way: MaskWay): string {
  const { passes, knobs, names } = context;
  if (typeof way === 'object') return kept(passes, way.left);
  if (way === 'boxes' && isCheap(passes)) return direct;
  const words = way === 'boxes' ? wordsOf(context) : undefined;
  if (words !== undefined) return worded(words);
  const own = ownLoaded(passes, names);
  if (own !== undefined) return loaded(own);
  return way === 'rows' ? looped(passes, knobs.kTile / 4, names) : boxed(passes, names);
}

/**
 * -inf where the mask is false. A mask that costs much is asked in a loop that leaves bits, which are then
 * applied, so that its text is not repeated for every accumulator.
 */
const looped = (passes: readonly KernelPass[], steps: number, names: Names): string => {
  const word = steps > 32 ? 'u64' : 'u32';
  const own = ownMasks(passes, [], names);
  // A pool asks all of its keys: rows are a loop as well.
  const hasPools = passes.some(({ kind }) => kind === 'rest');
  const ofRow = hasPools ? 'load_of_query(u, q + 8 * r)' : 'of_query[r]';
  const ofQuery = `  QueryLoads of_query[2 * row_blocks];
#pragma unroll
  for (int r = 0; r < 2 * row_blocks; ++r) of_query[r] = load_of_query(u, q + 8 * r);
`;
  const ask = own.loads
    ? own.call('q + 8 * r', `of_key, ${ofRow}`)
    : 'allowed(u, visit, q + 8 * r, key)';
  const rows = hasPools
    ? `#pragma unroll 1
    for (int r = 0; r < 2 * row_blocks; ++r) {
      const ${word} bit = (${word})${ask} << j;
#pragma unroll
      for (int own = 0; own < 2 * row_blocks; ++own)
        if (own == r) bits[own] |= bit;
    }`
    : `#pragma unroll
    for (int r = 0; r < 2 * row_blocks; ++r) bits[r] |= (${word})${ask} << j;`;
  return `${own.loads ? `${own.text}\n` : ''}// -inf where the mask is false. The bits of a lane's rows, eight apart, are found in a small loop and then applied, so that
// the mask's text is not repeated for every accumulator.
WARPLOOM_DEVICE void mask_scores(const Unit& u, const Arguments& p, int index, const Visit& visit, int q, int column, Scores& s) {
  ${word} bits[2 * row_blocks] = {};
${own.loads && !hasPools ? ofQuery : ''}#pragma unroll 1
  for (int j = 0; j < score_blocks * 2; ++j) {
    const int key = key_of(u, p, index, visit, column + (j >> 1) * 8 + (j & 1));
${own.loads ? '    const KeyLoads of_key = load_of_key(u, key);\n' : ''}${rows}
  }
#pragma unroll
  for (int r = 0; r < 2 * row_blocks; ++r)
#pragma unroll
    for (int j = 0; j < score_blocks * 2; ++j)
      if (!(bits[r] >> j & 1u)) s[r >> 1][j >> 1][(r & 1) * 2 + (j & 1)] = NEGATIVE_INFINITY;
}`;
};

const direct = `// -inf where the mask is false, in the first score blocks.
template <int blocks = score_blocks>
WARPLOOM_DEVICE void mask_scores(const Unit& u, const Arguments& p, int index, const Visit& visit, int q, int column, Scores& s) {
#pragma unroll
  for (int j = 0; j < blocks; ++j)
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const int key = key_of(u, p, index, visit, column + j * 8 + e);
#pragma unroll
      for (int i = 0; i < row_blocks; ++i)
#pragma unroll
        for (int half = 0; half < 2; ++half)
          if (!allowed(u, visit, q + 16 * i + 8 * half, key)) s[i][j][half * 2 + e] = NEGATIVE_INFINITY;
    }
}`;

/** May the text of a mask be repeated for every accumulator? */
const isCheap = (passes: readonly KernelPass[]): boolean =>
  passes.length === 1 && passes.every(({ kind, mask }) => kind === 'tiles' && isQuick(mask));
