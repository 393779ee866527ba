// Tiles of scores: 256 threads, 128 rows, factors streamed through shared memory line by line.

#define SCORE_TILE 128  // rows

/** Copies run so many lines ahead, less one; of few lines all are there at once. */
template <int WIDTH, int MOST> constexpr int score_stages =
    (WIDTH + LINE_ELEMENTS - 1) / LINE_ELEMENTS < MOST ? (WIDTH + LINE_ELEMENTS - 1) / LINE_ELEMENTS + 1 : MOST;

/** Copies the lines of one factor, a thread 16 bytes of every 32nd row: whose they are is looked up once. */
template <int ROWS, int WIDTH, typename Rows> struct LineCopier {
  static constexpr int own = ROWS / 32;
  const Rows& rows;
  const u16* starts[own];
  int members[own];
  bool are_whole;

  template <typename MemberOf>
  __device__ __forceinline__ LineCopier(const Rows& rows, MemberOf member_of) : rows(rows), are_whole(true) {
#pragma unroll
    for (int i = 0; i < own; ++i) {
      members[i] = member_of(threadIdx.x / 8 + 32 * i);
      starts[i] = members[i] < 0 ? nullptr : rows.start(members[i]);
      if (members[i] >= 0 && !rows.is_whole(members[i])) are_whole = false;
    }
  }

  __device__ __forceinline__ void copy(u32 tile, int line) const {
    const int chunk = threadIdx.x % 8, element = line * LINE_ELEMENTS + chunk * 8;
    const i64 offset = rows.offset(element);
    const u32 to = chunk_address<ROWS>(tile, threadIdx.x / 8, chunk);
    const bool is_there = WIDTH % LINE_ELEMENTS == 0 || element < WIDTH;
#pragma unroll
    for (int i = 0; i < own; ++i) {
      const bool has = is_there && starts[i] != nullptr && (are_whole || rows.has(members[i], element));
      copy_async_16(to + i * 32 * LINE_BYTES, starts[i] + offset, has);
    }
  }
};

/**
 * Products of 128 rows and COLUMNS columns; `row_of` and `column_of` say whose vector a row or a column of the tile
 * holds, a negative number that it holds zeros. Threads 0 .. 127 get the first 64 rows, the others the rest. All
 * 256 threads have to call. Shared memory holds STAGES lines of both factors, or all where they are fewer.
 */
template <bool BF16, int WIDTH, int COLUMNS, int STAGES, typename Left, typename Right, typename RowOf, typename ColumnOf>
WARPLOOM_DEVICE void score_tile(u32 shared, const Left& left, RowOf row_of, const Right& right, ColumnOf column_of,
                                float (&sums)[COLUMNS / 8][4]) {
  constexpr int lines = (WIDTH + LINE_ELEMENTS - 1) / LINE_ELEMENTS, stages = score_stages<WIDTH, STAGES>;
  constexpr u32 left_bytes = SCORE_TILE * LINE_BYTES, stage_bytes = left_bytes + COLUMNS * LINE_BYTES;
  const LineCopier<SCORE_TILE, WIDTH, Left> rows(left, row_of);
  const LineCopier<COLUMNS, WIDTH, Right> columns(right, column_of);
  const auto copy = [&](int line) {
    if (line < lines) {
      const u32 slot = shared + line % stages * stage_bytes;
      rows.copy(slot, line);
      columns.copy(slot + left_bytes, line);
    }
    copy_commit();
  };
#pragma unroll
  for (int line = 0; line < stages - 1; ++line) copy(line);
#pragma unroll 1
  for (int line = 0; line < lines; ++line) {
    copy_wait<stages - 2>();
    tile_written();
    __syncthreads();
    const u32 slot = shared + line % stages * stage_bytes;
    multiply_tiles<BF16, SCORE_TILE, COLUMNS, steps_of<1, WIDTH>>(
        sums, slot, threadIdx.x / 128 * 64, slot + left_bytes, line > 0, [&] { copy(line + stages - 1); });
  }
}
