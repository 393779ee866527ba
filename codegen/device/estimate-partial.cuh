// Sums of exponentials in parts, each with a reference of its own.

/** The maximum of some scores in units of log2, and the sum of 2^(score - maximum). */
struct PartialSum {
  float maximum, sum;
};
WARPLOOM_DEVICE PartialSum join_sums(PartialSum a, PartialSum b) {
  const float maximum = fmaxf(a.maximum, b.maximum), reference = maximum == NEGATIVE_INFINITY ? 0.0f : maximum;
  return {maximum, a.sum * exp2_fast(a.maximum - reference) + b.sum * exp2_fast(b.maximum - reference)};
}

/** log2 of the sum of all parts of a query, `stride` from one to the next; infinite where nothing is seen. */
WARPLOOM_DEVICE float sum_of_parts(const PartialSum* parts, int count, int stride) {
  PartialSum all = {NEGATIVE_INFINITY, 0.0f};
#pragma unroll 4
  for (int i = 0; i < count; ++i) all = join_sums(all, parts[(i64)i * stride]);
  return all.sum > 0.0f ? all.maximum + log2f(all.sum) : POSITIVE_INFINITY;
}
