// Energies: of a block of queries, all heads that share a choice together, the sum of the exponentials of its
// scores with each pool of keys. Keys are rows of a tile and queries its columns, so that a thread sums
// over queries by itself. Each 16 keys have a reference of their own until all are known.

#define ENERGY_POOLS 64  // of a tile

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

/** Where energies go, and their references: one for each 16 pools, in units of log2. */
struct EnergyTargets {
  float* energies;
  float* references;
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

/**
 * The energies of one block of queries with the pools [0, pool_end): QUERIES queries at a time, and tiles of
 * ENERGY_POOLS pools. Shared memory holds QUERIES queries and two tiles of pools. Scores are products times
 * `scale` (log2 e included). All threads of the block, one warpgroup, have to call.
 */
template <bool BF16, int DIM, int QUERIES, typename Pools, typename SeenEnd>
WARPLOOM_DEVICE void energies_of(EnergyShared<QUERIES>& shared, u32 tiles, const EnergyQueries& queries, Head first,
                                 const Pools& pools, int pool_end, float scale, SeenEnd seen_end,
                                 const EnergyTargets& to, u64* error) {
  constexpr int lines = (DIM + LINE_ELEMENTS - 1) / LINE_ELEMENTS, blocks = QUERIES / 8;
  constexpr u32 tile_bytes = lines * ENERGY_POOLS * LINE_BYTES;
  const u32 pool_tiles = tiles + lines * QUERIES * LINE_BYTES;
  const int lane = threadIdx.x & 31, count = (pool_end + ENERGY_POOLS - 1) / ENERGY_POOLS;
  float largest = NEGATIVE_INFINITY;
  for (int query = 0; query < queries.tokens * queries.heads; query += QUERIES) {
    const auto copy = [&](int tile) {
      if (tile < count)
        copy_rows<ENERGY_POOLS, lines, DIM>(pool_tiles + tile % 2 * tile_bytes, pools,
                                            tile * ENERGY_POOLS + (int)threadIdx.x / 8, blockDim.x / 8, pool_end);
      copy_commit();
    };
    __syncthreads();  // the tiles of the queries before have been read
    int least_end = pool_end;
    if (threadIdx.x < QUERIES) {
      const int position = queries.position_of(query + threadIdx.x);
      shared.ends[threadIdx.x] = position < 0 ? 0 : seen_end(position);
    }
    copy_tile<QUERIES, lines, DIM>(tiles, queries, 0, [&](int i) {
      return queries.position_of(query + i) < 0 ? -1 : query + i;
    });
    copy(0);
    __syncthreads();
    for (int i = lane; i < QUERIES; i += 32) least_end = min(least_end, shared.ends[i]);
    least_end = __reduce_min_sync(FULL_WARP, least_end);
#pragma unroll 1
    for (int tile = 0; tile < count; ++tile) {
      copy_wait<0>();
      tile_written();
      __syncthreads();
      float scores[blocks][4];
      const int pool = tile * ENERGY_POOLS;
      multiply_tiles<BF16, ENERGY_POOLS, QUERIES, steps_of<lines, DIM>>(
          scores, pool_tiles + tile % 2 * tile_bytes, 0, tiles, false, [&] { copy(tile + 1); });
      float not_a_number = 0.0f;  // 0 times every score
      if (pool + ENERGY_POOLS > least_end) {
#pragma unroll
        for (int j = 0; j < blocks; ++j)
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            const bool is_seen = pool + tile_row(e >> 1) < shared.ends[tile_column(j, e & 1)];
            if (is_seen) not_a_number = fmaf(scores[j][e], 0.0f, not_a_number);
            else scores[j][e] = NEGATIVE_INFINITY;
          }
      } else {
#pragma unroll
        for (int j = 0; j < blocks; ++j)
#pragma unroll
          for (int e = 0; e < 4; ++e) not_a_number = fmaf(scores[j][e], 0.0f, not_a_number);
      }
      if (not_a_number != 0.0f) report_tile(error, scores, queries, first, query, shared.ends, pool);
      // The reference of the 16 pools of this warp, that of the queries before included.
      float most = NEGATIVE_INFINITY;
#pragma unroll
      for (int j = 0; j < blocks; ++j)
        most = fmaxf(most, fmaxf(fmaxf(scores[j][0], scores[j][1]), fmaxf(scores[j][2], scores[j][3])));
#pragma unroll
      for (int step = 1; step < 32; step *= 2) most = fmaxf(most, __shfl_xor_sync(FULL_WARP, most, step));
      const int slot = (pool + tile_row(0)) / 16;
      const bool is_there = slot * 16 < pool_end;
      const float before = query > 0 && is_there ? to.references[slot] : NEGATIVE_INFINITY;
      const float maximum = fmaxf(before, most * scale), reference = maximum == NEGATIVE_INFINITY ? 0.0f : maximum;
      largest = fmaxf(largest, maximum);
      __syncwarp();
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float sum = 0.0f;
#pragma unroll
        for (int j = 0; j < blocks; ++j)
          sum += exp2_fast(fmaf(scores[j][2 * half], scale, -reference)) +
                 exp2_fast(fmaf(scores[j][2 * half + 1], scale, -reference));
        sum += __shfl_xor_sync(FULL_WARP, sum, 1);
        sum += __shfl_xor_sync(FULL_WARP, sum, 2);
        const int own_pool = pool + tile_row(half);
        if ((lane & 3) != 0 || own_pool >= pool_end) continue;
        to.energies[own_pool] = query > 0 ? to.energies[own_pool] * exp2_fast(before - reference) + sum : sum;
      }
      if (lane == 0 && is_there) to.references[slot] = maximum;
    }
  }
  largest = block_max(shared.largest, largest);
  for (int pool = threadIdx.x; pool < pool_end; pool += blockDim.x)
    to.energies[pool] *= exp2_fast(to.references[pool / 16] - largest);
}
