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

/**
 * Puts the sums of blocks of CELLS weights of a row, weights being `weight(j, e)` of column tile_column(j, e). Returns
 * those of a part of the row: the lanes of a quad have all of it.
 */
template <int CELLS, int COLUMNS, typename Weight>
WARPLOOM_DEVICE float put_blocks(float* blocks, bool is_there, Weight weight) {
  const int t = threadIdx.x & 3;
  float total = 0.0f;
  constexpr int j_blocks = CELLS / 8;  // of 8 columns
  if (CELLS >= 8) {
#pragma unroll
    for (int block = 0; block < COLUMNS / CELLS; block += 4) {
      float own[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        own[i] = weight((block + i) * j_blocks, 0) + weight((block + i) * j_blocks, 1);
#pragma unroll
        for (int j = 1; j < j_blocks; ++j) own[i] += weight((block + i) * j_blocks + j, 0) + weight((block + i) * j_blocks + j, 1);
      }
      const float sum = quad_sum(own[0], own[1], own[2], own[3]);
      total += sum;
      if (is_there) blocks[block + t] = sum;
    }
    return total;
  }
#pragma unroll
  for (int j = 0; j < COLUMNS / 8; ++j) {
    float sum = weight(j, 0) + weight(j, 1);
    total += sum;
    if (CELLS == 1) {
      if (is_there) *(float2*)&blocks[tile_column(j, 0)] = {weight(j, 0), weight(j, 1)};
      continue;
    }
    if (CELLS == 4) sum += __shfl_xor_sync(FULL_WARP, sum, 1);
    if (is_there && (CELLS == 2 || t % 2 == 0)) blocks[tile_column(j, 0) / CELLS] = sum;
  }
  return total;
}

/**
 * From products of rows and the COLUMNS cells from `column` on to sums of blocks: of row `tile_row(HALF)` of the
 * warp to `blocks`, from the first of these cells on, and of all of them to `part`. Scores are products times `scale`
 * (log2 e included), those from `end` on are not seen; nothing is written of a row that is not there. Returns whether
 * all that are seen are finite.
 */
template <int HALF, int CELLS, int COLUMNS>
WARPLOOM_DEVICE bool put_block_sums(float (&sums)[COLUMNS / 8][4], int column, int end, float scale, bool is_there, float* blocks,
                                    PartialSum* part) {
  if (__any_sync(FULL_WARP, column + COLUMNS > end)) {
    const int left = end - column - tile_column(0, 0);
#pragma unroll
    for (int j = 0; j < COLUMNS / 8; ++j)
#pragma unroll
      for (int e = 0; e < 2; ++e)
        if (8 * j + e >= left) sums[j][2 * HALF + e] = -LARGEST_FLOAT;
  }
  u32 bits = 0u;
  float largest = NEGATIVE_INFINITY;
#pragma unroll
  for (int j = 0; j < COLUMNS / 8; ++j) {
    bits = largest_bits(bits, sums[j][2 * HALF], sums[j][2 * HALF + 1]);
    largest = fmaxf(largest, fmaxf(sums[j][2 * HALF], sums[j][2 * HALF + 1]));
  }
  largest = fmaxf(largest, __shfl_xor_sync(FULL_WARP, largest, 1));
  largest = fmaxf(largest, __shfl_xor_sync(FULL_WARP, largest, 2));
  const float maximum = column < end ? largest * scale : NEGATIVE_INFINITY, reference = column < end ? maximum : 0.0f;
#pragma unroll
  for (int j = 0; j < COLUMNS / 8; ++j)
#pragma unroll
    for (int e = 0; e < 2; ++e) sums[j][2 * HALF + e] = exp2_fast(fmaf(sums[j][2 * HALF + e], scale, -reference));
  float total = put_blocks<CELLS, COLUMNS>(blocks, is_there, [&](int j, int e) { return sums[j][2 * HALF + e]; });
  total += __shfl_xor_sync(FULL_WARP, total, 1);
  total += __shfl_xor_sync(FULL_WARP, total, 2);
  if ((threadIdx.x & 3) == 0 && is_there) *part = {maximum, total};
  // Of scores that are not finite the sum tells all but those whose exponential is nothing.
  return total <= LARGEST_FLOAT && bits < INFINITE_BITS;
}

/** Where the sums of a launch lie: of rows [row_from, row_from + rows) of cells of each unit. */
struct CellSums {
  float* blocks;
  PartialSum* parts;
  int block_stride, part_stride, row_from, rows;

  /** Puts those of row `tile_row(HALF)` of the tile at `row` and `column`. Returns its number where a score is not finite, or -1. */
  template <int HALF, int CELLS, int COLUMNS>
  __device__ __forceinline__ int put(float (&sums)[COLUMNS / 8][4], const Grid& grid, int unit, int row, int column, float scale) const {
    const int own = row + threadIdx.x / 128 * 64 + tile_row(HALF), last = row_from + rows - 1;
    const bool is_there = own <= last;
    // Lanes of rows that are not there stay for the shuffles.
    const int known = min(own, last);
    const i64 at = (i64)unit * rows + known - row_from;
    const bool is_finite = put_block_sums<HALF, CELLS, COLUMNS>(
        sums, column, is_there ? visible_end(grid, known) : 0, scale, is_there, blocks + at * block_stride + column / CELLS,
        parts + at * part_stride + column / COLUMNS);
    return is_finite ? -1 : own;
  }
};
