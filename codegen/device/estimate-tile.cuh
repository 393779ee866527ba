// Tiles of vectors in shared memory as matrix products read them: a row has lines of 64 elements (128 bytes),
// all rows of a line together, and the eight 16-byte chunks of a line change places with the row, so that
// neither copies nor fragments meet in a bank. A tile is aligned to 1024 bytes.

#define LINE_ELEMENTS 64
#define LINE_BYTES 128

template <int ROWS> WARPLOOM_DEVICE u32 chunk_address(u32 tile, int row, int chunk) {
  return tile + (chunk >> 3) * (ROWS * LINE_BYTES) + row * LINE_BYTES + ((chunk & 7) ^ (row & 7)) * 16;
}

/**
 * Starts to copy LINES lines from line `line` on into a tile; `member_of(row)` says whose vector a row of the
 * tile holds, a negative number that it holds zeros. Vectors have WIDTH elements, a multiple of 8, and
 * zeros up to a multiple of 16. All threads of the block share the work.
 */
template <int ROWS, int LINES, int WIDTH, typename Rows, typename MemberOf>
WARPLOOM_DEVICE void copy_tile(u32 tile, const Rows& rows, int line, MemberOf member_of) {
  constexpr int chunks = LINES * 8 < (WIDTH + 15) / 16 * 2 ? LINES * 8 : (WIDTH + 15) / 16 * 2;
  for (int i = threadIdx.x; i < ROWS * chunks; i += blockDim.x) {
    const int row = i / chunks, chunk = i % chunks;
    const int member = member_of(row), element = line * LINE_ELEMENTS + chunk * 8;
    const u16* source = member >= 0 && element < WIDTH ? rows.find(member, element) : nullptr;
    copy_async_16(chunk_address<ROWS>(tile, row, chunk), source, source != nullptr);
  }
}

/**
 * The same of tokens or pools at equal distances: thread t copies chunk t % 8 of every line of the rows t / 8, t / 8 +
 * blockDim.x / 8 and so on. `member` is whose vector the first of them holds, the next ones' are `step` further;
 * those from `end` on hold zeros.
 */
template <int ROWS, int LINES, int WIDTH, typename Rows>
WARPLOOM_DEVICE void copy_rows(u32 tile, const Rows& rows, int member, int step, int end) {
  const int chunk = threadIdx.x % 8, apart = blockDim.x / 8;
  const u16* source = rows.start(member) + chunk * 8;
  const i64 source_step = step * rows.apart();
  u32 to = chunk_address<ROWS>(tile, threadIdx.x / 8, chunk);
  for (int row = threadIdx.x / 8; row < ROWS; row += apart) {
#pragma unroll
    for (int line = 0; line < LINES; ++line) {
      const int element = line * LINE_ELEMENTS + chunk * 8;
      if (WIDTH % LINE_ELEMENTS == 0 || element < (WIDTH + 15) / 16 * 16)
        copy_async_16(to + line * ROWS * LINE_BYTES, source + line * LINE_ELEMENTS,
                      member < end && (WIDTH % LINE_ELEMENTS == 0 || element < WIDTH));
    }
    member += step;
    source += source_step;
    to += apart * LINE_BYTES;
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
