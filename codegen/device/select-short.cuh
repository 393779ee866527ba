// The largest of a short row by one warp: its weights stay in registers, and a threshold is looked for between the
// smallest and the largest, first where the counts say that it lies, then by halves.

#define SHORT_COLUMNS 2048
#define SHORT_QUADS (SHORT_COLUMNS / 128)

/** Keys of the columns 128 i + 4 lane .. + 3; 0 for those that take no part. */
struct ShortRow {
  u32 keys[SHORT_QUADS][4];
};

/** Calls `use(i, c)` for the keys that the first `to` columns have. */
template <typename Use> WARPLOOM_DEVICE void for_keys(int to, Use use) {
#pragma unroll
  for (int i = 0; i < SHORT_QUADS; ++i) {
    if (128 * i >= to) continue;
#pragma unroll
    for (int c = 0; c < 4; ++c) use(i, c);
  }
}

/** The `need` largest keys: all from `key` on, or where `ties` is not negative, all above and so many that are equal. */
struct ShortThreshold {
  u32 key;
  int ties;
};

/** At least `need` keys are not 0, and `need` is positive. */
WARPLOOM_DEVICE ShortThreshold short_threshold(const ShortRow& row, int to, int need) {
  u32 low = 0xffffffffu, high = 0;
  int count = 0;
  for_keys(to, [&](int i, int c) {
    const u32 key = row.keys[i][c];
    if (key != 0) low = min(low, key);
    high = max(high, key);
    count += key != 0;
  });
  low = __reduce_min_sync(FULL_WARP, low);
  high = __reduce_max_sync(FULL_WARP, high);
  // `at_low` keys are `low` or more, at least `need`; `at_high` are more than `high`, fewer than `need`.
  int at_low = __reduce_add_sync(FULL_WARP, count), at_high = 0;
  for (int step = 0; at_low > need && low < high; ++step) {
    u32 middle = low + (high - low) / 2 + 1;
    if (step < 6) {
      const float from = float_of_ordered(low), to_value = float_of_ordered(high);
      const float share = (float)(at_low - need) / (float)max(at_low - at_high, 1);
      const u32 guess = ordered_bits(from + (to_value - from) * share);
      if (guess > low && guess <= high) middle = guess;
    }
    int own = 0;
    for_keys(to, [&](int i, int c) { own += row.keys[i][c] >= middle; });
    own = __reduce_add_sync(FULL_WARP, own);
    if (own >= need) {
      low = middle;
      at_low = own;
    } else {
      high = middle - 1;
      at_high = own;
    }
  }
  return {low, at_low > need ? need - at_high : -1};
}

/** The `count` largest, the forced members included, of a row of at most SHORT_COLUMNS. The block is one warp. */
template <typename Row> WARPLOOM_DEVICE void choose_largest_of_short(const Row& row, int count) {
  const int lane = threadIdx.x & 31;
  const int need = min(count - forced_count(row.forced), count_free(row));
  ShortRow own;
#pragma unroll
  for (int i = 0; i < SHORT_QUADS; ++i) {
    const int column = 128 * i + 4 * lane;
    float4 values = {0.0f, 0.0f, 0.0f, 0.0f};
    if (128 * i < row.to) values = four_values(row, column);
    const float four[4] = {values.x, values.y, values.z, values.w};
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      const bool is_free = column + c < row.to && !is_forced(row.forced, column + c);
      own.keys[i][c] = is_free ? max(ordered_bits(row.weight(four[c])), 1u) : 0u;
    }
  }
  ShortThreshold found = {0xffffffffu, 0};
  if (need > 0) found = short_threshold(own, row.to, need);
  int ties = found.ties;
#pragma unroll
  for (int i = 0; i < SHORT_QUADS; ++i) {
    if (128 * i >= row.words * 32) break;
    const int column = 128 * i + 4 * lane;
    u32 word = 0, tied = 0;
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      const u32 key = own.keys[i][c];
      if (is_forced(row.forced, column + c) || key > found.key || (key == found.key && found.ties < 0)) word |= 1u << c;
      if (key == found.key && found.ties >= 0) tied |= 1u << c;
    }
    if (found.ties >= 0 && __any_sync(FULL_WARP, tied)) {
      // Lanes hold columns that follow each other: a scan says how many of the ties lie before.
      int before = __popc(tied);
      const int mine = before;
#pragma unroll
      for (int step = 1; step < 32; step *= 2) {
        const int other = __shfl_up_sync(FULL_WARP, before, step);
        if (lane >= step) before += other;
      }
      const int all = __shfl_sync(FULL_WARP, before, 31);
      before -= mine;
      for (; tied != 0 && before < ties; tied &= tied - 1, ++before) word |= tied & (0u - tied);
      ties -= min(all, ties);
    }
    word <<= 4 * (lane & 7);
    word |= __shfl_xor_sync(FULL_WARP, word, 1);
    word |= __shfl_xor_sync(FULL_WARP, word, 2);
    word |= __shfl_xor_sync(FULL_WARP, word, 4);
    if ((lane & 7) == 0 && column < row.words * 32) row.bits[column >> 5] = word;
  }
}
