// The feed of a probe that needs nothing of a chip: all threads of a block copy the keys of a tile, 16 bytes each, and go
// on together when they have come.

/** Where a block of threads keeps its tiles: those of its query heads, then a ring of STAGES tiles of KEYS keys. */
template <bool BF16, int DIM, int KEYS, int STAGES, bool KEYS_LEFT, typename Keys, typename KeyOf> struct ProbeCopies {
  static constexpr bool keeps_sums = false;  // of the queries, in registers
  u32 tiles;
  const Keys& rows;
  int key_end;
  KeyOf key_of;  // of tile `i`: the key of this thread's first row
  int step;      // from there to its next rows

  __device__ __forceinline__ u32 own_queries() const { return tiles + threadIdx.x / 128 * probe_tile_bytes<DIM, PROBE>; }

  /** Starts to copy tile `i` of `count`. */
  __device__ __forceinline__ void copy(int i, int count) const {
    const u32 ring = tiles + blockDim.x / 128 * probe_tile_bytes<DIM, PROBE>;
    if (i < count)
      copy_rows<KEYS, probe_lines<DIM>, DIM>(ring + i % STAGES * probe_tile_bytes<DIM, KEYS>, rows, key_of(i), step, key_end);
    copy_commit();
  }

  /**
   * Calls `use(i, multiply)` for `count` tiles. It has to call `multiply(sums, meanwhile)` once: products of the own
   * queries and the keys, or with KEYS_LEFT of the keys and the own queries. All threads of the block call.
   */
  template <typename Use> __device__ __forceinline__ void for_tiles(int count, Use use) const {
    const u32 ring = tiles + blockDim.x / 128 * probe_tile_bytes<DIM, PROBE>;
#pragma unroll 1
    for (int i = 0; i < STAGES - 1; ++i) copy(i, count);
#pragma unroll 1
    for (int i = 0; i < count; ++i) {
      copy_wait<STAGES - 2>();
      tile_written();
      __syncthreads();
      const u32 slot = ring + i % STAGES * probe_tile_bytes<DIM, KEYS>;
      use(i, [&](auto& sums, auto meanwhile) {
        const auto all = [&] {
          copy(i + STAGES - 1, count);
          meanwhile();
        };
        constexpr int steps = steps_of<probe_lines<DIM>, DIM>;
        if (KEYS_LEFT) multiply_tiles<BF16, KEYS, PROBE, steps>(sums, slot, 0, own_queries(), false, all);
        else multiply_tiles<BF16, PROBE, KEYS, steps>(sums, own_queries(), 0, slot, false, all);
      });
    }
  }
};

/** The feed of the first pass: tiles of keys that follow each other, the last of them first. */
template <bool BF16, int DIM, int KEYS, int STAGES, typename Keys>
WARPLOOM_DEVICE auto probe_copies_of_rows(u32 tiles, const Keys& keys, int key_end, int tile_end) {
  const auto key_of = [=](int i) { return (tile_end - 1 - i) * KEYS + (int)threadIdx.x / 8; };
  return ProbeCopies<BF16, DIM, KEYS, STAGES, false, Keys, decltype(key_of)>{tiles, keys, key_end, key_of, (int)blockDim.x / 8};
}

/** That of the second: of each of eight parts of `part` keys from `key` on, 8 keys a tile. */
template <bool BF16, int DIM, int STAGES, typename Keys>
WARPLOOM_DEVICE auto probe_copies_of_parts(u32 tiles, const Keys& keys, int key_end, int key, int part) {
  const int first = key + (int)threadIdx.x / 64 * part + (int)threadIdx.x / 8 % 8;
  const auto key_of = [=](int i) { return first + 8 * i; };
  return ProbeCopies<BF16, DIM, PROBE, STAGES, true, Keys, decltype(key_of)>{tiles, keys, key_end, key_of, (int)blockDim.x / 64 * part};
}
