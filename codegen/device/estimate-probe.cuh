// The weights of a few last queries on all keys, for all query heads of a KV head at once: 64 queries of a head
// are the work of a warpgroup, and the tiles of keys that pass by are read once for all of them. Two passes
// leave no weight in memory: the sums of the softmax of every query, and, the scores computed again, the
// sums of the weights per key and per distance.

#define PROBE 64  // queries of a head

template <int DIM> constexpr int probe_lines = (DIM + LINE_ELEMENTS - 1) / LINE_ELEMENTS;
/** Of a tile of so many rows. */
template <int DIM, int ROWS> constexpr u32 probe_tile_bytes = probe_lines<DIM> * ROWS * LINE_BYTES;

/** The queries of a launch: positions [row, row_end), at most PROBE of them, and the last key that each sees. */
struct ProbeQueries {
  int row, row_end, key_end;
  bool causal;
  __device__ __forceinline__ int last_key(int query) const {
    if (row + query >= row_end) return -1;
    return causal ? row + query : key_end - 1;
  }
  /** All queries see the keys up to this one. */
  __device__ __forceinline__ int all_see() const {
    if (row_end - row < PROBE) return -1;
    return causal ? row : key_end - 1;
  }
};

/** Where a block of threads keeps its tiles: those of its query heads, then a ring of STAGES tiles of KEYS keys. */
template <bool BF16, int DIM, int KEYS, int STAGES> struct ProbeTiles {
  u32 queries, keys;

  __device__ __forceinline__ ProbeTiles(u32 shared)
      : queries(shared), keys(shared + blockDim.x / 128 * probe_tile_bytes<DIM, PROBE>) {}

  /** Starts to copy the queries of the heads from `first` on, one for each warpgroup; heads behind the group stay zeros. */
  template <typename RowsOf>
  __device__ __forceinline__ void copy_queries(const ProbeQueries& probe, int heads, RowsOf rows_of) const {
    for (int head = 0; head < (int)blockDim.x / 128; ++head)
      copy_tile<PROBE, probe_lines<DIM>, DIM>(queries + head * probe_tile_bytes<DIM, PROBE>, rows_of(head), 0, [&](int i) {
        return head < heads && probe.row + i < probe.row_end ? probe.row + i : -1;
      });
  }

  /** Starts to copy tile `i` of `count`: `key_of(i)` is the key of this thread's first row, its others are `step` further. */
  template <typename Keys, typename KeyOf>
  __device__ __forceinline__ void copy(const Keys& rows, int i, int count, KeyOf key_of, int step, int key_end) const {
    if (i < count)
      copy_rows<KEYS, probe_lines<DIM>, DIM>(keys + i % STAGES * probe_tile_bytes<DIM, KEYS>, rows, key_of(i), step, key_end);
    copy_commit();
  }

  /** Calls `use(i, tile)` for `count` tiles and `copy(i)`, once each, early enough: `use` does for tile i + STAGES - 1. */
  template <typename Copy, typename Use>
  __device__ __forceinline__ void for_tiles(int count, Copy copy, Use use) const {
#pragma unroll 1
    for (int i = 0; i < STAGES - 1; ++i) copy(i);
#pragma unroll 1
    for (int i = 0; i < count; ++i) {
      copy_wait<STAGES - 2>();
      tile_written();
      __syncthreads();
      use(i, keys + i % STAGES * probe_tile_bytes<DIM, KEYS>);
    }
  }

  __device__ __forceinline__ u32 own_queries() const { return queries + threadIdx.x / 128 * probe_tile_bytes<DIM, PROBE>; }
};

/**
 * First pass: the partial sums of the queries of this thread's warpgroup over the tiles [tile, tile_end) of keys,
 * scores being products times `scale` (log2 e included); lanes of a quad hold the same: queries tile_row(0) and (1).
 * `is_finite` becomes false where a score that is seen is not finite. All threads of the block have to call.
 */
