// Pools of rows: 256 threads read 16 bytes each, every group of DIM / 8 threads a row of its own, and join
// what they have in shared memory, in an order that depends on nothing but DIM.

#define POOL_THREADS 256

/** Rows that are read at once. */
template <int DIM> constexpr int pool_lanes = POOL_THREADS / (DIM / 8);

template <int DIM> struct PoolShared {
  float values[pool_lanes<DIM>][DIM];
};

template <bool BF16> WARPLOOM_DEVICE float float_of(u16 bits) {
  return BF16 ? float_of_bf16(bits) : float_of_fp16(bits);
}
/** Not fmaxf: a NaN has to stay one. */
template <bool MEAN> WARPLOOM_DEVICE float pooled(float a, float b) { return MEAN ? a + b : b > a || b != b ? b : a; }

/** The mean or the largest value of the positions [first, last], element by element. */
template <bool BF16, bool MEAN, int DIM, typename Rows>
WARPLOOM_DEVICE void pool_rows(PoolShared<DIM>& shared, const Rows& rows, int first, int last, u16* pool) {
  constexpr int chunks = DIM / 8, lanes = pool_lanes<DIM>;
  const int lane = threadIdx.x / chunks, element = threadIdx.x % chunks * 8;
  if (lane < lanes) {
    float values[8];
#pragma unroll
    for (int i = 0; i < 8; ++i) values[i] = MEAN ? 0.0f : NEGATIVE_INFINITY;
#pragma unroll 4
    for (int position = first + lane; position <= last; position += lanes) {
      const uint4 bits = *(const uint4*)rows.find(position, element);
      const u32 words[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
      for (int i = 0; i < 8; ++i) values[i] = pooled<MEAN>(values[i], float_of<BF16>((u16)(words[i / 2] >> (i % 2 * 16))));
    }
#pragma unroll
    for (int i = 0; i < 8; ++i) shared.values[lane][element + i] = values[i];
  }
  __syncthreads();
  const int count = min(lanes, last - first + 1);
  for (int d = 2 * threadIdx.x; d < DIM; d += 2 * POOL_THREADS) {
    float x = shared.values[0][d], y = shared.values[0][d + 1];
    for (int i = 1; i < count; ++i) {
      x = pooled<MEAN>(x, shared.values[i][d]);
      y = pooled<MEAN>(y, shared.values[i][d + 1]);
    }
    if (MEAN) {
      x /= (float)(last - first + 1);
      y /= (float)(last - first + 1);
    }
    *(u32*)(pool + d) = BF16 ? pack_bf16(x, y) : pack_fp16(x, y);
  }
}
