// The three rules by which a row's members are picked: the largest, those above a threshold, the fewest
// that hold a mass. Each returns how many members this thread has written.

/** Writes the forced members alone. */
template <typename Row> WARPLOOM_DEVICE u32 write_forced(const Row& row) {
  return write_chosen(row, [](float) { return false; });
}

/** Columns that the row sees and that are not forced. */
template <typename Row> WARPLOOM_DEVICE int count_free(const Row& row) {
  const int forced = min(row.forced.first, row.to) +
                     max(0, min(row.forced.to, row.to) - max(row.forced.from, row.forced.first));
  return max(0, row.to - forced);
}

/** Writes the forced members and those above a threshold, ties as many as are missing. */
template <typename Row> WARPLOOM_DEVICE u32 write_above(RadixShared& shared, const Row& row, Threshold found, u64 equal) {
  if (found.missing < equal) return write_with_ties(shared, row, found.key, found.missing);
  return write_chosen(row, [&](float weight) { return ordered_bits(weight) >= found.key; });
}

/** The `count` largest, the forced members included. */
template <typename Row> WARPLOOM_DEVICE u32 choose_largest(RadixShared& shared, const Row& row, int count) {
  const int need = count - forced_count(row.forced);
  if (need <= 0) return write_forced(row);
  if (count_free(row) <= need) return write_chosen(row, [](float) { return true; });
  const Threshold found = radix_threshold<true>(
      shared, row, (u64)need, [&](int column, float) { return is_forced(row.forced, column) ? 0ull : 1ull; });
  return write_above(shared, row, found, found.equal);
}

/** All that reach `share` of the largest weight, or of the sum. */
template <bool OF_SUM, typename Row>
WARPLOOM_DEVICE u32 choose_above(WarpValues<float>& values, const Row& row, float share) {
  float reference = OF_SUM ? 0.0f : NEGATIVE_INFINITY;
  for_seen(row, [&](int, float weight) { reference = OF_SUM ? reference + weight : fmaxf(reference, weight); });
  reference = OF_SUM ? block_sum(values, reference) : block_max(values, reference);
  const float threshold = share * reference;
  return write_chosen(row, [&](float weight) { return weight >= threshold; });
}

/** The fewest that together hold `mass` (0..1) of the sum. */
template <typename Row>
WARPLOOM_DEVICE u32 choose_mass(RadixShared& shared, WarpValues<float>& floats, WarpValues<u64>& integers,
                                const Row& row, float mass) {
  // Mass 1 is every positive weight, whatever the rounding of the sums.
  if (mass == 1.0f) return write_chosen(row, [](float weight) { return weight > 0.0f; });
  float largest = 0.0f;
  for_seen(row, [&](int, float weight) { largest = fmaxf(largest, weight); });
  const Amounts amounts(fminf(block_max(floats, largest), LARGEST_FLOAT), row.to);
  u64 total = 0, got = 0;
  for_seen(row, [&](int column, float weight) {
    const u64 amount = amounts.of(weight);
    total += amount;
    if (is_forced(row.forced, column)) got += amount;
  });
  total = block_sum(integers, total);
  got = block_sum(integers, got);
  const u64 target = amount_of_mass(mass, total);
  if (target <= got) return write_forced(row);
  Threshold found = radix_threshold<false>(shared, row, target - got, [&](int column, float weight) {
    return is_forced(row.forced, column) ? 0ull : amounts.of(weight);
  });
  // Of the weights equal to the threshold, as many as the rest of the mass needs.
  const u64 one = amounts.of(float_of_ordered(found.key));
  found.missing = (found.missing + one - 1) / one;
  return write_above(shared, row, found, found.equal / one);
}
