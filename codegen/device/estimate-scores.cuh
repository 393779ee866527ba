// One tile of scores by plain multiply-adds: 256 threads, 4 x 4 scores each, factors through shared memory
// in fp32. The order of the sums is that of the elements.

#define SCORE_TILE 64
#define SCORE_DEPTH 32
#define SCORE_PITCH (SCORE_TILE + 4)

struct alignas(16) FourFloats {
  float x[4];
};

/** The elements of SCORE_DEPTH dimensions, a row a dimension. */
struct alignas(16) ScoreShared {
  float left[SCORE_DEPTH * SCORE_PITCH];
  float right[SCORE_DEPTH * SCORE_PITCH];
};

/** Elements [depth, depth + SCORE_DEPTH) of the members [from, to); zeros where there are none. */
template <int WIDTH, typename Vectors>
WARPLOOM_DEVICE void load_factors(float* target, const Vectors& vectors, int from, int to, int depth) {
  for (int i = threadIdx.x; i < SCORE_TILE * SCORE_DEPTH; i += 256) {
    const int member = from + i / SCORE_DEPTH, d = i % SCORE_DEPTH;
    const bool is_there = member < to && depth + d < WIDTH;
    target[d * SCORE_PITCH + i / SCORE_DEPTH] = is_there ? vectors.at(member, depth + d) : 0.0f;
  }
}

/**
 * Products of the rows [row, row_end) and the columns [column, column_end), at most SCORE_TILE each; thread
 * t gets rows 4 (t / 16) .. + 3 and columns 4 (t % 16) .. + 3 of the tile. All 256 threads have to call.
 */
template <int WIDTH, typename Left, typename Right>
WARPLOOM_DEVICE void score_tile(ScoreShared& shared, const Left& left, int row, int row_end, const Right& right,
                                int column, int column_end, float (&sums)[4][4]) {
  const int y = threadIdx.x / 16 * 4, x = threadIdx.x % 16 * 4;
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 4; ++j) sums[i][j] = 0.0f;
#pragma unroll 1
  for (int depth = 0; depth < WIDTH; depth += SCORE_DEPTH) {
    __syncthreads();
    load_factors<WIDTH>(shared.left, left, row, row_end, depth);
    load_factors<WIDTH>(shared.right, right, column, column_end, depth);
    __syncthreads();
#pragma unroll 8
    for (int d = 0; d < SCORE_DEPTH; ++d) {
      const FourFloats a = *(const FourFloats*)&shared.left[d * SCORE_PITCH + y];
      const FourFloats b = *(const FourFloats*)&shared.right[d * SCORE_PITCH + x];
#pragma unroll
      for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) sums[i][j] = fmaf(a.x[i], b.x[j], sums[i][j]);
    }
  }
}

/** Remembers the first (batch, head, row) with a score that is not finite: 16, 16 and 32 bits, all ones when there is none. */
WARPLOOM_DEVICE void report_not_finite(u64* error, Head head, int row) {
  atomicMin(error, (u64)head.batch << 48 | (u64)head.head << 32 | (u64)(u32)row);
}
