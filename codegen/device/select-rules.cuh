// The three rules by which a row's members are picked: the largest, those above a threshold, the fewest
// that hold a mass. A row answers `weight(column)` for the columns [from, to) that it sees.

/** What a rule is given of one row. */
template <typename Weight> struct SeenRow {
  Weight weight;
  int from, to;
  Forced forced;
  u32* bits;
  int words;
};

#define EVERY_CANDIDATE 0u

/** Writes the forced members and those seen whose key is above `threshold.key`, ties as many as `ties`. */
template <typename Row>
WARPLOOM_DEVICE u32 write_above(SelectShared& shared, const Row& row, u32 key, bool split, u64 ties) {
  return write_members(shared, row.bits, row.words, split, ties, [&](int column) {
    if (is_forced(row.forced, column)) return CHOSEN;
    if (column < row.from || column >= row.to) return NOT_CHOSEN;
    const u32 own = ordered_bits(row.weight(column));
    return own > key ? CHOSEN : own == key ? TIED : NOT_CHOSEN;
  });
}

/** Writes the forced members alone. */
template <typename Row> WARPLOOM_DEVICE u32 write_forced(SelectShared& shared, const Row& row) {
  return write_members(shared, row.bits, row.words, false, 0,
                       [&](int column) { return is_forced(row.forced, column) ? CHOSEN : NOT_CHOSEN; });
}

/** The `count` largest, the forced members included. */
template <typename Row> WARPLOOM_DEVICE u32 choose_largest(SelectShared& shared, const Row& row, int count) {
  const int need = count - forced_count(row.forced);
  if (need <= 0) return write_forced(shared, row);
  const int seen = max(0, row.to - row.from);
  int forced_seen = max(0, min(row.forced.first, row.to) - row.from);
  forced_seen += max(0, min(row.forced.to, row.to) - max(max(row.forced.from, row.forced.first), row.from));
  if (seen - forced_seen <= need) return write_above(shared, row, EVERY_CANDIDATE, false, 0);
  const Threshold found =
      radix_threshold(shared, row.from, row.to, (u64)need, [&](int column, u32& key, u64& amount) {
        key = ordered_bits(row.weight(column));
        amount = 1;
        return !is_forced(row.forced, column);
      });
  return write_above(shared, row, found.key, found.missing < found.equal, found.missing);
}

/** All that reach `share` of the largest weight, or of the sum. */
template <bool OF_SUM, typename Row>
WARPLOOM_DEVICE u32 choose_above(SelectShared& shared, WarpValues<float>& values, const Row& row, float share) {
  float reference = OF_SUM ? 0.0f : NEGATIVE_INFINITY;
  for (int column = row.from + threadIdx.x; column < row.to; column += blockDim.x) {
    const float weight = row.weight(column);
    reference = OF_SUM ? reference + weight : fmaxf(reference, weight);
  }
  reference = OF_SUM ? block_sum(values, reference) : block_max(values, reference);
  const float threshold = share * reference;
  return write_members(shared, row.bits, row.words, false, 0, [&](int column) {
    const bool is_seen = column >= row.from && column < row.to;
    return is_forced(row.forced, column) || (is_seen && row.weight(column) >= threshold) ? CHOSEN : NOT_CHOSEN;
  });
}

/**
 * The fewest that together hold `mass` (0..1) of the sum. Weights are counted in units so small that the
 * sum of all just fits 62 bits: integers, whose sum no order changes.
 */
template <typename Row>
WARPLOOM_DEVICE u32 choose_mass(SelectShared& shared, WarpValues<float>& floats, WarpValues<u64>& integers,
                                const Row& row, float mass) {
  // Mass 1 is every positive weight, whatever the rounding of the sums.
  if (mass == 1.0f)
    return write_members(shared, row.bits, row.words, false, 0, [&](int column) {
      const bool is_seen = column >= row.from && column < row.to;
      return is_forced(row.forced, column) || (is_seen && row.weight(column) > 0.0f) ? CHOSEN : NOT_CHOSEN;
    });
  float largest = 0.0f;
  for (int column = row.from + threadIdx.x; column < row.to; column += blockDim.x)
    largest = fmaxf(largest, row.weight(column));
  largest = block_max(floats, largest);
  const int exponent = (int)((u32)__float_as_int(largest) >> 23) - 126;  // largest < 2^exponent
  const int shift = 61 - (32 - __clz(max(row.to - row.from, 1))) - exponent;
  const auto amount_of = [&](float weight) { return (u64)(ldexpf(weight, shift) + 0.5f); };
  u64 total = 0, got = 0;
  for (int column = row.from + threadIdx.x; column < row.to; column += blockDim.x) {
    const u64 amount = amount_of(row.weight(column));
    total += amount;
    if (is_forced(row.forced, column)) got += amount;
  }
  total = block_sum(integers, total);
  got = block_sum(integers, got);
  const u64 target = (u64)ceil((double)mass * (double)total);
  if (target <= got) return write_forced(shared, row);
  const Threshold found =
      radix_threshold(shared, row.from, row.to, target - got, [&](int column, u32& key, u64& amount) {
        const float weight = row.weight(column);
        key = ordered_bits(weight);
        amount = amount_of(weight);
        return key > ORDERED_ZERO && !is_forced(row.forced, column);
      });
  // Of the weights equal to the threshold, as many as the rest of the mass needs.
  const u64 one = amount_of(float_of_ordered(found.key));
  const u64 ties = (found.missing + one - 1) / one;
  return write_above(shared, row, found.key, ties < found.equal / one, ties);
}
