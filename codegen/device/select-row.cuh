// Picking the members of one row by a block of threads: the bits of a threshold by radix selection, four
// digits of 8 bits, so that no row is ever sorted; then the members as a bitmap. Ties go to the lower
// column. Amounts are integers, so that no order of adding them changes the outcome.

/** Members that are chosen whatever their weight: columns [0, first) and [from, to). */
struct Forced {
  int first, from, to;
};
WARPLOOM_DEVICE bool is_forced(Forced forced, int column) {
  return column < forced.first || (column >= forced.from && column < forced.to);
}
WARPLOOM_DEVICE int forced_count(Forced forced) {
  return forced.first + max(0, forced.to - max(forced.from, forced.first));
}
/** Of a row whose positions lie in column blocks f..l: the first ones, and f - last + 1 .. l. */
WARPLOOM_DEVICE Forced forced_of_row(Line rows, Line columns, int row, int first, int last) {
  const int to = line_to(columns);
  const int f = first_position(rows, row) / columns.size, l = last_position(rows, row) / columns.size;
  if (last == 0) return {min(first, to), 0, 0};
  return {min(first, to), max(0, f - last + 1), min(to, l + 1)};
}
/** Of one axis: the first and the last members. */
WARPLOOM_DEVICE Forced forced_of_sums(int columns, int first, int last) {
  return {min(first, columns), max(0, columns - last), columns};
}

/** Bits whose order as unsigned integers is the order of the numbers; -0 counts as 0. */
WARPLOOM_DEVICE u32 ordered_bits(float x) {
  const u32 bits = (u32)__float_as_int(x + 0.0f);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
#define ORDERED_ZERO 0x80000000u
/** The number behind ordered bits. */
WARPLOOM_DEVICE float float_of_ordered(u32 bits) {
  return __int_as_float((int)(bits & 0x80000000u ? bits & 0x7fffffffu : ~bits));
}

struct SelectShared {
  u32 low[256], high[256];  // the sum of the amounts of each digit
  u32 ties[32];             // of each warp
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
WARPLOOM_DEVICE void find_digit(SelectShared& shared, u64 missing) {
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

/** `candidate(column, key, amount)` says whether a column takes part. The sum of all amounts is `need` or more, and `need` is positive. */
template <typename Candidate>
WARPLOOM_DEVICE Threshold radix_threshold(SelectShared& shared, int from, int to, u64 need, Candidate candidate) {
  Threshold found = {0, need, 0};
  for (int shift = 24; shift >= 0; shift -= 8) {
    for (int i = threadIdx.x; i < 256; i += blockDim.x) shared.low[i] = shared.high[i] = 0;
    __syncthreads();
    for (int column = from + threadIdx.x; column < to; column += blockDim.x) {
      u32 key;
      u64 amount;
      if (!candidate(column, key, amount)) continue;
      if (shift < 24 && (key ^ found.key) >> (shift + 8) != 0) continue;
      const u32 digit = key >> shift & 255u;
      // 64 bits from two 32-bit additions: the carry is known from the value before.
      const u32 low = (u32)amount;
      const u32 high = (u32)(amount >> 32) + (atomicAdd(&shared.low[digit], low) > ~low ? 1u : 0u);
      if (high != 0) atomicAdd(&shared.high[digit], high);
    }
    __syncthreads();
    if (threadIdx.x < 32) find_digit(shared, found.missing);
    __syncthreads();
    found = {found.key | shared.digit << shift, shared.missing, shared.equal};
  }
  return found;
}

#define NOT_CHOSEN 0
#define CHOSEN 1
#define TIED 2

/**
 * Writes a row of bits, `words` of them: `choice(column)` says what becomes of each column; of the tied
 * ones the first `ties` are chosen, or all of them unless `split`. Returns the number of members.
 */
template <typename Choice>
WARPLOOM_DEVICE u32 write_members(SelectShared& shared, u32* row, int words, bool split, u64 ties, Choice choice) {
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
  u64 seen = 0;
  u32 members = 0;
  if (threadIdx.x == 0) shared.members = 0;
  for (int base = 0; base < words * 32; base += blockDim.x) {
    const int column = base + (int)threadIdx.x;
    const int what = column < words * 32 ? choice(column) : NOT_CHOSEN;
    bool is_member = what != NOT_CHOSEN;
    if (split) {
      const u32 tied = __ballot_sync(FULL_WARP, what == TIED);
      if (lane == 0) shared.ties[warp] = __popc(tied);
      __syncthreads();
      u64 before = seen;
      for (int other = 0; other < warps; ++other) {
        if (other < warp) before += shared.ties[other];
        seen += shared.ties[other];
      }
      __syncthreads();
      if (what == TIED) is_member = before + __popc(tied & ((1u << lane) - 1u)) < ties;
    }
    const u32 word = __ballot_sync(FULL_WARP, is_member);
    if (lane == 0 && column < words * 32) row[column >> 5] = word;
    members += __popc(word);
  }
  __syncthreads();
  if (lane == 0) atomicAdd(&shared.members, members);
  __syncthreads();
  return shared.members;
}
