// The largest of a short row by one warp, in one reading of it: the upper halves of its weights stay in registers, two
// a register, and are counted two at a time, until few weights are left around the threshold. Only these are read once
// more and compared as they are.

#define SHORT_AHEAD 4                      // quads whose reads are under way at once
#define SHORT_FEW 16                       // that are not worth another count; up to 32 can be compared

/** The halves of columns that take no part: less than those of all numbers. */
#define NO_HALVES 0xfc00fc00u

/** Sixteen bits whose order as integers is the order of the upper halves of floats. */
WARPLOOM_DEVICE u32 ordered_half(float x) { return ordered_bits(x) >> 16; }
WARPLOOM_DEVICE u32 half_of_ordered(u32 ordered) { return ordered & 0x8000u ? ordered & 0x7fffu : ~ordered & 0xffffu; }
WARPLOOM_DEVICE float float_of_ordered_half(u32 ordered) { return __int_as_float((int)(half_of_ordered(ordered) << 16)); }
WARPLOOM_DEVICE u32 pair_of_ordered(u32 ordered) { return half_of_ordered(ordered) * 0x10001u; }

/**
 * The upper halves of weight - base of all columns of a lane. Returns whether all are numbers below 2^121: only then
 * are they in order.
 */
template <typename Row>
WARPLOOM_DEVICE bool read_halves(u32 (&pairs)[2 * SHORT_QUADS], const Row& row, float base) {
  // Exchanged with itself, so that nothing that follows from it is known from the reading before and held in registers.
  const int lane = __shfl_sync(FULL_WARP, threadIdx.x & 31, threadIdx.x & 31), from = 128 * lane;
  const Forced& forced = row.forced;
  // Of the quads of the warp, those that are seen altogether and not forced anywhere.
  const u32 whole = __ballot_sync(FULL_WARP, from >= forced.first && from + 128 <= row.to &&
                                                 (from + 128 <= forced.from || from >= forced.to));
  u32 zeros = 0;
#pragma unroll
  for (int first = 0; first < SHORT_QUADS; first += SHORT_AHEAD) {
    if (128 * first >= row.to) break;
    float4 fours[SHORT_AHEAD];
#pragma unroll
    for (int i = 0; i < SHORT_AHEAD; ++i) {
      const int column = 128 * (first + i) + 4 * lane;
      fours[i] = {0.0f, 0.0f, 0.0f, 0.0f};
      if (column + 4 <= row.to) fours[i] = *(const float4*)(row.values + column);
    }
#pragma unroll
    for (int i = 0; i < SHORT_AHEAD; ++i) {
      float four[4] = {fours[i].x, fours[i].y, fours[i].z, fours[i].w};
      u32 keep[2] = {~0u, ~0u};
      if (!(whole >> (first + i) & 1u)) {
        const int column = 128 * (first + i) + 4 * lane, left = row.to - column;
        const u32 free = ~forced_bits(forced, column) & low_bits(left);
#pragma unroll
        for (int c = 0; c < 3; ++c)
          if (left < 4 && c < left) four[c] = row.values[column + c];
#pragma unroll
        for (int half = 0; half < 2; ++half)
          keep[half] = (free >> 2 * half & 1u) * 0xffffu + (free >> 2 * half & 2u) * 0x7fff8000u;
      }
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float low = row.weight(four[2 * half]) - base, high = row.weight(four[2 * half + 1]) - base;
        const u32 own = __byte_perm((u32)__float_as_int(low), (u32)__float_as_int(high), 0x7632) & keep[half];
        zeros = zeros_while_finite(zeros, own);
        pairs[2 * (first + i) + half] = own | (NO_HALVES & ~keep[half]);
      }
    }
  }
  return __all_sync(FULL_WARP, (zeros & 0x7fff7fffu) == 0);
}

/** Of ordered halves, `at_low` are `low` or more, at least as many as are needed; `at_high` are `high` or more, fewer. */
struct Bracket {
  u32 low, high;
  int at_low, at_high;
};

/** What is around the threshold of the `need` largest of `all`: exactly these from `low` on, or few, or equal halves. */
WARPLOOM_DEVICE Bracket bracket_of(const u32 (&pairs)[2 * SHORT_QUADS], int to, int need, int all) {
  u32 tops = NO_HALVES;
  for_quads(to, [&](int i) { tops = larger_of_pairs(tops, larger_of_pairs(pairs[2 * i], pairs[2 * i + 1])); });
  const u32 own = ordered_half(__int_as_float((int)(larger_of_pairs(tops, tops << 16) & 0xffff0000u)));
  const u32 lowest = (~NO_HALVES & 0xffffu) + 1u, most = __reduce_max_sync(FULL_WARP, own);
  Bracket cut = {lowest, most + 1u, all, 0};
  // Where all lanes have one that large, a hundred or so are.
  u32 guess = __reduce_min_sync(FULL_WARP, own);
  for (int step = 0; cut.at_low > need && cut.at_low - cut.at_high > SHORT_FEW && cut.high - cut.low > 1u; ++step) {
    const bool is_taken = guess > cut.low && guess < cut.high && (step < 4 || step % 2 == 0);
    const u32 middle = is_taken ? guess : cut.low + (cut.high - cut.low) / 2u, bound = pair_of_ordered(middle);
    u32 ones[2] = {0, 0};
    for_quads(to, [&](int i) {
      ones[0] = add_pairs(ones[0], ones_where_at_least(pairs[2 * i], bound));
      ones[1] = add_pairs(ones[1], ones_where_at_least(pairs[2 * i + 1], bound));
    });
    const int reached = __reduce_add_sync(FULL_WARP, sum_of_halves(add_pairs(ones[0], ones[1])));
    if (reached >= need) {
      cut.low = middle;
      cut.at_low = reached;
    } else {
      cut.high = middle;
      cut.at_high = reached;
    }
    // On a line through both counts; while nothing is known from below, on the line from the largest down.
    const float to_high = float_of_ordered_half(cut.high);
    const float apart =
        cut.low == lowest
            ? __fdividef(float_of_ordered_half(most) - to_high, (float)max(cut.at_high, 1))
            : __fdividef(to_high - float_of_ordered_half(cut.low), (float)(cut.at_low - cut.at_high));
    guess = ordered_half(to_high - apart * (float)(need - cut.at_high + SHORT_FEW / 4));
  }
  return cut;
}

