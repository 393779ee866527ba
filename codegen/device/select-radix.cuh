// The threshold of a row by radix selection: four digits of 8 bits, so that no row is ever sorted. Amounts are
// integers, so that no order of adding them changes the outcome.

struct RadixShared {
  u32 low[256], high[256];  // the sum of the amounts of each digit
  u32 ties[2][32];          // of each warp, of two turns
  u64 missing, equal;
  u32 digit;
  u32 members;
};

/**
 * The key at which the amounts, from the largest key down, reach `missing`. `missing` is what keys equal
 * to it still have to give, and `equal` what they hold together.
 */
struct Threshold {
  u32 key;
  u64 missing, equal;
};

/** The first warp looks for the digit at which the amounts reach `missing`; they do somewhere. */
WARPLOOM_DEVICE void find_digit(RadixShared& shared, u64 missing) {
  const int lane = threadIdx.x;
  u64 own = 0;
  for (int i = 0; i < 8; ++i) own += (u64)shared.high[255 - 8 * lane - i] << 32 | shared.low[255 - 8 * lane - i];
  u64 before = own;
  for (int step = 1; step < 32; step *= 2) {
    const u64 other = __shfl_up_sync(FULL_WARP, before, step);
    if (lane >= step) before += other;
  }
  before -= own;
  if (before >= missing || before + own < missing) return;
  missing -= before;
  for (int digit = 255 - 8 * lane;; --digit) {
    const u64 sum = (u64)shared.high[digit] << 32 | shared.low[digit];
    if (sum >= missing) {
      shared.digit = digit;
      shared.missing = missing;
      shared.equal = sum;
      return;
    }
    missing -= sum;
  }
}

/**
 * `amount_of(column, weight)` is what a column counts, 0 for one that takes no part; with COUNTS all others are 1.
 * The sum of all amounts is `need` or more, and `need` is positive.
 */
template <bool COUNTS, typename Row, typename Amount>
WARPLOOM_DEVICE Threshold radix_threshold(RadixShared& shared, const Row& row, u64 need, Amount amount_of) {
  Threshold found = {0, need, 0};
  for (int shift = 24; shift >= 0; shift -= 8) {
    for (int i = threadIdx.x; i < 256; i += blockDim.x) shared.low[i] = shared.high[i] = 0;
    __syncthreads();
    for_seen(row, [&](int column, float weight) {
      const u32 key = ordered_bits(weight);
      if (shift < 24 && (key ^ found.key) >> (shift + 8) != 0) return;
      const u64 amount = amount_of(column, weight);
      if (amount == 0) return;
      const u32 digit = key >> shift & 255u;
      // 64 bits from two 32-bit additions: the carry is known from the value before.
      const u32 low = (u32)amount;
      if (COUNTS) {
        atomicAdd(&shared.low[digit], 1u);
        return;
      }
      const u32 high = (u32)(amount >> 32) + (atomicAdd(&shared.low[digit], low) > ~low ? 1u : 0u);
      if (high != 0) atomicAdd(&shared.high[digit], high);
    });
    __syncthreads();
    if (threadIdx.x < 32) find_digit(shared, found.missing);
    __syncthreads();
    found = {found.key | shared.digit << shift, shared.missing, shared.equal};
  }
  return found;
}

/**
 * Writes the forced members and those whose key is above `key`, of the equal ones the first `ties` in the order of
 * their columns. Returns the number of members.
 */
template <typename Row>
WARPLOOM_DEVICE u32 write_with_ties(RadixShared& shared, const Row& row, u32 key, u64 ties) {
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5, end = row.words * 32;
  u64 seen = 0;
  u32 members = 0;
  int turn = 0;
  for (int base = 0; base < end; base += 4 * blockDim.x) {
    const int column = base + 4 * (int)threadIdx.x;
    const float4 fours = four_values(row, column);
    const float four[4] = {fours.x, fours.y, fours.z, fours.w};
    u32 word = 0, tied = 0;
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      const u32 own = ordered_bits(row.weight(four[c]));
      const bool is_always = is_forced(row.forced, column + c), is_free = !is_always && column + c < row.to;
      if (is_always || (is_free && own > key)) word |= 1u << c;
      if (is_free && own == key) tied |= 1u << c;
    }
    u32 upto = __popc(tied);
#pragma unroll
    for (int step = 1; step < 32; step *= 2) {
      const u32 other = __shfl_up_sync(FULL_WARP, upto, step);
      if (lane >= step) upto += other;
    }
    // A turn later the counts of this one have been read.
    if (lane == 31) shared.ties[turn][warp] = upto;
    __syncthreads();
    const u32 own = lane < warps ? shared.ties[turn][lane] : 0u;
    turn ^= 1;
    i64 left = (i64)(ties - seen) - (i64)__reduce_add_sync(FULL_WARP, lane < warp ? own : 0u) - (upto - __popc(tied));
    seen += __reduce_add_sync(FULL_WARP, own);
    for (; left > 0 && tied != 0; tied &= tied - 1u, --left) word |= tied & (0u - tied);
    members += __popc(word);
    word <<= 4 * (lane & 7);
    word |= __shfl_xor_sync(FULL_WARP, word, 1);
    word |= __shfl_xor_sync(FULL_WARP, word, 2);
    word |= __shfl_xor_sync(FULL_WARP, word, 4);
    if ((lane & 7) == 0 && column < end) row.bits[column >> 5] = word;
  }
  return members;
}
