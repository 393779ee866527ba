// Products of cells on Hopper: one warp orders lines of both factors, 64 elements of every vector at a time, into a ring,
// and two warpgroups multiply them as they come, a line behind the other. A line of whole cells is a box: cells
// lie `stride` tokens apart, and their tokens are an axis of their own.

/** Barriers of a ring of STAGES slots: its lines are there, and both warpgroups have read them. */
template <int STAGES> struct CellBarriers {
  u64 full[STAGES], empty[STAGES];
};

/** Orders the products of a line of LEFT rows (64 of them) and one of RIGHT rows. Its text: codegen/estimate/products.ts. */
template <int BLOCKS> WARPLOOM_DEVICE void multiply_line(float (&sums)[BLOCKS][4], u32 left, u32 right, bool adds);
/** Waits until all lines but `pending` are multiplied. */
template <int pending, int BLOCKS> WARPLOOM_DEVICE void lines_wait(float (&sums)[BLOCKS][4]);

/** Cells of SIZE tokens of DIM elements; the first of the tile, and where the heads lie. Queries are reversed in a cell. */
struct CellBox {
  const TensorMap& map;
  int cell, head, batch;
};

template <int SIZE, int DIM, int COLUMNS, int STAGES> struct CellBoxes {
  static constexpr int per_token = DIM / LINE_ELEMENTS, lines = SIZE * per_token;
  static constexpr u32 left_bytes = SCORE_TILE * LINE_BYTES, slot_bytes = left_bytes + COLUMNS * LINE_BYTES;
  CellBarriers<STAGES>& barriers;
  u32 tiles;
  CellBox queries, keys;

  __device__ __forceinline__ bool is_producer() const { return threadIdx.x >= 256; }
  __device__ __forceinline__ bool orders() const { return threadIdx.x / 32 == 8 && elect_one(); }

  __device__ __forceinline__ void order(int line) const {
    u64& full = barriers.full[line % STAGES];
    const u32 slot = tiles + line % STAGES * slot_bytes;
    const int element = line % per_token * LINE_ELEMENTS, token = line / per_token;
    barrier_arrive_expect(full, slot_bytes);
    copy_box(slot, queries.map, full, element, queries.cell, SIZE - 1 - token, queries.head, queries.batch, KEEP_IN_CACHE);
    copy_box(slot + left_bytes, keys.map, full, element, keys.cell, token, keys.head, keys.batch, KEEP_IN_CACHE);
  }
  /** All threads call before a barrier of the block: the first lines are on their way. */
  __device__ __forceinline__ void begin() const {
    if (!orders()) return;
    for (int i = 0; i < STAGES; ++i) {
      barrier_init(barriers.full[i], 1);
      barrier_init(barriers.empty[i], 8);
    }
    barrier_init_done();
    shared_written();
    for (int line = 0; line < min(STAGES, lines); ++line) order(line);
  }
  /** What the producer has to do after that. */
  __device__ __forceinline__ void produce() const {
    if (!orders()) return;
#pragma unroll 1
    for (int line = STAGES; line < lines; ++line) {
      barrier_wait(barriers.empty[line % STAGES], (line / STAGES - 1) & 1);
      order(line);
    }
  }
  /** Products of all lines; the first warpgroup gets the first 64 rows. Both call, the producer does not. */
  __device__ __forceinline__ void multiply(float (&sums)[COLUMNS / 8][4]) const {
    const u32 own = __shfl_sync(FULL_WARP, threadIdx.x / 128, 0) * 64 * LINE_BYTES;
#pragma unroll 1
    for (int line = 0; line < lines; ++line) {
      barrier_wait(barriers.full[line % STAGES], line / STAGES & 1);
      const u32 slot = tiles + line % STAGES * slot_bytes;
      multiply_line(sums, slot + own, slot + left_bytes, line > 0);
      lines_wait<1>(sums);
      if (line > 0 && (threadIdx.x & 31) == 0) barrier_arrive(barriers.empty[(line - 1) % STAGES]);
    }
    lines_wait<0>(sums);
  }
};
