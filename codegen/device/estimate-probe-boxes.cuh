// The feed of a probe on Hopper: one warp orders boxes of keys into a ring, and each warpgroup goes through it at its own
// pace. Left alone the warpgroups would fall into step, all at their products, then all at their exponentials: a
// token keeps them apart, that a warpgroup has while it orders products and until half of them are done.

/** Barriers of a ring of STAGES slots: its keys are there, and all warps have read them. */
template <int STAGES> struct ProbeBarriers {
  u64 full[STAGES], empty[STAGES];
};

/**
 * Products of 64 rows and BLOCKS x 8 columns, STEPS steps of 16 elements: lines of 64 elements are LEFT_LINE and
 * RIGHT_LINE bytes apart, and 8 rows on the left LEFT_ROWS. `halfway()` comes when half of them are done, `meanwhile()`
 * then. Its text: codegen/estimate/products.ts.
 */
template <int LEFT_LINE, int LEFT_ROWS, int RIGHT_LINE, int STEPS, int BLOCKS, typename Halfway, typename Meanwhile>
WARPLOOM_DEVICE void multiply_boxes(float (&sums)[BLOCKS][4], u32 left, u32 right, Halfway halfway, Meanwhile meanwhile);

/**
 * Boxes of BOX keys, a multiple of 8, BOXES a slot. A warp behind the warpgroups that multiply orders them, `key_of(i, box)` saying
 * where a box begins. Products are of the own queries and the keys, or with KEYS_LEFT of the keys and the own queries.
 */
template <int DIM, int BOX, int BOXES, int STAGES, bool KEYS_LEFT, typename KeyOf> struct ProbeBoxes {
  static constexpr bool keeps_sums = true;  // of the queries, in registers: shared memory is busy
  static constexpr int lines = probe_lines<DIM>;
  static constexpr u32 box_bytes = lines * BOX * LINE_BYTES, slot_bytes = BOXES * box_bytes;
  ProbeBarriers<STAGES>& barriers;
  u32 tiles;
  int warpgroups;  // that multiply
  const TensorMap& map;
  int kv_head, batch;
  KeyOf key_of;

  __device__ __forceinline__ u32 slot(int i) const {
    return tiles + warpgroups * probe_tile_bytes<DIM, PROBE> + i % STAGES * slot_bytes;
  }
  __device__ __forceinline__ bool is_producer() const { return (int)threadIdx.x >= 128 * warpgroups; }

  // The axes of the map: column, key, head, slab of 64 columns, batch.
  __device__ __forceinline__ void order(int i) const {
    barrier_arrive_expect(barriers.full[i % STAGES], slot_bytes);
#pragma unroll
    for (int box = 0; box < BOXES; ++box)
      copy_box(slot(i) + box * box_bytes, map, barriers.full[i % STAGES], 0, key_of(i, box), kv_head, 0, batch, KEEP_IN_CACHE);
  }
  __device__ __forceinline__ bool orders() const { return (int)threadIdx.x / 32 == 4 * warpgroups && elect_one(); }
  /** All threads call before a barrier of the block: the first tiles of `count` are on their way. */
  __device__ __forceinline__ void begin(int count) const {
    if (!orders()) return;
    for (int i = 0; i < STAGES; ++i) {
      barrier_init(barriers.full[i], 1);
      barrier_init(barriers.empty[i], 4 * warpgroups);
    }
    barrier_init_done();
    shared_written();
    for (int i = 0; i < min(STAGES, count); ++i) order(i);
  }
  /** What the producer has to do after that. */
  __device__ __forceinline__ void produce(int count) const {
    if (!orders()) return;
#pragma unroll 1
    for (int i = STAGES; i < count; ++i) {
      barrier_wait(barriers.empty[i % STAGES], (i / STAGES - 1) & 1);
      order(i);
    }
  }

  __device__ __forceinline__ void pass_token(int to) const {
    if (warpgroups > 1) threads_arrive(1 + to, 256);
  }
  /** As that of device/estimate-probe-copies.cuh; all warpgroups call, the producer does not. */
  template <typename Use> __device__ __forceinline__ void for_tiles(int count, Use use) const {
    // The same for a warp, and known to be.
    const int own = __shfl_sync(FULL_WARP, threadIdx.x / 128, 0), next = own + 1 == warpgroups ? 0 : own + 1;
    const u32 queries = tiles + own * probe_tile_bytes<DIM, PROBE>;
    if (next == 0) pass_token(0);
#pragma unroll 1
    for (int i = 0; i < count; ++i) {
      barrier_wait(barriers.full[i % STAGES], i / STAGES & 1);
      use(i, [&](auto& sums, auto meanwhile) {
        if (warpgroups > 1) threads_wait(1 + own, 256);
        const auto halfway = [&] { pass_token(next); };
        constexpr int query_line = PROBE * LINE_BYTES, key_line = BOX * LINE_BYTES, steps = steps_of<lines, DIM>;
        if (KEYS_LEFT) multiply_boxes<key_line, BOX == 8 ? (int)box_bytes : 1024, query_line, steps>(sums, slot(i), queries, halfway, meanwhile);
        else multiply_boxes<query_line, 1024, key_line, steps>(sums, queries, slot(i), halfway, meanwhile);
        if ((threadIdx.x & 31) == 0) barrier_arrive(barriers.empty[i % STAGES]);
      });
    }
  }
};

/** The feed of the first pass: tiles of KEYS keys that follow each other, the last of them first. */
template <int DIM, int KEYS, int STAGES>
WARPLOOM_DEVICE auto probe_boxes_of_rows(ProbeBarriers<STAGES>& barriers, u32 tiles, int warpgroups, const TensorMap& map, int kv_head,
                                         int batch, int tile_end) {
  const auto key_of = [=](int i, int) { return (tile_end - 1 - i) * KEYS; };
  return ProbeBoxes<DIM, KEYS, 1, STAGES, false, decltype(key_of)>{barriers, tiles, warpgroups, map, kv_head, batch, key_of};
}

/** That of the second: of each of eight parts of `part` keys from `key` on, 8 keys a tile. */
template <int DIM, int STAGES>
WARPLOOM_DEVICE auto probe_boxes_of_parts(ProbeBarriers<STAGES>& barriers, u32 tiles, int warpgroups, const TensorMap& map, int kv_head,
                                          int batch, int key, int part) {
  const auto key_of = [=](int i, int box) { return key + box * part + 8 * i; };
  return ProbeBoxes<DIM, 8, 8, STAGES, true, decltype(key_of)>{barriers, tiles, warpgroups, map, kv_head, batch, key_of};
}
