// The largest of a short row by one warp, in two readings of it: the largest of every four weights say from where on
// the chosen ones lie, and these are listed. The threshold itself is looked for among the few that are: first where
// the counts say that it lies, then by halves as well. Few registers, for many warps at once.

#define SHORT_COLUMNS 2048
#define SHORT_QUADS (SHORT_COLUMNS / 128)  // of a lane
#define SHORT_ROWS 4                       // of a block, a warp each
#define SHORT_LISTED 20                    // of a lane, more than which are rare

/** Of a warp. What a lane lists nobody else reads. */
struct ShortShared {
  float weights[32 * SHORT_LISTED];
  u16 columns[32 * SHORT_LISTED];
  u32 words[SHORT_COLUMNS / 32], ties[SHORT_COLUMNS / 32];
};

/** So many values are `from` or more. */
struct Cut {
  float from;
  int count;
};

/** Values that are in registers are gone through in one go. */
template <int COUNT> constexpr int short_steps = COUNT <= 32 ? COUNT : 4;

/**
 * Of the values of a warp, COUNT a lane, a cut with need .. need + slack of them, more where they are equal, all where
 * there are no more. Negative infinity is no value; `need` is positive.
 */
template <int COUNT, typename ValueOf> WARPLOOM_DEVICE Cut cut_of(ValueOf value_of, int need, int slack) {
  float least = POSITIVE_INFINITY, most = NEGATIVE_INFINITY;
  int all = 0;
#pragma unroll short_steps<COUNT>
  for (int i = 0; i < COUNT; ++i) {
    const float value = value_of(i);
    most = fmaxf(most, value);
    if (value > NEGATIVE_INFINITY) {
      least = fminf(least, value);
      ++all;
    }
  }
  // Keys from `low` on are `at_low`, at least `need`; those from `high` on `at_high`, fewer.
  u32 low = __reduce_min_sync(FULL_WARP, ordered_bits(least)), high = __reduce_max_sync(FULL_WARP, ordered_bits(most)) + 1u;
  int at_low = __reduce_add_sync(FULL_WARP, all), at_high = 0;
  for (int step = 0; at_low > need + slack && high - low > 1u; ++step) {
    u32 middle = low + (high - low) / 2u;
    if (step < 4 || step % 2 == 0) {
      const float from = float_of_ordered(low), to = float_of_ordered(high);
      const float share = __fdividef((float)(at_low - need) - 0.5f * slack, (float)(at_low - at_high));
      const u32 guess = ordered_bits(from + (to - from) * share);
      if (guess > low && guess < high) middle = guess;
    }
    const float threshold = float_of_ordered(middle);
    float reached = 0.0f;
#pragma unroll short_steps<COUNT>
    for (int i = 0; i < COUNT; ++i) reached += value_of(i) >= threshold ? 1.0f : 0.0f;
    const int own = __reduce_add_sync(FULL_WARP, (int)reached);
    if (own >= need) {
      low = middle;
      at_low = own;
    } else {
      high = middle;
      at_high = own;
    }
  }
  return {float_of_ordered(low), at_low};
}

/** Sets the bits of the first `count` members of `ties` in `words`. */
WARPLOOM_DEVICE void mark_first(u32* words, const u32* ties, int count) {
  const int lane = threadIdx.x & 31;
#pragma unroll 1
  for (int word = lane; word < SHORT_COLUMNS / 32; word += 32) {
    const u32 tied = ties[word];
    int upto = __popc(tied);
    for (int step = 1; step < 32; step *= 2) {
      const int other = __shfl_up_sync(FULL_WARP, upto, step);
      if (lane >= step) upto += other;
    }
    u32 later = tied;
    for (int left = count - (upto - __popc(tied)); left > 0 && later != 0; --left) later &= later - 1u;
    words[word] |= tied ^ later;
    count -= __shfl_sync(FULL_WARP, upto, 31);
  }
}

/** Sets the bits of the `need` largest values of a warp, COUNT a lane, of equal ones those of the lower columns. */
template <int COUNT, typename ValueOf, typename ColumnOf>
WARPLOOM_DEVICE void mark_largest(ShortShared& shared, ValueOf value_of, ColumnOf column_of, int need) {
  const Cut cut = cut_of<COUNT>(value_of, need, 0);
  const bool has_ties = cut.count > need;
  if (has_ties)
    for (int word = threadIdx.x & 31; word < SHORT_COLUMNS / 32; word += 32) shared.ties[word] = 0;
  __syncwarp();
  int above = 0;
#pragma unroll short_steps<COUNT>
  for (int i = 0; i < COUNT; ++i) {
    const float value = value_of(i);
    if (!(value >= cut.from)) continue;
    const bool is_tied = has_ties && value == cut.from;
    u32* const bits = is_tied ? shared.ties : shared.words;
    atomicOr(&bits[column_of(i) >> 5], 1u << (column_of(i) & 31));
    above += !is_tied;
  }
  __syncwarp();
  if (has_ties) mark_first(shared.words, shared.ties, need - __reduce_add_sync(FULL_WARP, above));
}

/**
 * Calls `use(i, weights)` for the columns 128 i + 4 lane .. + 3, so many of them at once that reading one does not hold
 * up the next; negative infinity for those that take no part. What is not a number is less than all that are.
 */
