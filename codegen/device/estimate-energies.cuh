// Energies: of a block of queries, all heads that share a choice together, the sum of the exponentials of its
// scores with each pool of keys, up to a factor. Keys are rows of a tile and queries its columns, so that a thread
// sums over queries by itself. While a tile is summed, the products of the next are made.

#define ENERGY_POOLS 64  // of a tile
#define ENERGY_THREADS 128

/** The queries that one block of energies sums over: `tokens` positions from `position` on, of `heads` heads. */
struct EnergyQueries {
  TokenRows first;   // of the first head
  i64 head_stride;   // elements
  int position, tokens, heads;
  int row, row_end;  // positions that there are

  /** The position of query number `i`, or a negative number: those of one head follow each other. */
  __device__ __forceinline__ int position_of(int i) const {
    const int at = position + i % tokens;
    return i < tokens * heads && at >= row && at < row_end ? at : -1;
  }
  __device__ __forceinline__ const u16* find(int i, int element) const {
    return first.find(position + i % tokens, element) + i / tokens * head_stride;
  }
};

template <int QUERIES> struct EnergyShared {
  int ends[QUERIES];          // what each query sees
  WarpValues<float> largest;
};

/** Tells all scores of a tile that are seen and not finite. */
template <int BLOCKS>
WARPLOOM_DEVICE void report_tile(u64* error, const float (&scores)[BLOCKS][4], const EnergyQueries& queries, Head first,
                                 int query, const int* ends, int pool) {
#pragma unroll 1
  for (int j = 0; j < BLOCKS; ++j)
    for (int e = 0; e < 4; ++e) {
      const int column = tile_column(j, e & 1), i = query + column;
      float score = 0.0f;
#pragma unroll
      for (int own = 0; own < BLOCKS; ++own)
        if (own == j) score = e == 0 ? scores[own][0] : e == 1 ? scores[own][1] : e == 2 ? scores[own][2] : scores[own][3];
      if (pool + tile_row(e >> 1) >= ends[column] || fabsf(score) <= LARGEST_FLOAT) continue;
      report_not_finite(error, {first.batch, first.head + i / queries.tokens, first.kv_head, first.group}, queries.position_of(i));
    }
}

/** Far from the end of fp32, and far above sums of exponentials under their maximum. */
#define ENERGY_LIMIT 1.2676506e30f  // 2^100

/** The ends of the queries of a tile, and the least of them. */
struct EnergyEnds {
  const int* ends;
  int least;
  /** Makes the scores that are not seen the least number that is finite. */
  template <int BLOCKS> __device__ __forceinline__ void mask(float (&scores)[BLOCKS][4], int pool) const {
    if (pool + ENERGY_POOLS <= least) return;
#pragma unroll
    for (int j = 0; j < BLOCKS; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e)
        if (pool + tile_row(e >> 1) >= ends[tile_column(j, e & 1)]) scores[j][e] = -LARGEST_FLOAT;
  }
};

/** The most that the bits of scores come to: INFINITE_BITS or more where a negative one is not finite. */
template <int BLOCKS> WARPLOOM_DEVICE u32 most_bits(const float (&scores)[BLOCKS][4]) {
  u32 bits = 0u;
#pragma unroll
  for (int j = 0; j < BLOCKS; ++j) bits = largest_bits(largest_bits(bits, scores[j][0], scores[j][1]), scores[j][2], scores[j][3]);
  return bits;
}

template <int BLOCKS> WARPLOOM_DEVICE float largest_of(const float (&scores)[BLOCKS][4]) {
  float largest = NEGATIVE_INFINITY;
#pragma unroll
  for (int j = 0; j < BLOCKS; ++j)
    largest = fmaxf(largest, fmaxf(fmaxf(scores[j][0], scores[j][1]), fmaxf(scores[j][2], scores[j][3])));
  return largest;
}

/**
 * The energies of one block of queries with the pools [0, pool_end): QUERIES queries at a time, and tiles of
 * ENERGY_POOLS pools. Shared memory holds QUERIES queries and two tiles of pools. Scores are products times
 * `scale` (log2 e included). All threads of the block, one warpgroup, have to call.
 *
 * The maximum of the first tile is the reference of all exponentials. Where sums grow too large under it, or some score
 * may not be finite, every score is examined, and all is done again under the maximum of all. With AHEAD the products
 * of a tile are made while the one before is summed.
 */
