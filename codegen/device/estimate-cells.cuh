// Scores of cells summed to blocks of cells as they are made: of each row of cells the sum of the exponentials in
// every block of CELLS cells, under the largest score of its COLUMNS columns, and once all are known the weights.

/**
 * The cell that column `i` of a tile holds: a thread of a quad has COLUMNS / 4 cells that follow each other, so that
 * the blocks, of 1, 2, 4, .. 32 cells, are sums of its own.
 */
template <int COLUMNS> WARPLOOM_DEVICE int cell_of_column(int i) {
  return (i >> 1 & 3) * (COLUMNS / 4) + i / 8 * 2 + (i & 1);
}

/**
 * From products of 128 rows and the COLUMNS cells from `column` on to sums of blocks: of row `tile_row(half)` of the
 * warp to `blocks`, and of all these cells to `part`. Scores are products times `scale` (log2 e included), those from `end` on
 * are not seen; nothing is written of a row that is not there. Returns whether all that are seen are finite.
 */
template <int CELLS, int COLUMNS>
WARPLOOM_DEVICE bool put_block_sums(float (&sums)[COLUMNS / 8][4], int half, int column, int end, float scale, bool is_there,
                                    float* blocks, PartialSum* part) {
  constexpr int own = COLUMNS / 4;
  const int lane = threadIdx.x & 31, first = column + (lane & 3) * own;
  bool is_finite = true;
  float largest = NEGATIVE_INFINITY, total = 0.0f;
#pragma unroll
  for (int i = 0; i < own; ++i) {
    float& score = sums[i / 2][2 * half + i % 2];
    if (first + i < end) is_finite = is_finite && fabsf(score) <= LARGEST_FLOAT;
    else score = NEGATIVE_INFINITY;
    largest = fmaxf(largest, score);
  }
  largest = fmaxf(largest, __shfl_xor_sync(FULL_WARP, largest, 1));
  largest = fmaxf(largest, __shfl_xor_sync(FULL_WARP, largest, 2));
  const float maximum = largest * scale, reference = maximum == NEGATIVE_INFINITY ? 0.0f : maximum;
#pragma unroll
  for (int block = 0; block < own / CELLS; ++block) {
    float sum = 0.0f;
#pragma unroll
    for (int i = block * CELLS; i < (block + 1) * CELLS; ++i)
      sum += exp2_fast(fmaf(sums[i / 2][2 * half + i % 2], scale, -reference));
    if (is_there) blocks[first / CELLS + block] = sum;
    total += sum;
  }
  total += __shfl_xor_sync(FULL_WARP, total, 1);
  total += __shfl_xor_sync(FULL_WARP, total, 2);
  if ((lane & 3) == 0 && is_there) part[column / COLUMNS] = {maximum, total};
  return is_finite;
}

/** What all parts of a row come to. A whole warp asks. */
WARPLOOM_DEVICE PartialSum sum_of_row(const PartialSum* parts, int count) {
  PartialSum all = {NEGATIVE_INFINITY, 0.0f};
  for (int i = threadIdx.x & 31; i < count; i += 32) all = join_sums(all, parts[i]);
#pragma unroll
  for (int step = 16; step > 0; step /= 2)
    all = join_sums(all, {__shfl_xor_sync(FULL_WARP, all.maximum, step), __shfl_xor_sync(FULL_WARP, all.sum, step)});
  return all;
}
