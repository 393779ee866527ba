// The scores of a step where a warp has them: in the accumulators of its products. A block is 16 rows by 8
// columns; lane l has rows l / 4 and l / 4 + 8 of it, columns l % 4 * 2 and the next. mma.sync and wgmma agree on
// that. The row blocks of a warp follow each other.

import { isQuick } from '../expression.ts';
import type { KernelContext } from './backend.ts';
import type { KernelPass } from './passes.ts';

/** `Scores` and `mask_scores`; `apply_score` and `weigh_pools` where needed. Needs elements.ts before it.
 * `mayRepeat`: may the text of the mask be repeated for every accumulator? */
export function scoresText(
  { passes, score, knobs }: KernelContext,
  mayRepeat = (_: readonly KernelPass[]) => false,
): string {
  const mask = mayRepeat(passes) ? direct : looped(knobs.kTile / 4);
  const sections = [scoresType, mask];
  if (score) sections.push(applyText);
  if (passes.some(({ kind }) => kind === 'rest')) sections.push(weighText(score !== undefined));
  return `${sections.join('\n\n')}\n`;
}

const scoresType = 'typedef float Scores[row_blocks][score_blocks][4];';

/**
 * -inf where the mask is false. A mask that costs much is asked in a loop that leaves bits, which are then
 * applied, so that its text is not repeated for every accumulator.
 */
const looped = (steps: number): string => {
  const word = steps > 32 ? 'u64' : 'u32';
  return `// -inf where the mask is false. The bits of a row are found in a small loop and then applied, so that the
// mask's text is not repeated for every accumulator.
WARPLOOM_DEVICE void mask_scores(const Unit& u, const Arguments& p, int index, const Visit& visit, int q, int column, Scores& s) {
  ${word} bits[row_blocks][2] = {};
#pragma unroll 1
  for (int j = 0; j < score_blocks * 2; ++j) {
    const int key = key_of(u, p, index, visit, column + (j >> 1) * 8 + (j & 1));
#pragma unroll
    for (int i = 0; i < row_blocks; ++i)
#pragma unroll
      for (int half = 0; half < 2; ++half) bits[i][half] |= (${word})allowed(u, visit, q + 16 * i + 8 * half, key) << j;
  }
#pragma unroll
  for (int i = 0; i < row_blocks; ++i)
#pragma unroll
    for (int j = 0; j < score_blocks * 2; ++j)
#pragma unroll
      for (int half = 0; half < 2; ++half)
        if (!(bits[i][half] >> j & 1u)) s[i][j >> 1][half * 2 + (j & 1)] = NEGATIVE_INFINITY;
}`;
};

const direct = `// -inf where the mask is false.
WARPLOOM_DEVICE void mask_scores(const Unit& u, const Arguments& p, int index, const Visit& visit, int q, int column, Scores& s) {
#pragma unroll
  for (int j = 0; j < score_blocks; ++j)
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
export const isCheap = (passes: readonly KernelPass[]): boolean =>
  passes.length === 1 && passes.every(({ kind, mask }) => kind === 'tiles' && isQuick(mask));

const applyText = `// Products become the author's scores, in natural units.
WARPLOOM_DEVICE void apply_score(const Unit& u, const Arguments& p, int index, const Visit& visit, int q, int column, Scores& s) {
#pragma unroll
  for (int j = 0; j < score_blocks; ++j)
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const int key = key_of(u, p, index, visit, column + j * 8 + e);
#pragma unroll
      for (int i = 0; i < row_blocks; ++i)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          float& value = s[i][j][half * 2 + e];
          value = score(u, value * p.scale, q + 16 * i + 8 * half, key);
        }
    }
}`;

function weighText(hasScore: boolean): string {
  const unit = hasScore ? 'natural units' : 'units of the plain product';
  const addend = hasScore ? '__logf((float)size)' : '__logf((float)size) / p.scale';
  return `// A mean key stands for so many: log(size) is added, in ${unit}.
WARPLOOM_DEVICE void weigh_pools(const Unit& u, const Arguments& p, const Visit& visit, int column, Scores& s) {
#pragma unroll
  for (int j = 0; j < score_blocks; ++j)
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const int from = (visit.at + column + j * 8 + e) * pool_size;
      const int size = max(1, min(pool_size, u.k_len - from));
      const float more = ${addend};
#pragma unroll
      for (int i = 0; i < row_blocks; ++i) {
        s[i][j][e] += more;
        s[i][j][2 + e] += more;
      }
    }
}`;
}
