// Products of cells on Hopper: one warp orders lines of both factors, 64 elements of every vector at a time, into a ring,
// and GROUPS warpgroups multiply them as they come, each a line behind the one before. A line of whole cells is a box: cells
// lie `stride` tokens apart, and their tokens are an axis of their own. A block has tile after tile: while one is
// summed, the first lines of the next come.

/** Of a ring of STAGES slots: its lines are there, all warpgroups have read them, and the tile that begins with a line. */
template <int STAGES> struct CellRing {
  u64 full[STAGES], empty[STAGES];
  CellTile tiles[STAGES];
};

/** Orders the products of a line of LEFT rows (64 of them) and one of RIGHT rows. Its text: codegen/estimate/products.ts. */
template <int BLOCKS> WARPLOOM_DEVICE void multiply_line(float (&sums)[BLOCKS][4], u32 left, u32 right, bool adds);
/** Waits until all lines but `pending` are multiplied. */
template <int pending, int BLOCKS> WARPLOOM_DEVICE void lines_wait(float (&sums)[BLOCKS][4]);

/** Cells of SIZE tokens of DIM elements: queries, which are reversed in a cell, from cell `query` on, and keys. */
template <int SIZE, int DIM, int GROUPS, int COLUMNS, int STAGES, int LAG> struct CellBoxes {
  static constexpr int per_token = DIM / LINE_ELEMENTS, lines = SIZE * per_token;
  static constexpr u32 left_bytes = GROUPS * 64 * LINE_BYTES, slot_bytes = left_bytes + COLUMNS * LINE_BYTES;
  // Lines that a warpgroup is behind the one before: some multiply while another sums.
  static constexpr int lag = LAG < lines ? LAG : lines - 1;
  CellRing<STAGES>& ring;
  u32 slots;
  const TensorMap &queries, &keys;
  int query;

  __device__ __forceinline__ bool is_producer() const { return threadIdx.x >= GROUPS * 128; }
  __device__ __forceinline__ bool orders() const { return threadIdx.x / 32 == GROUPS * 4 && elect_one(); }

  /** All threads call before a barrier of the block. */
  __device__ __forceinline__ void begin() const {
    if (!orders()) return;
    for (int i = 0; i < STAGES; ++i) {
      barrier_init(ring.full[i], 1);
      barrier_init(ring.empty[i], GROUPS * 4);
    }
    barrier_init_done();
  }
  /** What the producer does: orders the lines of all tiles; `head_of_unit(unit)` says whose they are. */
  template <typename Walk, typename HeadOfUnit>
  __device__ __forceinline__ void produce(Walk walk, HeadOfUnit head_of_unit) const {
    if (!orders()) return;
    u32 at = 0;  // lines so far
#pragma unroll 1
    for (;;) {
      const CellTile tile = walk.next();
      const Head head = head_of_unit(tile.unit);
#pragma unroll 1
      for (int line = 0; line < lines; ++line, ++at) {
        const u32 own = at % STAGES, slot = slots + own * slot_bytes;
        u64& full = ring.full[own];
        barrier_wait(ring.empty[own], (at / STAGES & 1) ^ 1);
        if (line == 0) ring.tiles[own] = tile;
        if (tile.unit < 0) {
          barrier_arrive(full);
          return;
        }
        const int element = line % per_token * LINE_ELEMENTS, token = line / per_token;
        barrier_arrive_expect(full, slot_bytes);
        copy_box(slot, queries, full, element, tile.row - query, SIZE - 1 - token, head.head, head.batch, KEEP_IN_CACHE);
        copy_box(slot + left_bytes, keys, full, element, tile.column, token, head.kv_head, head.batch, KEEP_IN_CACHE);
        walk.step();
      }
    }
  }
  /** The tile that line `at` begins; it is to be multiplied, unless there is none. All warpgroups call. */
  __device__ __forceinline__ CellTile next(u32 at) const {
    barrier_wait(ring.full[at % STAGES], at / STAGES & 1);
    const CellTile tile = ring.tiles[at % STAGES];
    __syncwarp();  // one lane will tell that all have read
    return tile;
  }
  /** Products of all lines from `at` on; each warpgroup gets 64 rows. */
  __device__ __forceinline__ void multiply(float (&sums)[COLUMNS / 8][4], u32& at) const {
    const int warpgroup = __shfl_sync(FULL_WARP, threadIdx.x / 128, 0);
    if (lag > 0 && at == 0 && warpgroup > 0) threads_wait(warpgroup, 256);
#pragma unroll 1
    for (int line = 0; line < lines; ++line, ++at) {
      if (lag > 0 && at == lag && warpgroup < GROUPS - 1) threads_arrive(warpgroup + 1, 256);
      barrier_wait(ring.full[at % STAGES], at / STAGES & 1);
      const u32 slot = slots + at % STAGES * slot_bytes;
      multiply_line(sums, slot + warpgroup * 64 * LINE_BYTES, slot + left_bytes, line > 0);
      lines_wait<1>(sums);
      if (line > 0) release(at - 1);
    }
    lines_wait<0>(sums);
    release(at - 1);
  }
  __device__ __forceinline__ void release(u32 at) const {
    if ((threadIdx.x & 31) == 0) barrier_arrive(ring.empty[at % STAGES]);
  }
};
