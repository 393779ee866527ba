// A tile of scores on its way to memory: a thread holds pieces of rows, and memory wants whole rows. Each warp puts its
// 16 rows into shared memory and takes them out one by one, 512 bytes at once.

#define STAGED_ROWS 16  // of a warp

/**
 * Where a score of a warp is staged: the 32-byte pieces of every 128 change places with the row, so that neither what
 * puts nor what takes meets in a bank.
 */
WARPLOOM_DEVICE int staged_at(int row, int column) { return row * SCORE_TILE + (column ^ (row & 3) * 8); }

/** Stages what the threads of a warp hold (device/estimate-tile.cuh), times `scale`. A whole warp calls. */
WARPLOOM_DEVICE void stage_rows(float* staged, const float (&sums)[SCORE_TILE / 8][4], float scale) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = tile_row(half) % STAGED_ROWS;
#pragma unroll
    for (int j = 0; j < SCORE_TILE / 8; ++j)
      *(float2*)&staged[staged_at(row, tile_column(j, 0))] = {sums[j][2 * half] * scale, sums[j][2 * half + 1] * scale};
  }
  __syncwarp();
}

/** The scores of four columns from a multiple of four on. */
WARPLOOM_DEVICE float4 staged_four(const float* staged, int row, int column) {
  return *(const float4*)&staged[staged_at(row, column)];
}