template <bool BF16, int DIM, int KEYS, int STAGES, typename Keys>
WARPLOOM_DEVICE void probe_sums_of_rows(const ProbeTiles<BF16, DIM, KEYS, STAGES>& tiles, const Keys& keys,
                                        const ProbeQueries& probe, int tile, int tile_end, float scale,
                                        PartialSum (&rows)[2], bool (&is_finite)[2]) {
  const int last[2] = {probe.last_key(tile_row(0)), probe.last_key(tile_row(1))};
  float not_a_number[2] = {0.0f, 0.0f};  // 0 times every score
  rows[0] = rows[1] = {NEGATIVE_INFINITY, 0.0f};
  // From the far end, so that the second pass finds in the cache what was read last.
  const auto key_of = [&](int i) { return (tile_end - 1 - i) * KEYS; };
  const auto copy = [&](int i) {
    tiles.copy(keys, i, tile_end - tile, [&](int own) { return key_of(own) + (int)threadIdx.x / 8; }, blockDim.x / 8,
               probe.key_end);
  };
  tiles.for_tiles(tile_end - tile, copy, [&](int i, u32 slot) {
    float scores[KEYS / 8][4];
    multiply_tiles<BF16, PROBE, KEYS, steps_of<probe_lines<DIM>, DIM>>(
        scores, tiles.own_queries(), 0, slot, false,
        [&] { copy(i + STAGES - 1); });
    const int key = key_of(i);
    if (key + KEYS - 1 > probe.all_see()) {
#pragma unroll
      for (int j = 0; j < KEYS / 8; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const bool is_seen = key + tile_column(j, e & 1) <= last[e >> 1];
          if (is_seen) not_a_number[e >> 1] = fmaf(scores[j][e], 0.0f, not_a_number[e >> 1]);
          else scores[j][e] = NEGATIVE_INFINITY;
        }
    } else {
#pragma unroll
      for (int j = 0; j < KEYS / 8; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e) not_a_number[e >> 1] = fmaf(scores[j][e], 0.0f, not_a_number[e >> 1]);
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float largest = NEGATIVE_INFINITY;
#pragma unroll
      for (int j = 0; j < KEYS / 8; ++j) largest = fmaxf(largest, fmaxf(scores[j][2 * half], scores[j][2 * half + 1]));
      const float maximum = fmaxf(rows[half].maximum, largest * scale);
      const float reference = maximum == NEGATIVE_INFINITY ? 0.0f : maximum;
      float sum = rows[half].sum * exp2_fast(rows[half].maximum - reference);
#pragma unroll
      for (int j = 0; j < KEYS / 8; ++j)
        sum += exp2_fast(fmaf(scores[j][2 * half], scale, -reference)) +
               exp2_fast(fmaf(scores[j][2 * half + 1], scale, -reference));
      rows[half] = {maximum, sum};
    }
  });
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    is_finite[half] = not_a_number[half] == 0.0f;
#pragma unroll
    for (int step = 1; step <= 2; step *= 2)
      rows[half] = join_sums(rows[half], {__shfl_xor_sync(FULL_WARP, rows[half].maximum, step),
                                          __shfl_xor_sync(FULL_WARP, rows[half].sum, step)});
  }
}

/** Where the sums of one query head go. */
struct ProbeTargets {
  float* columns;    // per key
  float* distances;  // per distance, up to distance_end
  float* leads;      // [8, 64]: diagonals that began in the part before, of each part
  int distance_end;
  bool adds;  // to what is there
};

WARPLOOM_DEVICE void put_sum(float* target, float sum, bool adds) { *target = adds ? *target + sum : sum; }

/**
 * Second pass: sums of weights over the queries, per key (COLUMNS) and per distance (DISTANCES), of the keys
 * [key, key + 8 part): eight parts of `part` keys each (a multiple of 8, 64 or more), of which every tile holds 8
 * keys each. A warp has two parts. `lse` are the log2 of the sums of the queries' softmax. Diagonals
 * that began before a part are left in its lead, and have to be added to the sums that the part before left.
 */
