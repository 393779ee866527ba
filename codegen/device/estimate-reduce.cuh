// Sums and maxima over the threads of a block, in an order that depends on nothing but the block's size.
// Every thread of the block has to call, and every thread gets the result.

/** One value of each warp. */
template <typename T> struct WarpValues {
  T values[32];
};

template <typename T, typename Join>
WARPLOOM_DEVICE T block_reduce(WarpValues<T>& shared, T value, T nothing, Join join) {
  for (int step = 16; step > 0; step /= 2) value = join(value, __shfl_xor_sync(FULL_WARP, value, step));
  const int lane = threadIdx.x & 31;
  __syncthreads();  // the values of the last call have been read
  if (lane == 0) shared.values[threadIdx.x >> 5] = value;
  __syncthreads();
  value = lane < (int)(blockDim.x >> 5) ? shared.values[lane] : nothing;
  for (int step = 16; step > 0; step /= 2) value = join(value, __shfl_xor_sync(FULL_WARP, value, step));
  return value;
}

template <typename T> WARPLOOM_DEVICE T block_sum(WarpValues<T>& shared, T value) {
  return block_reduce(shared, value, (T)0, [](T a, T b) { return a + b; });
}
WARPLOOM_DEVICE float block_max(WarpValues<float>& shared, float value) {
  return block_reduce(shared, value, NEGATIVE_INFINITY, [](float a, float b) { return fmaxf(a, b); });
}
