// Scores of cells summed to blocks of cells as they are made: of each row of cells the sum of the exponentials in
// every block of CELLS cells, under the largest score of its COLUMNS columns, and once all are known the weights.

/** Four values of each lane of a quad, summed over the quad: lane t of it gets the sum of the values t. */
WARPLOOM_DEVICE float quad_sum(float v0, float v1, float v2, float v3) {
  const int lane = threadIdx.x;
  const bool odd = lane & 1, high = lane & 2;
  const float a = (odd ? v1 : v0) + __shfl_xor_sync(FULL_WARP, odd ? v0 : v1, 1);
  const float b = (odd ? v3 : v2) + __shfl_xor_sync(FULL_WARP, odd ? v2 : v3, 1);
  return (high ? b : a) + __shfl_xor_sync(FULL_WARP, high ? a : b, 2);
}

/** Puts the sums of blocks of CELLS weights of a row, weights being `weight(j, e)` of column tile_column(j, e). */
template <int CELLS, int COLUMNS, typename Weight>
WARPLOOM_DEVICE void put_blocks(float* blocks, bool is_there, Weight weight) {
  const int t = threadIdx.x & 3;
  constexpr int j_blocks = CELLS / 8;  // of 8 columns
  if (CELLS >= 8) {
#pragma unroll
    for (int block = 0; block < COLUMNS / CELLS; block += 4) {
      float own[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        own[i] = 0.0f;
#pragma unroll
        for (int j = 0; j < j_blocks; ++j) own[i] += weight((block + i) * j_blocks + j, 0) + weight((block + i) * j_blocks + j, 1);
      }
      const float sum = quad_sum(own[0], own[1], own[2], own[3]);
      if (is_there) blocks[block + t] = sum;
    }
    return;
  }
#pragma unroll
  for (int j = 0; j < COLUMNS / 8; ++j) {
    if (CELLS == 1) {
      if (is_there) *(float2*)&blocks[tile_column(j, 0)] = {weight(j, 0), weight(j, 1)};
      continue;
    }
    float sum = weight(j, 0) + weight(j, 1);
    if (CELLS == 4) sum += __shfl_xor_sync(FULL_WARP, sum, 1);
    if (is_there && (CELLS == 2 || t % 2 == 0)) blocks[tile_column(j, 0) / CELLS] = sum;
  }
}

/**
 * From products of 128 rows and the COLUMNS cells from `column` on to sums of blocks: of row `tile_row(half)` of the
 * warp to `blocks`, from the first of these cells on, and of all of them to `part`. Scores are products times `scale`
 * (log2 e included), those from `end` on are not seen; nothing is written of a row that is not there. Returns whether
 * all that are seen are finite.
 */
template <int CELLS, int COLUMNS>
WARPLOOM_DEVICE bool put_block_sums(float (&sums)[COLUMNS / 8][4], int half, int column, int end, float scale, bool is_there,
                                    float* blocks, PartialSum* part) {
  bool is_finite = true;
  float largest = NEGATIVE_INFINITY, total = 0.0f, check = 0.0f;
  if (__any_sync(FULL_WARP, column + COLUMNS > end)) {
#pragma unroll
    for (int j = 0; j < COLUMNS / 8; ++j)
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        float& score = sums[j][2 * half + e];
        const bool is_seen = column + tile_column(j, e) < end;
        is_finite &= !is_seen | (fabsf(score) <= LARGEST_FLOAT);
        if (!is_seen) score = NEGATIVE_INFINITY;
      }
  } else {
    // Finite where all scores are, but for products that overflow.
#pragma unroll
    for (int j = 0; j < COLUMNS / 8; ++j) check = fmaf(sums[j][2 * half], sums[j][2 * half + 1], check);
    if (!(fabsf(check) <= LARGEST_FLOAT)) {
#pragma unroll
      for (int j = 0; j < COLUMNS / 8; ++j)
        is_finite &= (fabsf(sums[j][2 * half]) <= LARGEST_FLOAT) & (fabsf(sums[j][2 * half + 1]) <= LARGEST_FLOAT);
    }
  }
#pragma unroll
  for (int j = 0; j < COLUMNS / 8; ++j) largest = fmaxf(largest, fmaxf(sums[j][2 * half], sums[j][2 * half + 1]));
  largest = fmaxf(largest, __shfl_xor_sync(FULL_WARP, largest, 1));
  largest = fmaxf(largest, __shfl_xor_sync(FULL_WARP, largest, 2));
  const float maximum = largest * scale, reference = maximum == NEGATIVE_INFINITY ? 0.0f : maximum;
#pragma unroll
  for (int j = 0; j < COLUMNS / 8; ++j) {
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      float& weight = sums[j][2 * half + e];
      weight = exp2_fast(fmaf(weight, scale, -reference));
    }
    total += sums[j][2 * half] + sums[j][2 * half + 1];
  }
  put_blocks<CELLS, COLUMNS>(blocks, is_there, [&](int j, int e) { return sums[j][2 * half + e]; });
  total += __shfl_xor_sync(FULL_WARP, total, 1);
  total += __shfl_xor_sync(FULL_WARP, total, 2);
  if ((threadIdx.x & 3) == 0 && is_there) *part = {maximum, total};
  return is_finite;
}
