// Chosen sets as bitmaps: membership, ranges, and the search for the next member by a whole warp.

/** A row counted from the first one of the set; one far outside stays outside. */
WARPLOOM_DEVICE int own_row(const SetView& set, int row) { return clamp_int((i64)row - set.row_from); }

WARPLOOM_DEVICE bool set_has(const SetView& set, int row, int column) {
  row = own_row(set, row);
  if ((u32)row >= (u32)set.rows || (u32)column >= (u32)set.columns) return false;
  return set.bits[(i64)row * set.stride + (column >> 5)] >> (column & 31) & 1u;
}

/** The same without a branch, so that the words of many are on their way together; it takes more registers. */
WARPLOOM_DEVICE bool set_has_early(const SetView& set, int row, int column) {
  row = own_row(set, row);
  const bool is_inside = ((u32)row < (u32)set.rows) & ((u32)column < (u32)set.columns);
  return word_if(is_inside, set.bits + (i64)row * set.stride + (column >> 5)) >> (column & 31) & 1u;
}

/** 32 columns of a row, from `column` on; those outside of the set it has not. */
WARPLOOM_DEVICE u32 set_bits(const SetView& set, int row, int column) {
  row = own_row(set, row);
  if ((u32)row >= (u32)set.rows) return 0u;
  const u32* bits = set.bits + (i64)row * set.stride;
  const int word = column >> 5;  // of a negative column the one before
  const u32 low = (u32)word < (u32)set.stride ? bits[word] : 0u;
  const u32 high = (column & 31) != 0 && (u32)(word + 1) < (u32)set.stride ? bits[word + 1] : 0u;
  return __funnelshift_r(low, high, column & 31);
}

/** Bits of word `word` that lie in columns [from, to], both inside the word's row. */
WARPLOOM_DEVICE u32 bits_between(int word, int from, int to) {
  u32 mask = FULL_WARP;
  if (from > word * 32) mask &= FULL_WARP << (from - word * 32);
  if (to < word * 32 + 31) mask &= FULL_WARP >> (word * 32 + 31 - to);
  return mask;
}

// Ranges wider than this are answered by "some, not all": they would cost more than the tile they save.
#define MOST_SET_ROWS 64
#define MOST_SET_COLUMNS 4096

/** Whether members can be, and can be missing, among these rows and columns: both where the range is too wide to look. */
WARPLOOM_DEVICE Truth set_truth(const SetView& set, Bounds row, Bounds column) {
  const Bounds rows = {own_row(set, row.lo), own_row(set, row.hi)};
  const int r0 = max(rows.lo, 0), r1 = min(rows.hi, set.rows - 1);
  const int c0 = max(column.lo, 0), c1 = min(column.hi, set.columns - 1);
  if (r0 > r1 || c0 > c1) return {false, true};
  if (r1 - r0 >= MOST_SET_ROWS || c1 - c0 >= MOST_SET_COLUMNS) return {true, true};
  // What lies outside of the set is missing.
  u32 found = 0u, missing = (u32)(rows.lo != r0 || rows.hi != r1 || column.lo != c0 || column.hi != c1);
  for (int r = r0; r <= r1; ++r)
    for (int word = c0 >> 5; word <= c1 >> 5; ++word) {
      const u32 bits = set.bits[(i64)r * set.stride + word], asked = bits_between(word, c0, c1);
      found |= bits & asked;
      missing |= ~bits & asked;
      if (found != 0u && missing != 0u) return {true, true};
    }
  return {found != 0u, missing != 0u};
}

/** 32 columns of rows [r0, r1] (counted from the first row of the set), united. */
WARPLOOM_DEVICE u32 set_word(const SetView& set, int r0, int r1, int word) {
  u32 bits = 0;
  for (int row = r0; row <= r1; ++row) bits |= set.bits[(i64)row * set.stride + word];
  return bits;
}

/**
 * The first column from `from` on that any row of [r0, r1] has, or NO_MEMBER; none is looked for far beyond `most`. A whole
 * warp asks, with equal arguments.
 */
WARPLOOM_DEVICE int set_next(const SetView& set, int r0, int r1, int from, int most) {
  r0 = max(own_row(set, r0), 0);
  r1 = min(own_row(set, r1), set.rows - 1);
  from = max(from, 0);
  if (r0 > r1 || from >= set.columns) return NO_MEMBER;
  const int lane = threadIdx.x & 31;
  for (int first = from >> 5; first < set.stride && first <= most >> 5; first += 32) {
    const int word = first + lane;
    u32 bits = word < set.stride ? set_word(set, r0, r1, word) : 0u;
    if (word * 32 < from) bits &= FULL_WARP << (from - word * 32);
    const u32 found = __ballot_sync(FULL_WARP, bits != 0);
    if (found == 0) continue;
    const int owner = __ffs(found) - 1;
    return (first + owner) * 32 + __ffs(__shfl_sync(FULL_WARP, bits, owner)) - 1;
  }
  return NO_MEMBER;
}

/**
 * The last column up to `to` that any row of [r0, r1] has, or -1; none is looked for far below `least`. A whole warp asks,
 * with equal arguments.
 */
WARPLOOM_DEVICE int set_previous(const SetView& set, int r0, int r1, int to, int least) {
  r0 = max(own_row(set, r0), 0);
  r1 = min(own_row(set, r1), set.rows - 1);
  to = min(to, set.columns - 1);
  if (r0 > r1 || to < 0) return -1;
  const int lane = threadIdx.x & 31;
  for (int last = to >> 5; last >= max(least, 0) >> 5; last -= 32) {
    const int word = last - lane;
    u32 bits = word >= 0 ? set_word(set, r0, r1, word) : 0u;
    if (lane == 0 && last == to >> 5) bits &= FULL_WARP >> (31 - (to & 31));
    const u32 found = __ballot_sync(FULL_WARP, bits != 0);
    if (found == 0) continue;
    const int owner = __ffs(found) - 1;
    return (last - owner) * 32 + 31 - __clz(__shfl_sync(FULL_WARP, bits, owner));
  }
  return -1;
}