/** The columns of a lane from an ordered half on, four bits a quad. */
WARPLOOM_DEVICE u64 columns_from(const u32 (&pairs)[2 * SHORT_QUADS], int to, u32 ordered) {
  const u32 bound = pair_of_ordered(ordered);
  // Four quads each: the bits of odd columns are 16 further up.
  u32 apart[SHORT_QUADS / 4] = {};
  for_quads(to, [&](int i) {
    apart[i / 4] |= mask_where_at_least(pairs[2 * i], bound) & (0x00020001u << 4 * (i % 4));
    apart[i / 4] |= mask_where_at_least(pairs[2 * i + 1], bound) & (0x00080004u << 4 * (i % 4));
  });
  u64 columns = 0;
#pragma unroll
  for (int i = 0; i < SHORT_QUADS / 4; ++i) columns |= (u64)((apart[i] | apart[i] >> 16) & 0xffffu) << 16 * i;
  return columns;
}

/** Sets the bits of the `need` largest of the `columns` of all lanes, 32 at most, of equal ones the lower columns. */
template <typename Row> WARPLOOM_DEVICE void add_largest(ShortShared& shared, const Row& row, u64 columns, int need) {
  const int lane = threadIdx.x & 31;
  const int count = gather_columns(shared, columns);
  const int column = lane < count ? shared.columns[lane] : NO_MEMBER;
  const float weight = lane < count ? row.weight(row.values[column]) : NEGATIVE_INFINITY;
  int before = 0;
  for (int i = 0; i < count; ++i) {
    const float other = __shfl_sync(FULL_WARP, weight, i);
    const bool is_lower = __shfl_sync(FULL_WARP, column, i) < column;
    before += other > weight || (other == weight && is_lower);
  }
  if (lane < count && before < need) atomicOr(&row.bits[column >> 5], 1u << (column & 31));
}

/** The same of any numbers, however many are equal: a reading for each bit of the threshold. NaN is less than numbers. */
template <typename Row> WARPLOOM_DEVICE void choose_by_halving(const Row& row, int need) {
  const int lane = threadIdx.x & 31;
  const auto key_of = [&](int column) {
    const bool is_free = column < row.to && !is_forced(row.forced, column);
    return is_free ? ordered_bits(fmaxf(row.weight(row.values[column]), -LARGEST_FLOAT)) : 0u;
  };
  u32 least = ~0u, most = 0u;
  for (int column = lane; column < row.to; column += 32) {
    const u32 key = key_of(column);
    most = max(most, key);
    if (key != 0) least = min(least, key);
  }
  u32 low = __reduce_min_sync(FULL_WARP, least), high = __reduce_max_sync(FULL_WARP, most) + 1u;
  int at_high = 0;
  while (high - low > 1u) {
    const u32 middle = low + (high - low) / 2u;
    int own = 0;
    for (int column = lane; column < row.to; column += 32) own += key_of(column) >= middle;
    const int reached = __reduce_add_sync(FULL_WARP, own);
    if (reached >= need) {
      low = middle;
    } else {
      high = middle;
      at_high = reached;
    }
  }
  write_from_key(row, key_of, low, need - at_high);
}

/** The `count` largest, the forced members included, of a row of at most SHORT_COLUMNS. A whole warp calls. */
template <typename Row> WARPLOOM_DEVICE void choose_largest_of_short(ShortShared& shared, const Row& row, int count) {
  const int free = count_free(row), need = min(count - forced_count(row.forced), free);
  if (need <= 0) return write_columns(row, 0);
  float base = 0.0f;
#pragma unroll 1
  do {
    u32 pairs[2 * SHORT_QUADS];
    if (!read_halves(pairs, row, base)) break;
    const Bracket cut = bracket_of(pairs, row.to, need, free);
    const bool is_exact = cut.at_low == need;
    if (is_exact || cut.at_low - cut.at_high <= 32) {
      const u64 columns = columns_from(pairs, row.to, is_exact ? cut.low : cut.high);
      write_columns(row, columns);
      if (!is_exact) add_largest(shared, row, columns_from(pairs, row.to, cut.low) & ~columns, need - cut.at_high);
      return;
    }
    // Many with the same upper half, far from zero: they differ in what is left of them when it is taken away, once.
    base = base == 0.0f ? float_of_ordered_half(cut.low) : 0.0f;
  } while (base != 0.0f);
  choose_by_halving(row, need);
}
