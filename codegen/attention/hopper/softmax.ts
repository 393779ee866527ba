// The softmax of a Hopper kernel, one lane's two rows. Careful steps keep the highest score so far; the others
// keep the reference of the first step, since any reference gives the same relative accuracy until a number
// leaves the range of floats. Sums tell when the reference should move, and whether it moved too late.

import type { KernelContext } from '../backend.ts';
import { quadText } from '../softmax.ts';
import type { HopperKnobs } from './knobs.ts';
import { poolExponent } from './pools.ts';

const originText = `  // What the exponents of a row are less of: its reference, or 0 where it has seen nothing and all its scores are -inf.
  __device__ __forceinline__ void find_origins(float (&origin)[2]) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) origin[half] = reference[half] == NEGATIVE_INFINITY ? 0.f : reference[half];
  }`;

/** With a ramp, or stand-ins, exponents are so much more. */
const baseParameter = (hasBase: boolean): string => (hasBase ? 'const float (&base)[2], ' : '');

const weighText = (
  hasBase: boolean,
): string => `  // The scores of some blocks become weights 2^(scale * s${hasBase ? ' + base' : ''} - origin).
  template <int from, int to>
  __device__ __forceinline__ void weigh(float scale, ${baseParameter(hasBase)}const float (&origin)[2], Scores& s) {
    const float first = ${addendText(0, hasBase)}, second = ${addendText(1, hasBase)};
#pragma unroll
    for (int j = from; j < to; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        s[0][j][e] = exp2_fast(fmaf(s[0][j][e], scale, e < 2 ? first : second));
        sum[e >> 1][e & 1] += s[0][j][e];
      }
  }`;

const addendText = (half: number, hasBase: boolean): string =>
  hasBase ? `base[${half}] - origin[${half}]` : `-origin[${half}]`;

const relativeWeighText = `  // Scores that were relative to other references are now to these; those of a row that has seen nothing stay -inf.
  template <int blocks = score_blocks>
  __device__ __forceinline__ void relate(const float (&before)[2], Scores& s) {
    float origin[2];
    find_origins(origin);
#pragma unroll
    for (int half = 0; half < 2; ++half) origin[half] -= before[half];
#pragma unroll
    for (int j = 0; j < blocks; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e) s[0][j][e] -= origin[e >> 1];
  }

  // The scores of some blocks, relative to the references, become weights 2^s.
  template <int from, int to>
  __device__ __forceinline__ void weigh(Scores& s) {
#pragma unroll
    for (int j = from; j < to; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        s[0][j][e] = exp2_fast(s[0][j][e]);
        sum[e >> 1][e & 1] += s[0][j][e];
      }
  }`;

/** `Softmax`, `pack`. Needs `Scores` and the accumulators. */
export function hopperSoftmaxText(context: KernelContext<HopperKnobs>): string {
  const { dtype, knobs, score } = context;
  const hasBase = score?.ramp !== undefined || poolExponent(context) !== undefined;
  const speculation = `
  // Before the first step that does not look for the highest score: a row without one yet is relative to 0.
  __device__ __forceinline__ void keep() {
#pragma unroll
    for (int half = 0; half < 2; ++half)
      if (reference[half] == NEGATIVE_INFINITY) reference[half] = 0.f;
  }

  // Has a sum of any row of the warp grown large?
  __device__ __forceinline__ bool grows() const {
    return __any_sync(FULL_WARP, fmaxf(fmaxf(sum[0][0], sum[0][1]), fmaxf(sum[1][0], sum[1][1])) > LARGE_SUM);
  }

  // Moves the references of such rows, by powers of two.
  __device__ __forceinline__ void follow() {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float most = quad_max(fmaxf(sum[half][0], sum[half][1]));
      if (!(most < MOST_SUM)) sum[half][0] = POSITIVE_INFINITY;  // it stays so, and the task is done again
      const int exponent = min(max((__float_as_int(most) >> 23) - 127, 0), 126);
      factor[half] = __int_as_float((127 - exponent) << 23);
      reference[half] += (float)exponent;
      sum[half][0] *= factor[half];
      sum[half][1] *= factor[half];
    }
  }
`;
  return `// ---- softmax: a row lies in the four lanes of a quad ----

${quadText}

${
  knobs.speculative
    ? `// Sums from which on a reference moves, and those that a speculation must stay between.
#define LARGE_SUM 1.0995116e12f  // 2^40
#define MOST_SUM 1.2379401e27f   // 2^90
#define LEAST_SUM ${dtype === 'fp16' ? '0.25f  // small fp16 weights lose bits' : '8.6736174e-19f  // 2^-60'}

`
    : ''
}struct Softmax {
  float reference[2];  // log2 of what the weights of a row are relative to
  float sum[2][2];     // of weights in even and in odd columns
  float factor[2];     // that the outputs so far are yet to be multiplied by

  __device__ __forceinline__ void begin() {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      reference[half] = NEGATIVE_INFINITY;
      sum[half][0] = sum[half][1] = 0.f;
    }
  }

${originText}

${score?.value ? relativeWeighText : weighText(hasBase)}

  // Has the references follow the highest scores. One that lifts weights to at most 2^8 is not followed
  // (FlashAttention-4). Did any of the warp's move?
  template <int blocks = score_blocks>
  __device__ __forceinline__ bool climb(float scale, ${baseParameter(hasBase)}const Scores& s) {
    bool moved = false;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float high = fmaxf(s[0][0][2 * half], s[0][0][2 * half + 1]);
#pragma unroll
      for (int j = 1; j < blocks; ++j) high = fmaxf(high, fmaxf(s[0][j][2 * half], s[0][j][2 * half + 1]));
      high = quad_max(high) * scale${hasBase ? ' + base[half]' : ''};
      const float before = reference[half];
      const bool move = high > before && !(high - before <= 8.f);
      factor[half] = move ? exp2_fast(before - high) : 1.f;
      reference[half] = move ? high : before;
      sum[half][0] *= factor[half];
      sum[half][1] *= factor[half];
      moved = moved || move;
    }
    return __any_sync(FULL_WARP, moved);
  }
${knobs.speculative ? speculation : ''}
  __device__ __forceinline__ void rescale(Output& out) {
#pragma unroll
    for (int j = 0; j < value_blocks; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e) out[0][j][e] *= factor[e >> 1];
  }
};

// Scores become the first operand of P V: the accumulators of a row as they lie.
template <int blocks = score_blocks>
WARPLOOM_DEVICE void pack(const Scores& s, Weights& weights) {
#pragma unroll
  for (int j = 0; j < blocks; ++j) {
    weights[0][j >> 1][(j & 1) * 2] = pack_${dtype}(s[0][j][0], s[0][j][1]);
    weights[0][j >> 1][(j & 1) * 2 + 1] = pack_${dtype}(s[0][j][2], s[0][j][3]);
  }
}`;
}