template <bool COLUMNS, bool DISTANCES, bool BF16, int DIM, int STAGES, typename Keys>
WARPLOOM_DEVICE void probe_sums(const ProbeTiles<BF16, DIM, PROBE, STAGES>& tiles, const Keys& keys, const ProbeQueries& probe,
                                int key, int part, float scale, const float* lse, const ProbeTargets& to, bool is_head) {
  const int lane = threadIdx.x & 31, g = lane / 4, t = lane & 3, own_part = (threadIdx.x & 127) / 32 * 2;
  const int steps = part / 8, first[2] = {key + own_part * part, key + (own_part + 1) * part};
  float* leads[2] = {to.leads + own_part * PROBE, to.leads + (own_part + 1) * PROBE};
  Diagonals diagonals[2];
  diagonals[0].begin();
  diagonals[1].begin();
  const auto leave_diagonals = [&](int i) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float sum = diagonals[half].leave();
      const int offset = 8 * (i - DIAGONAL_LAG) + g, distance = probe.row - first[half] - offset;
      if (t != 0 || !is_head) continue;
      if (offset >= 0 || first[half] == 0) {
        if (distance >= 0 && distance < to.distance_end) put_sum(to.distances + distance, sum, to.adds);
      } else if (offset >= -PROBE) {
        leads[half][offset + PROBE] = sum;
      }
    }
  };
  const int first_key = key + (int)threadIdx.x / 64 * part + (int)threadIdx.x / 8 % 8;
  const auto copy = [&](int i) {
    tiles.copy(keys, i, steps, [&](int own) { return first_key + 8 * own; }, (int)blockDim.x / 64 * part, probe.key_end);
  };
  float sums[2] = {0.0f, 0.0f};  // of the last step, this thread's queries of both keys
  // What a step leaves after its weights are known: done while the products of the next are made.
  const auto leave = [&](int i) {
    if (COLUMNS && i < steps) {
      // Lanes with an even t end up with the sum of the first part, the others with that of the second.
      float sum = (t & 1 ? sums[1] : sums[0]) + __shfl_xor_sync(FULL_WARP, t & 1 ? sums[0] : sums[1], 1);
      sum += __shfl_xor_sync(FULL_WARP, sum, 2);
      const int column = (t & 1 ? first[1] : first[0]) + 8 * i + g;
      if (t < 2 && is_head && column < probe.key_end) put_sum(to.columns + column, sum, to.adds);
    }
    if (DISTANCES) leave_diagonals(i);
  };
  tiles.for_tiles(steps, copy, [&](int i, u32 slot) {
    float weights[8][4];
    multiply_tiles<BF16, PROBE, PROBE, steps_of<probe_lines<DIM>, DIM>>(weights, slot, 0, tiles.own_queries(), false, [&] {
      copy(i + STAGES - 1);
      if (i > 0) leave(i - 1);
    });
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      const float2 sums = *(const float2*)&lse[tile_column(j, 0)];
#pragma unroll
      for (int e = 0; e < 4; ++e) weights[j][e] = exp2_fast(fmaf(weights[j][e], scale, -(e & 1 ? sums.y : sums.x)));
    }
    // Of a query that is not there the sum is infinite, and the weights are zeros already.
    const int seen = probe.causal ? probe.row : probe.key_end - 1;
    if (first[1] + 8 * i + 7 > seen) {
#pragma unroll
      for (int j = 0; j < 8; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e)
          if (first[e >> 1] + 8 * i + g > (probe.causal ? probe.row + tile_column(j, e & 1) : seen)) weights[j][e] = 0.0f;
    }
    if (COLUMNS) {
      sums[0] = sums[1] = 0.0f;
#pragma unroll
      for (int j = 0; j < 8; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e) sums[e >> 1] += weights[j][e];
    }
    if (DISTANCES) {
#pragma unroll
      for (int half = 0; half < 2; ++half)
        diagonals[half].add([&](int j, int e) { return weights[j][2 * half + e]; });
    }
  });
  leave(steps - 1);
  if (DISTANCES)
    for (int i = steps; i < steps + DIAGONAL_LAG; ++i) {
#pragma unroll
      for (int half = 0; half < 2; ++half) diagonals[half].add([](int, int) { return 0.0f; });
      leave_diagonals(i);
    }
}
