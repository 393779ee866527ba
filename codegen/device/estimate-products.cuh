// Products of tiles by mma.sync: four warps together, 16 rows each.

WARPLOOM_DEVICE void tile_written() {}

// As device/estimate-tile.cuh says.
template <bool BF16, int LEFT, int RIGHT, int STEPS, int BLOCKS, typename Meanwhile>
WARPLOOM_DEVICE void multiply_tiles(float (&sums)[BLOCKS][4], u32 left, int row, u32 right, bool adds,
                                    Meanwhile meanwhile) {
  meanwhile();  // copies are on their way the sooner
  const int lane = threadIdx.x & 31;
  const int own = row + (threadIdx.x & 127) / 32 * 16 + (lane & 15), other = (lane & 7) + (lane >> 4) * 8;
  if (!adds) {
#pragma unroll
    for (int j = 0; j < BLOCKS; ++j) sums[j][0] = sums[j][1] = sums[j][2] = sums[j][3] = 0.0f;
  }
#pragma unroll
  for (int step = 0; step < STEPS; ++step) {
    u32 a[4];
    load_matrices(a, chunk_address<LEFT>(left, own, 2 * step + (lane >> 4)));
#pragma unroll
    for (int j = 0; j < BLOCKS; j += 2) {
      u32 b[4];
      load_matrices(b, chunk_address<RIGHT>(right, other + 8 * j, 2 * step + (lane >> 3 & 1)));
      if (BF16) {
        multiply_bf16(sums[j], a, b[0], b[1]);
        multiply_bf16(sums[j + 1], a, b[2], b[3]);
      } else {
        multiply_fp16(sums[j], a, b[0], b[1]);
        multiply_fp16(sums[j + 1], a, b[2], b[3]);
      }
    }
  }
}
