// The weights of a few last queries on all keys, for all query heads of a KV head at once: 64 queries of a head
// are the work of a warpgroup, and the tiles of keys that pass by are read once for all of them. Two passes
// leave no weight in memory: the sums of the softmax of every query, and, the scores computed again, the
// sums of the weights per key and per distance. How keys come to the products is the business of a feed:
// device/estimate-probe-copies.cuh, device/estimate-probe-boxes.cuh.

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

/** Starts to copy the queries of the heads from `first` on, one for each warpgroup; heads behind the group stay zeros. */
template <int DIM, typename RowsOf>
WARPLOOM_DEVICE void copy_probe_queries(u32 tiles, const ProbeQueries& probe, int warpgroups, int heads, RowsOf rows_of) {
  constexpr int all = (DIM + 15) / 16 * 2, chunks = probe_lines<DIM> * 8 < all ? probe_lines<DIM> * 8 : all;
  for (int head = 0; head < warpgroups; ++head) {
    const u32 tile = tiles + head * probe_tile_bytes<DIM, PROBE>;
    const auto rows = rows_of(head);
    for (int i = threadIdx.x; i < PROBE * chunks; i += blockDim.x) {
      const int row = i / chunks, chunk = i % chunks, element = chunk * 8;
      const bool is_there = head < heads && probe.row + row < probe.row_end && element < DIM;
      const u16* source = is_there ? rows.find(probe.row + row, element) : nullptr;
      copy_async_16(chunk_address<PROBE>(tile, row, chunk), source, source != nullptr);
    }
  }
}

/**
 * How far a sum of exponentials may grow beyond its reference before it gets another: fp32 is as exact there, and far
 * from its end.
 */
#define PROBE_LIMIT 1.0995116e12f  // 2^40

/** The sum of 2^(score * scale - reference) of a thread's scores of one row. */
template <int BLOCKS>
WARPLOOM_DEVICE float probe_row_sum(const float (&scores)[BLOCKS][4], int half, float scale, float reference) {
  float even = 0.0f, odd = 0.0f;
#pragma unroll
  for (int j = 0; j < BLOCKS; ++j) {
    even += exp2_fast(fmaf(scores[j][2 * half], scale, -reference));
    odd += exp2_fast(fmaf(scores[j][2 * half + 1], scale, -reference));
  }
  return even + odd;
}

/** Finite where all scores of a row are, but for products that overflow; half the work of looking at each. */
template <int BLOCKS> WARPLOOM_DEVICE float probe_row_check(const float (&scores)[BLOCKS][4], int half) {
  float check = 0.0f;
#pragma unroll
  for (int j = 0; j < BLOCKS; ++j) check = fmaf(scores[j][2 * half], scores[j][2 * half + 1], check);
  return check;
}

/**
 * First pass: the partial sums of the queries of this thread's warpgroup over the tiles [tile, tile_end) of KEYS keys,
 * scores being products times `scale` (log2 e included); lanes of a quad hold the same: queries tile_row(0) and (1).
 * `is_finite` becomes false where a score that is seen is not finite. The feed gives the tiles from the far end on, so
 * that the second pass finds in the cache what was read last.
 *
 * A thread's exponentials have the maximum of its first tile as their reference. Later tiles are summed under it
 * unexamined, and again under their own maximum where the sum says that some score is far above it.
 */
template <int KEYS, typename Feed>
WARPLOOM_DEVICE void probe_sums_of_rows(Feed& feed, const ProbeQueries& probe, int tile, int tile_end, float scale,
                                        PartialSum (&rows)[2], bool (&is_finite)[2]) {
  const int last[2] = {probe.last_key(tile_row(0)), probe.last_key(tile_row(1))};
  float not_a_number[2] = {0.0f, 0.0f};  // 0 times every score
  rows[0] = rows[1] = {NEGATIVE_INFINITY, 0.0f};
  feed.for_tiles(tile_end - tile, [&](int i, auto multiply) {
    float scores[KEYS / 8][4];
    multiply(scores, [] {});
    const int key = (tile_end - 1 - i) * KEYS;
    bool is_plain = i > 0 && key + KEYS - 1 <= probe.all_see();
    float sums[2];
    if (is_plain) {
      float largest = 0.0f;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        sums[half] = probe_row_sum(scores, half, scale, rows[half].maximum);
        const bool is_good = fabsf(probe_row_check(scores, half)) <= LARGEST_FLOAT && rows[half].maximum > NEGATIVE_INFINITY;
        largest = fmaxf(largest, is_good ? sums[half] : PROBE_LIMIT);
      }
      is_plain = __all_sync(FULL_WARP, largest < PROBE_LIMIT);
    }
    if (!is_plain) {
      const bool is_cut = key + KEYS - 1 > probe.all_see();
#pragma unroll
      for (int j = 0; j < KEYS / 8; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const bool is_seen = !is_cut || key + tile_column(j, e & 1) <= last[e >> 1];
          if (is_seen) not_a_number[e >> 1] = fmaf(scores[j][e], 0.0f, not_a_number[e >> 1]);
          else scores[j][e] = NEGATIVE_INFINITY;
        }
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float largest = NEGATIVE_INFINITY;
#pragma unroll
        for (int j = 0; j < KEYS / 8; ++j) largest = fmaxf(largest, fmaxf(scores[j][2 * half], scores[j][2 * half + 1]));
        const float maximum = fmaxf(rows[half].maximum, largest * scale);
        const float reference = maximum == NEGATIVE_INFINITY ? 0.0f : maximum;
        rows[half] = {maximum, rows[half].sum * exp2_fast(rows[half].maximum - reference)};
        sums[half] = probe_row_sum(scores, half, scale, reference);
      }
    }
    rows[0].sum += sums[0];
    rows[1].sum += sums[1];
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
  u32 column_from, distance_from, lead_from;  // where those of the head begin
  int distance_end;
};

