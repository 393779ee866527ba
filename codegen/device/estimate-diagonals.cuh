// Sums along diagonals of tiles of weights that pass by, eight keys a step, without leaving the registers but for three
// shuffles a step.

/**
 * One of three steps that bring the parts of a diagonal, held by different lanes, into one of them: the sum of the near part
 * of the step before and of the far part that lane + `from` holds of the same diagonal. The first `wrap` rows of lanes hold
 * it since now, the others since before.
 */
WARPLOOM_DEVICE float join_parts(int lane, float near_before, float far, float far_before, int from, int wrap) {
  return near_before + __shfl_sync(FULL_WARP, lane < 4 * wrap ? far : far_before, lane + from);
}

/** Steps between a diagonal's first weights and its sum. */
#define DIAGONAL_LAG 10

/**
 * Sums along the diagonals of 8 keys a step (a lane's row g of the tile) and 64 queries (columns 8 j + 2 t + e).
 * Keys grow by 8 from step to step, so a diagonal that is at column block j is at j + 1 in the next: `chain` hands
 * the sums on from block to block, without leaving the thread. What leaves the last block is one of 8 parts of
 * a diagonal, and three shuffles join them: over e, over t = 0, 1 and 2, 3, and over both of these. A part that
 * lies in the next 8 diagonals is there only a step later, so each shuffle lags by a step.
 */
struct Diagonals {
  float chain[8][2];
  float near, far, pair, quad;  // of the step before

  __device__ __forceinline__ void begin() {
#pragma unroll
    for (int j = 0; j < 8; ++j) chain[j][0] = chain[j][1] = 0.0f;
    near = far = pair = quad = 0.0f;
  }
  /** Takes the weights of a step; `weights(j, e)`. */
  template <typename Weights> __device__ __forceinline__ void add(Weights weights) {
#pragma unroll
    for (int j = 7; j >= 0; --j)
#pragma unroll
      for (int e = 0; e < 2; ++e) chain[j][e] = j > 0 ? chain[j - 1][e] + weights(j, e) : weights(j, e);
  }
  /** After `add` number i: lanes t = 0 get the sum whose key - query is 8 (i - DIAGONAL_LAG) + g, from the first key. */
  __device__ __forceinline__ float leave(int lane) {
    const float own_pair = join_parts(lane, near, chain[7][1], far, 4, 1);
    const float own_quad = join_parts(lane, pair, own_pair, pair, 9, 2);
    const float all = join_parts(lane, quad, own_quad, quad, 18, 4);
    near = chain[7][0];
    far = chain[7][1];
    pair = own_pair;
    quad = own_quad;
    return all;
  }
};
