// The online softmax over the steps of a walk, in registers.
// Sources: online softmax (Milakov and Gimelshein, 2018); rare rescaling (FlashAttention-4).

import { literal, scalarText } from '../expression.ts';
import type { KernelContext } from './backend.ts';

/** The factor that makes exponents of 2 of scores; the same for all pairs of unit `u`. */
export const scaleText = ({ score, names }: KernelContext): string =>
  score ? scalarText(score.scale, names) : `p.scale * ${literal(Math.log2(Math.E), 'float')}`;

/** What is kept of a step and of a row, in blocks like those of `Scores`. */
export const accumulatorsText = `typedef u32 Weights[row_blocks][key_steps][4];
typedef float Output[row_blocks][value_blocks][4];
typedef float RowValues[row_blocks][2];`;

/** `quad_max` and `quad_sum`, over the four lanes that hold a row. */
export const quadText = `WARPLOOM_DEVICE float quad_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(FULL_WARP, x, 1));
  return fmaxf(x, __shfl_xor_sync(FULL_WARP, x, 2));
}
WARPLOOM_DEVICE float quad_sum(float x) {
  x += __shfl_xor_sync(FULL_WARP, x, 1);
  return x + __shfl_xor_sync(FULL_WARP, x, 2);
}`;

/** `quad_max`, `quad_sum` and `absorb`. Needs `Scores` and the accumulators before it. */
export function softmaxText({ dtype }: KernelContext): string {
  return `// ---- softmax: one step of the online softmax; a row lies in the four lanes of a quad ----

${quadText}

// Scores become weights 2^(scale * (s - highest)). A new highest score that lifts weights to at most 2^8
// is not taken: fp32 sums bear it, and what was summed up so far need not be scaled (FlashAttention-4).
// \`checked\`: a row may have nothing but -inf, and then stays empty.
template <bool checked>
WARPLOOM_DEVICE void absorb(float scale, Scores& s, RowValues& highest, RowValues& sum, Weights& weights, Output& out) {
  float base[row_blocks][2], factor[row_blocks][2];
  bool rescale = false;
#pragma unroll
  for (int i = 0; i < row_blocks; ++i)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float high = NEGATIVE_INFINITY;
#pragma unroll
      for (int j = 0; j < score_blocks; ++j) high = fmaxf(high, fmaxf(s[i][j][2 * half], s[i][j][2 * half + 1]));
      high = quad_max(high);
      const float before = highest[i][half];
      const bool lift = high > before && !((high - before) * scale <= 8.f);
      const float now = lift ? high : before;
      base[i][half] = checked && now == NEGATIVE_INFINITY ? 0.f : now * scale;
      factor[i][half] = lift ? exp2_fast(before * scale - base[i][half]) : 1.f;
      highest[i][half] = now;
      rescale = rescale || lift;
    }
  if (__any_sync(FULL_WARP, rescale)) {
#pragma unroll
    for (int i = 0; i < row_blocks; ++i) {
      sum[i][0] *= factor[i][0];
      sum[i][1] *= factor[i][1];
#pragma unroll
      for (int j = 0; j < value_blocks; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e) out[i][j][e] *= factor[i][e >> 1];
    }
  }
#pragma unroll
  for (int i = 0; i < row_blocks; ++i)
#pragma unroll
    for (int j = 0; j < score_blocks; ++j) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        s[i][j][e] = exp2_fast(fmaf(s[i][j][e], scale, -base[i][e >> 1]));
        sum[i][e >> 1] += s[i][j][e];
      }
      weights[i][j >> 1][(j & 1) * 2] = pack_${dtype}(s[i][j][0], s[i][j][1]);
      weights[i][j >> 1][(j & 1) * 2 + 1] = pack_${dtype}(s[i][j][2], s[i][j][3]);
    }
}`;
}