template <bool ADDS> WARPLOOM_DEVICE void put_sum(float* target, float sum) { *target = ADDS ? *target + sum : sum; }

/** Holds a number in its register, where compilers would compute it in every turn of a loop. A whole warp calls. */
WARPLOOM_DEVICE int held(int x) { return __shfl_sync(FULL_WARP, x, threadIdx.x & 31); }

/**
 * Second pass: sums of weights over the queries, per key (COLUMNS) and per distance (DISTANCES), of the keys
 * [key, key + 8 part): eight parts of `part` keys each (a multiple of 8, 64 or more), of which every tile holds 8
 * keys each: row 8 y + g is a key of part y. A warp has two parts. `lse` are the log2 of the sums of the queries' softmax;
 * with ADDS, sums are added to what is there. Diagonals that began before a part are left in its lead, and have to be added
 * to the sums that the part before left.
 */
template <bool COLUMNS, bool DISTANCES, bool ADDS, typename Feed>
WARPLOOM_DEVICE void probe_sums(Feed& feed, const ProbeQueries& probe, int key, u32 part, float scale, const float* lse,
                                const ProbeTargets& to, bool is_head) {
  const int lane = held(threadIdx.x & 31), own_part = (threadIdx.x & 127) / 32 * 2;
  const int steps = part / 8, first = key + own_part * part;
  Diagonals diagonals[2];
  diagonals[0].begin();
  diagonals[1].begin();
  // The distance of the next sum of a diagonal, of the first part; far below 0 in lanes that have none to put.
  int distance = (lane & 3) == 0 && is_head ? probe.row - first + 8 * DIAGONAL_LAG - lane / 4 : -(1 << 30);
  const auto leave_diagonals = [&](int i) {
    float own[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) own[half] = diagonals[half].leave(lane);
    // Of the first steps, diagonals that began before the part, if that is not the first.
    if (i >= DIAGONAL_LAG) {
#pragma unroll
      for (int half = 0; half < 2; ++half)
        if (distance >= half * (int)part) put_sum<ADDS>(to.distances + (to.distance_from + distance - half * part), own[half]);
    } else if (distance > -(1 << 29)) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int at = distance - half * part, lead = (own_part + half) * PROBE + 8 * (i - DIAGONAL_LAG + 8) + (threadIdx.x & 31) / 4;
        if (first + half * part == 0) {
          if (at >= 0 && at < to.distance_end) put_sum<ADDS>(to.distances + (to.distance_from + at), own[half]);
        } else if (i >= DIAGONAL_LAG - 8) {
          to.leads[to.lead_from + lead] = own[half];
        }
      }
    }
    distance -= 8;
  };
  float own_lse[8][2];
  if (Feed::keeps_sums) {
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      own_lse[j][0] = lse[tile_column(j, 0)];
      own_lse[j][1] = lse[tile_column(j, 1)];
    }
  }
  float sums[2] = {0.0f, 0.0f};  // of the last step, this thread's queries of both keys
  // Where the next sum of a column goes; of lanes that have none to put, no place is below the end.
  u32 column = to.column_from + first + (lane & 1) * part + lane / 4;
  const u32 column_end = (lane & 3) < 2 && is_head ? to.column_from + probe.key_end : 0;
  // What a step leaves after its weights are known: done while the products of the next are made.
  const auto leave = [&](int i) {
    if (COLUMNS) {
      // Lanes with an even number end up with the sum of the first part, the others with that of the second.
      float sum = (lane & 1 ? sums[1] : sums[0]) + __shfl_xor_sync(FULL_WARP, lane & 1 ? sums[0] : sums[1], 1);
      sum += __shfl_xor_sync(FULL_WARP, sum, 2);
      if (column < column_end) put_sum<ADDS>(to.columns + column, sum);
      column += 8;
    }
    if (DISTANCES) leave_diagonals(i);
  };
  // Where all queries see all keys of a step.
  const int seen = probe.causal ? probe.row : probe.key_end - 1, plain = held(seen - 7 - key - 7 * (int)part);
  feed.for_tiles(steps, [&](int i, auto multiply) {
    float weights[8][4];
    multiply(weights, [&] {
      if (i > 0) leave(i - 1);
    });
#pragma unroll
    for (int j = 0; j < 8; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e)
        weights[j][e] = exp2_fast(fmaf(weights[j][e], scale, -(Feed::keeps_sums ? own_lse[j][e & 1] : lse[tile_column(j, e & 1)])));
    // Of a query that is not there the sum is infinite, and the weights are zeros already.
    if (8 * i > plain) {
      const int own_key = first + 8 * i + (threadIdx.x & 31) / 4;
#pragma unroll
      for (int j = 0; j < 8; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e)
          if (own_key + (e >> 1) * (int)part > (probe.causal ? probe.row + tile_column(j, e & 1) : seen)) weights[j][e] = 0.0f;
    }
    if (COLUMNS) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float even = weights[0][2 * half], odd = weights[0][2 * half + 1];
#pragma unroll
        for (int j = 1; j < 8; ++j) {
          even += weights[j][2 * half];
          odd += weights[j][2 * half + 1];
        }
        sums[half] = even + odd;
      }
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