template <typename Row, typename Needs, typename Use>
WARPLOOM_DEVICE void for_quads(const Row& row, Needs needs, Use use) {
  constexpr int ahead = 4;
  const int lane = threadIdx.x & 31, from = 128 * lane;
  const Forced& forced = row.forced;
  // Of the quads of the warp, those that are seen altogether and not forced anywhere.
  const u32 whole = __ballot_sync(FULL_WARP, from >= forced.first && from + 128 <= row.to &&
                                                 (from + 128 <= forced.from || from >= forced.to));
#pragma unroll
  for (int first = 0; first < SHORT_QUADS; first += ahead) {
    if (128 * first >= row.to) break;
    float4 fours[ahead];
#pragma unroll
    for (int i = 0; i < ahead; ++i) {
      const int column = 128 * (first + i) + 4 * lane;
      fours[i] = {0.0f, 0.0f, 0.0f, 0.0f};
      if ((whole >> (first + i) & 1u) && needs(first + i)) fours[i] = *(const float4*)(row.values + column);
    }
#pragma unroll
    for (int i = 0; i < ahead; ++i) {
      const int column = 128 * (first + i) + 4 * lane;
      float weights[4] = {fours[i].x, fours[i].y, fours[i].z, fours[i].w};
      u32 free = 15u;
      if (!(whole >> (first + i) & 1u)) {
        free = ~forced_bits(forced, column) & low_bits(row.to - column) & 15u;
#pragma unroll
        for (int c = 0; c < 4; ++c)
          if (free >> c & 1u) weights[c] = row.values[column + c];
      }
#pragma unroll
      for (int c = 0; c < 4; ++c)
        weights[c] = free >> c & 1u ? fmaxf(row.weight(weights[c]), -LARGEST_FLOAT) : NEGATIVE_INFINITY;
      use(first + i, weights);
    }
  }
}
/** The largest of every four weights of a lane, or, of a row that is so short, the weights themselves. */
template <typename Row> WARPLOOM_DEVICE void read_tops(float (&tops)[SHORT_QUADS], const Row& row) {
#pragma unroll
  for (int i = 0; i < SHORT_QUADS; ++i) tops[i] = NEGATIVE_INFINITY;
  const auto all = [](int) { return true; };
  if (row.to > SHORT_COLUMNS / 4) {
    for_quads(row, all, [&](int i, const float (&weights)[4]) {
      tops[i] = fmaxf(fmaxf(weights[0], weights[1]), fmaxf(weights[2], weights[3]));
    });
  } else {
    for_quads(row, all, [&](int i, const float (&weights)[4]) {
#pragma unroll
      for (int c = 0; c < 4; ++c)
        if (i < SHORT_QUADS / 4) tops[4 * i + c] = weights[c];
    });
  }
}

/** Lists the weights of this lane from `bound` on. Returns their number, SHORT_LISTED + 1 where that is too large. */
template <typename Row>
WARPLOOM_DEVICE int list_short(ShortShared& shared, const Row& row, const float (&tops)[SHORT_QUADS], float bound) {
  const int lane = threadIdx.x & 31;
  int next = lane;
  bool fits = true;
  const auto has_any = [&](int i) { return row.to <= SHORT_COLUMNS / 4 || tops[i] >= bound; };
  for_quads(row, has_any, [&](int i, const float (&weights)[4]) {
    fits = fits && next < 32 * (SHORT_LISTED - 3);
    if (!fits || !has_any(i)) return;
#pragma unroll
    for (int c = 0; c < 4; ++c)
      if (weights[c] >= bound) {
        shared.weights[next] = weights[c];
        shared.columns[next] = (u16)(128 * i + 4 * lane + c);
        next += 32;
      }
  });
  return fits ? next / 32 : SHORT_LISTED + 1;
}

/** Sets the bits of the `need` largest that are not forced, of at least as many. */
template <typename Row> WARPLOOM_DEVICE void mark_short(ShortShared& shared, const Row& row, int need) {
  const int lane = threadIdx.x & 31;
  float tops[SHORT_QUADS];
  read_tops(tops, row);
  const Cut cut = cut_of<SHORT_QUADS>([&](int i) { return tops[i]; }, need, 4 + need / 8);
  const int listed = list_short(shared, row, tops, cut.count < need ? -LARGEST_FLOAT : cut.from);
  if (__any_sync(FULL_WARP, listed > SHORT_LISTED)) {
    const auto column_of = [&](int i) { return 32 * i + lane; };
    const auto weight_of = [&](int i) {
      const int column = column_of(i);
      const bool is_free = column < row.to && !is_forced(row.forced, column);
      return is_free ? fmaxf(row.weight(row.values[column]), -LARGEST_FLOAT) : NEGATIVE_INFINITY;
    };
    mark_largest<SHORT_COLUMNS / 32>(shared, weight_of, column_of, need);
    return;
  }
  float own[SHORT_LISTED];
#pragma unroll
  for (int i = 0; i < SHORT_LISTED; ++i) own[i] = i < listed ? shared.weights[32 * i + lane] : NEGATIVE_INFINITY;
  mark_largest<SHORT_LISTED>(
      shared, [&](int i) { return own[i]; }, [&](int i) { return (int)shared.columns[32 * i + lane]; }, need);
}

/** The `count` largest, the forced members included, of a row of at most SHORT_COLUMNS. A whole warp calls. */
template <typename Row> WARPLOOM_DEVICE void choose_largest_of_short(ShortShared& shared, const Row& row, int count) {
  const int lane = threadIdx.x & 31, need = min(count - forced_count(row.forced), count_free(row));
  for (int word = lane; word < SHORT_COLUMNS / 32; word += 32) shared.words[word] = 0;
  __syncwarp();
  if (need > 0) mark_short(shared, row, need);
  __syncwarp();
  for (int word = lane; word < row.words; word += 32) row.bits[word] = shared.words[word] | forced_bits(row.forced, 32 * word);
}
