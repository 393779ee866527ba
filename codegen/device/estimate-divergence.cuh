// The distance of two vectors of sums.

/**
 * The Jensen-Shannon distance of two vectors of weights, each divided by its total: 0 .. sqrt(ln 2). A vector
 * of zeros counts as uniform; vectors of no members have distance 0. Every thread of the block has to call.
 */
WARPLOOM_DEVICE double jensen_shannon(WarpValues<double>& shared, const float* left, const float* right,
                                      int members) {
  double left_total = 0.0, right_total = 0.0;
  for (int i = threadIdx.x; i < members; i += blockDim.x) {
    left_total += left[i];
    right_total += right[i];
  }
  left_total = block_sum(shared, left_total);
  right_total = block_sum(shared, right_total);
  double sum = 0.0;
  for (int i = threadIdx.x; i < members; i += blockDim.x) {
    const double p = left_total > 0.0 ? left[i] / left_total : 1.0 / members;
    const double r = right_total > 0.0 ? right[i] / right_total : 1.0 / members;
    const double mean = (p + r) / 2.0;
    if (p > 0.0) sum += 0.5 * p * log(p / mean);
    if (r > 0.0) sum += 0.5 * r * log(r / mean);
  }
  sum = block_sum(shared, sum);
  return sum > 0.0 ? sqrt(sum) : 0.0;
}
