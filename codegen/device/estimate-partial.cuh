// Sums of exponentials in parts, each with a reference of its own.

/** The maximum of some scores in units of log2, and the sum of 2^(score - maximum). Read and written as one. */
struct alignas(8) PartialSum {
  float maximum, sum;
};
WARPLOOM_DEVICE PartialSum join_sums(PartialSum a, PartialSum b) {
  const float maximum = fmaxf(a.maximum, b.maximum), reference = maximum == NEGATIVE_INFINITY ? 0.0f : maximum;
  return {maximum, a.sum * exp2_fast(a.maximum - reference) + b.sum * exp2_fast(b.maximum - reference)};
}

/** Lanes that share the parts of a query: a block of as many heads as fit then reads those of all queries at once. */
#define PART_LANES 2

/** log2 of the sum of all parts of a query; infinite where nothing is seen. PART_LANES lanes that follow each other ask. */
WARPLOOM_DEVICE float sum_of_parts(const PartialSum* parts, int count) {
  PartialSum all = {NEGATIVE_INFINITY, 0.0f};
#pragma unroll 8
  for (int i = threadIdx.x % PART_LANES; i < count; i += PART_LANES) all = join_sums(all, parts[i]);
#pragma unroll
  for (int step = 1; step < PART_LANES; step *= 2)
    all = join_sums(all, {__shfl_xor_sync(FULL_WARP, all.maximum, step), __shfl_xor_sync(FULL_WARP, all.sum, step)});
  return all.sum > 0.0f ? all.maximum + log2f(all.sum) : POSITIVE_INFINITY;
}

/** What all parts of a row come to. A whole warp asks. */
WARPLOOM_DEVICE PartialSum sum_of_row(const PartialSum* parts, int count) {
  PartialSum all = {NEGATIVE_INFINITY, 0.0f};
  for (int i = threadIdx.x & 31; i < count; i += 32) all = join_sums(all, parts[i]);
#pragma unroll
  for (int step = 16; step > 0; step /= 2)
    all = join_sums(all, {__shfl_xor_sync(FULL_WARP, all.maximum, step), __shfl_xor_sync(FULL_WARP, all.sum, step)});
  return all;
}
