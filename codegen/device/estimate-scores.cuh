// Tiles of scores: 256 threads, 128 x 128 scores, factors streamed through shared memory line by line.

#define SCORE_TILE 128

/** Copies run so many lines ahead, and one more; of few lines all are there at once. */
template <int WIDTH> constexpr int score_stages =
    (WIDTH + LINE_ELEMENTS - 1) / LINE_ELEMENTS < 3 ? (WIDTH + LINE_ELEMENTS - 1) / LINE_ELEMENTS + 1 : 3;

/**
 * Products of the rows [row, row_end) and the columns [column, column_end), at most SCORE_TILE each; threads
 * 0 .. 127 get the first 64 rows, the others the rest. All 256 threads have to call.
 */
template <bool BF16, int WIDTH, typename Left, typename Right>
WARPLOOM_DEVICE void score_tile(u32 shared, const Left& left, int row, int row_end, const Right& right, int column,
                                int column_end, float (&sums)[16][4]) {
  constexpr int lines = (WIDTH + LINE_ELEMENTS - 1) / LINE_ELEMENTS, stages = score_stages<WIDTH>;
  constexpr u32 tile_bytes = SCORE_TILE * LINE_BYTES;
  const auto copy = [&](int line) {
    const u32 slot = shared + line % stages * (2 * tile_bytes);
    copy_tile<SCORE_TILE, 1, WIDTH>(slot, left, line, [&](int i) { return row + i < row_end ? row + i : -1; });
    copy_tile<SCORE_TILE, 1, WIDTH>(slot + tile_bytes, right, line,
                                    [&](int i) { return column + i < column_end ? column + i : -1; });
  };
#pragma unroll
  for (int line = 0; line < stages - 1; ++line) {
    copy(line);
    copy_commit();
  }
#pragma unroll 1
  for (int line = 0; line < lines; ++line) {
    copy_wait<stages - 2>();
    tile_written();
    __syncthreads();
    if (line + stages - 1 < lines) copy(line + stages - 1);
    copy_commit();
    const u32 slot = shared + line % stages * (2 * tile_bytes);
    multiply_tiles<BF16, SCORE_TILE, SCORE_TILE, steps_of<1, WIDTH>>(sums, slot, threadIdx.x / 128 * 64, slot + tile_bytes,
                                                                    line > 0);
  }
}