template <bool BF16, int DIM, int QUERIES, bool AHEAD, typename Pools, typename SeenEnd>
WARPLOOM_DEVICE void energies_of(EnergyShared<QUERIES>& shared, u32 tiles, const EnergyQueries& queries, Head first,
                                 const Pools& pools, int pool_end, float scale, SeenEnd seen_end, float* energies,
                                 u64* error) {
  constexpr int lines = (DIM + LINE_ELEMENTS - 1) / LINE_ELEMENTS, blocks = QUERIES / 8;
  constexpr u32 tile_bytes = lines * ENERGY_POOLS * LINE_BYTES;
  const u32 pool_tiles = tiles + lines * QUERIES * LINE_BYTES;
  if (pool_end <= 0) return;
  const auto is_there = [&](int tile) { return tile * ENERGY_POOLS < pool_end; };
  EnergyEnds ends = {shared.ends, 0};
  const auto copy = [&](int tile) {
    if (is_there(tile))
      copy_rows<ENERGY_POOLS, lines, DIM, ENERGY_THREADS>(pool_tiles + tile % 2 * tile_bytes, pools,
                                                          tile * ENERGY_POOLS + (int)threadIdx.x / 8, ENERGY_THREADS / 8, pool_end);
    copy_commit();
  };
  const auto arrived = [&] {
    copy_wait<0>();
    tile_written();
    __syncthreads();
  };
  const auto multiply = [&](auto& scores, int tile, auto meanwhile) {
    multiply_tiles<BF16, ENERGY_POOLS, QUERIES, steps_of<lines, DIM>>(scores, pool_tiles + tile % 2 * tile_bytes, 0, tiles, false,
                                                                      meanwhile);
  };
  // The products of queries `query` and following with the first tile; the second is on its way then.
  const auto begin = [&](float (&scores)[blocks][4], int query) {
    __syncthreads();  // the tiles of the queries before have been read
    if (threadIdx.x < QUERIES) {
      const int position = queries.position_of(query + threadIdx.x);
      shared.ends[threadIdx.x] = position < 0 ? 0 : seen_end(position);
    }
    copy_tile<QUERIES, lines, DIM, ENERGY_THREADS>(tiles, queries, [&](int i) { return queries.position_of(query + i) < 0 ? -1 : query + i; });
    copy(0);
    arrived();
    int least = pool_end;
    for (int i = threadIdx.x & 31; i < QUERIES; i += 32) least = min(least, shared.ends[i]);
    ends.least = __reduce_min_sync(FULL_WARP, least);
    multiply(scores, 0, [&] { copy(1); });
  };
  float reference = 0.0f, most = 0.0f;  // of the exponentials; of the sums
  const auto put_sums = [&](float (&scores)[blocks][4], int query, int tile) {
    const int pool = tile * ENERGY_POOLS;
    // Where all see to the end, nothing is written of what is not seen.
    if (ends.least < pool_end) ends.mask(scores, pool);
    // Of scores that are not finite sums tell all but those whose exponential is nothing.
    if (most_bits(scores) >= INFINITE_BITS) most = ENERGY_LIMIT;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float even = 0.0f, odd = 0.0f;
#pragma unroll
      for (int j = 0; j < blocks; ++j) {
        even += exp2_fast(fmaf(scores[j][2 * half], scale, -reference));
        odd += exp2_fast(fmaf(scores[j][2 * half + 1], scale, -reference));
      }
      float sum = even + odd;
      sum += __shfl_xor_sync(FULL_WARP, sum, 1);
      sum += __shfl_xor_sync(FULL_WARP, sum, 2);
      const int own = pool + tile_row(half);
      if (own >= pool_end) continue;
      most = fmaxf(most, sum < ENERGY_LIMIT ? sum : ENERGY_LIMIT);
      if ((threadIdx.x & 3) == 0) energies[own] = query > 0 ? energies[own] + sum : sum;
    }
  };
#pragma unroll 1
  for (bool is_known = false;; is_known = true) {
#pragma unroll 1
    for (int query = 0; query < queries.tokens * queries.heads; query += QUERIES) {
      float even[blocks][4], odd[blocks][4];
      begin(even, query);
      if (!is_known && query == 0) {
        ends.mask(even, 0);
        reference = block_max(shared.largest, largest_of(even)) * scale;
      }
      const auto step = [&](float (&now)[blocks][4], float (&next)[blocks][4], int tile) {
        if (!is_there(tile + 1)) {
          put_sums(now, query, tile);
          return;
        }
        arrived();
        multiply(next, tile + 1, [&] {
          copy(tile + 2);
          put_sums(now, query, tile);
        });
      };
      if (AHEAD) {
#pragma unroll 1
        for (int tile = 0; is_there(tile); tile += 2) {
          step(even, odd, tile);
          if (is_there(tile + 1)) step(odd, even, tile + 1);
        }
      } else {
#pragma unroll 1
        for (int tile = 0; is_there(tile); ++tile) {
          if (tile > 0) {
            arrived();
            multiply(even, tile, [&] { copy(tile + 1); });
          }
          put_sums(even, query, tile);
        }
      }
    }
    if (is_known || block_max(shared.largest, most) < ENERGY_LIMIT) return;
    float largest = NEGATIVE_INFINITY;
#pragma unroll 1
    for (int query = 0; query < queries.tokens * queries.heads; query += QUERIES) {
      float scores[blocks][4];
      begin(scores, query);
#pragma unroll 1
      for (int tile = 0; is_there(tile); ++tile) {
        if (tile > 0) {
          arrived();
          multiply(scores, tile, [&] { copy(tile + 1); });
        }
        report_tile(error, scores, queries, first, query, shared.ends, tile * ENERGY_POOLS);
        ends.mask(scores, tile * ENERGY_POOLS);
        largest = fmaxf(largest, largest_of(scores));
      }
    }
    reference = block_max(shared.largest, largest) * scale;
  }
}
