// Tiles of vectors in shared memory as matrix products read them: a row has lines of 64 elements (128 bytes),
// all rows of a line together, and the eight 16-byte chunks of a line change places with the row, so that
// neither copies nor fragments meet in a bank. A tile is aligned to 1024 bytes.

#define LINE_ELEMENTS 64
#define LINE_BYTES 128

template <int ROWS> WARPLOOM_DEVICE u32 chunk_address(u32 tile, int row, int chunk) {
  return tile + (chunk >> 3) * (ROWS * LINE_BYTES) + row * LINE_BYTES + ((chunk & 7) ^ (row & 7)) * 16;
}

/** Starts to copy a chunk of every line of a vector: `source` is what the first line's holds, or zeros where `is_there` is false. */
template <int ROWS, int LINES, int WIDTH>
WARPLOOM_DEVICE void copy_chunks(u32 to, const u16* source, bool is_there) {
#pragma unroll
  for (int line = 0; line < LINES; ++line) {
    const int element = line * LINE_ELEMENTS + threadIdx.x % 8 * 8;
    if (WIDTH % LINE_ELEMENTS == 0 || element < (WIDTH + 15) / 16 * 16)
      copy_async_16(to + line * ROWS * LINE_BYTES, source + line * LINE_ELEMENTS,
                    is_there && (WIDTH % LINE_ELEMENTS == 0 || element < WIDTH));
  }
}

/**
 * Starts to copy LINES lines of vectors into a tile: thread t copies chunk t % 8 of every line of the rows t / 8,
 * t / 8 + THREADS / 8 and so on. `member_of(row)` says whose vector a row of the tile holds, a negative number that it
 * holds zeros; elements of a vector follow each other. Vectors have WIDTH elements, a multiple of 8, and zeros up to a
 * multiple of 16. The THREADS of the block share the work.
 */
template <int ROWS, int LINES, int WIDTH, int THREADS, typename Rows, typename MemberOf>
WARPLOOM_DEVICE void copy_tile(u32 tile, const Rows& rows, MemberOf member_of) {
  static_assert(ROWS % (THREADS / 8) == 0, "every thread has as many rows");
  const int chunk = threadIdx.x % 8;
  const u32 to = chunk_address<ROWS>(tile, threadIdx.x / 8, chunk);
#pragma unroll
  for (int first = 0; first < ROWS; first += THREADS / 8) {
    const int member = member_of(first + threadIdx.x / 8);
    copy_chunks<ROWS, LINES, WIDTH>(to + first * LINE_BYTES, rows.find(max(member, 0), chunk * 8), member >= 0);
  }
}

/**
 * The same of tokens or pools at equal distances: `member` is whose vector the first row of a thread holds, the next ones'
 * are `step` further; those from `end` on hold zeros. THREADS is 0 where any number of them shares the work.
 */
template <int ROWS, int LINES, int WIDTH, int THREADS = 0, typename Rows>
WARPLOOM_DEVICE void copy_rows(u32 tile, const Rows& rows, int member, int step, int end) {
  const int chunk = threadIdx.x % 8, apart = (THREADS > 0 ? THREADS : blockDim.x) / 8;
  const u16* source = rows.start(member) + chunk * 8;
  const i64 source_step = step * rows.apart();
  const u32 to = chunk_address<ROWS>(tile, threadIdx.x / 8, chunk);
#pragma unroll(THREADS > 0 ? ROWS * 8 / THREADS : 1)
  for (int first = 0; first < ROWS; first += apart) {
    if (THREADS == 0 && first + threadIdx.x / 8 >= ROWS) break;
    copy_chunks<ROWS, LINES, WIDTH>(to + first * LINE_BYTES, source, member < end);
    member += step;
    source += source_step;
  }
}

/** Steps of 16 elements in LINES lines of a vector of WIDTH elements. */
template <int LINES, int WIDTH> constexpr int steps_of =
    LINES * 4 < (WIDTH + 15) / 16 ? LINES * 4 : (WIDTH + 15) / 16;

/** The first address of dynamic shared memory that a tile may have. */
WARPLOOM_DEVICE u32 first_tile(const void* shared) { return (shared_address(shared) + 1023u) & ~1023u; }

// What a thread holds of the products of 64 rows and COLUMNS columns, four warps together: elements
// sums[j][2 h + e] of row tile_row(h) and column tile_column(j, e).
WARPLOOM_DEVICE int tile_row(int half) { return (threadIdx.x & 127) / 32 * 16 + half * 8 + (threadIdx.x & 31) / 4; }
WARPLOOM_DEVICE int tile_column(int block, int element) { return block * 8 + (threadIdx.x & 3) * 2 + element; }

/** Makes copies that have arrived visible to the products; a barrier of the block has to follow. */
WARPLOOM_DEVICE void tile_written();

/**
 * sums = left right^T: 64 rows of a tile of LEFT rows from `row` on, BLOCKS x 8 rows of a tile of RIGHT rows
 * from row 0 on, STEPS steps of 16 elements; with `adds`, added to what is there. Whole warpgroups call. What has
 * nothing to do with the sums can be done while they are made: `meanwhile()` is. Each back-end has its own:
 * device/estimate-products.cuh, codegen/estimate/products.ts.
 */
template <bool BF16, int LEFT, int RIGHT, int STEPS, int BLOCKS, typename Meanwhile>
WARPLOOM_DEVICE void multiply_tiles(float (&sums)[BLOCKS][4], u32 left, int row, u32 right, bool adds,
                                    Meanwhile meanwhile);
