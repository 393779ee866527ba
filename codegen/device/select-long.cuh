// The largest of a long row in two readings: the first counts the leading bits of all weights, the second
// writes the members that are certain and lists those at the threshold, among which the rest are found.
// Source: radix selection; the list keeps what is left of a row out of memory.

#define LEADING_BITS 12
#define LISTED 3072

struct alignas(16) LongShared {
  u32 bins[1 << LEADING_BITS];
  u64 listed[LISTED];  // the trailing bits of the weight, above what is the larger the lower the column is
  u32 parts[32];
  u32 count, bin, missing, equal;
};

#define COLUMN_BITS 30
#define TRAILING_BITS (32 - LEADING_BITS)
#define LISTED_BITS (TRAILING_BITS + COLUMN_BITS)
#define DIGIT_BITS 10

/** Looks for the bin at which the counts, from the last bin down, reach `missing`. All threads call, a barrier follows. */
template <int BINS> WARPLOOM_DEVICE void find_bin(LongShared& shared, u32 missing) {
  constexpr int part = BINS / 32, own = part / 32;
  const int lane = threadIdx.x & 31;
  __syncthreads();
  for (int i = threadIdx.x >> 5; i < 32; i += blockDim.x >> 5) {
    u32 sum = 0;
    for (int bin = lane; bin < part; bin += 32) sum += shared.bins[i * part + bin];
    sum = __reduce_add_sync(FULL_WARP, sum);
    if (lane == 0) shared.parts[i] = sum;
  }
  __syncthreads();
  if (threadIdx.x < 32) {
    int last = 31 - lane;  // the part, then the last bin, of this lane
    u32 sum = shared.parts[last];
    for (int level = 0; level < 2; ++level) {
      u32 before = sum;
      for (int step = 1; step < 32; step *= 2) {
        const u32 other = __shfl_up_sync(FULL_WARP, before, step);
        if (lane >= step) before += other;
      }
      before -= sum;
      const u32 found = __ballot_sync(FULL_WARP, before < missing && before + sum >= missing);
      if (level == 0) {
        const int lucky = __ffs(found) - 1;
        missing -= __shfl_sync(FULL_WARP, before, lucky);
        last = (__shfl_sync(FULL_WARP, last, lucky) + 1) * part - 1 - lane * own;
        sum = 0;
        for (int i = 0; i < own; ++i) sum += shared.bins[last - i];
      } else if (found >> lane & 1u) {
        missing -= before;
        while (shared.bins[last] < missing) missing -= shared.bins[last--];
        shared.bin = last;
        shared.missing = missing;
        shared.equal = shared.bins[last];
      }
    }
  }
  __syncthreads();
}

WARPLOOM_DEVICE void clear_bins(LongShared& shared, int bins) {
  for (int i = threadIdx.x; i < bins; i += blockDim.x) shared.bins[i] = 0;
  __syncthreads();
}

/** Counts the leading bits of the weights that are seen and not forced. A barrier has to follow. */
template <typename Row> WARPLOOM_DEVICE void count_leading(LongShared& shared, const Row& row) {
  clear_bins(shared, 1 << LEADING_BITS);
  for_free(row, [&](float weight) { atomicAdd(&shared.bins[ordered_bits(weight) >> TRAILING_BITS], 1u); });
}

/** Writes the members beyond a bin, and calls `list` for the weights in it, with their columns from column `from` on. */
template <typename Row, typename List> WARPLOOM_DEVICE void write_beyond(const Row& row, u32 bin, int from, List list) {
  const auto bin_of = [](float weight) { return ordered_bits(weight) >> TRAILING_BITS; };
  write_noted(row, [&](float weight) { return bin_of(weight) > bin; }, [&](float weight) { return bin_of(weight) == bin; },
              [&](int column, float weight) {
    const u64 order = (u64)((1u << COLUMN_BITS) - 1u - (u32)(from + column));
    list((u64)(ordered_bits(weight) & ((1u << TRAILING_BITS) - 1u)) << COLUMN_BITS | order);
  });
}

/** Calls `use(weight)` for all weights of a list, whose reads are under way several at once. */
template <typename Use> WARPLOOM_DEVICE void for_listed(const u64* list, u32 count, Use use) {
  constexpr int ahead = 2 * READ_AHEAD;
  for (u32 first = threadIdx.x; first < count; first += ahead * blockDim.x) {
    u64 weights[ahead];
#pragma unroll
    for (int i = 0; i < ahead; ++i)
      if (first + i * blockDim.x < count) weights[i] = list[first + i * blockDim.x];
#pragma unroll
    for (int i = 0; i < ahead; ++i)
      if (first + i * blockDim.x < count) use(weights[i]);
  }
}

/** Sets the bits of the `missing` largest of the `equal` weights of a list. A barrier has gone before. */
WARPLOOM_DEVICE void mark_listed(LongShared& shared, const u64* list, u32* bits, u32 missing, u32 equal) {
  // No two of them are equal: the digits end with all that are missing found.
  const u32 count = equal;
  u64 prefix = 0;
  int shift = LISTED_BITS;
  while (equal > missing) {
    shift -= DIGIT_BITS;
    clear_bins(shared, 1 << DIGIT_BITS);
    for_listed(list, count, [&](u64 weight) {
      const u64 digits = weight >> shift;
      if (digits >> DIGIT_BITS == prefix) atomicAdd(&shared.bins[digits & ((1u << DIGIT_BITS) - 1u)], 1u);
    });
    find_bin<1 << DIGIT_BITS>(shared, missing);
    prefix = prefix << DIGIT_BITS | shared.bin;
    missing = shared.missing;
    equal = shared.equal;
  }
  __syncthreads();
  for_listed(list, count, [&](u64 weight) {
    if (weight >> shift < prefix) return;
    const int column = (1 << COLUMN_BITS) - 1 - (int)(weight & ((1u << COLUMN_BITS) - 1u));
    atomicOr(&bits[column >> 5], 1u << (column & 31));
  });
}

/** Writes what the counts of the leading bits leave no question about. Returns whether that is all of the row. */
template <typename Row> WARPLOOM_DEVICE bool write_certain(const LongShared& shared, const Row& row) {
  if (shared.equal != shared.missing) return false;
  const u32 bin = shared.bin;
  write_chosen(row, [&](float weight) { return ordered_bits(weight) >> TRAILING_BITS >= bin; });
  return true;
}

/** The `count` largest, the forced members included. */
template <typename Row>
WARPLOOM_DEVICE void choose_largest_of_long(LongShared& shared, RadixShared& radix, const Row& row, int count) {
  const int need = count - forced_count(row.forced);
  if (need <= 0 || count_free(row) <= need) {
    choose_largest(radix, row, count);
    return;
  }
  count_leading(shared, row);
  find_bin<1 << LEADING_BITS>(shared, need);
  if (write_certain(shared, row)) return;
  const u32 bin = shared.bin, missing = shared.missing, equal = shared.equal;
  if (equal > LISTED) {
    choose_largest(radix, row, count);
    return;
  }
  if (threadIdx.x == 0) shared.count = 0;
  __syncthreads();
  write_beyond(row, bin, 0, [&](u64 weight) { shared.listed[atomicAdd(&shared.count, 1u)] = weight; });
  __syncthreads();
  mark_listed(shared, shared.listed, row.bits, missing, equal);
}
