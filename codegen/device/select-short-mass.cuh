// The fewest of a short row that hold a mass, by one warp, in one reading of it: the weights stay in registers, sums of
// floats tell about where the threshold is, and amounts decide: what all above it hold, and then, one after the other,
// the few around it.

#define MASS_FEW 20  // that are not worth another sum; up to 32 can be compared

WARPLOOM_DEVICE u64 warp_sum(u64 value) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(FULL_WARP, value, step);
  return value;
}
WARPLOOM_DEVICE float warp_sum(float value) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(FULL_WARP, value, step);
  return value;
}

/** Bits of what a weight counts by, in the order of the weights: those of 0 where it counts nothing. */
WARPLOOM_DEVICE int counted_bits(float weight) { return __float_as_int(fminf(fmaxf(weight, 0.0f), LARGEST_FLOAT)); }

/** The counted bits of a lane's columns, those of 0 where nothing is seen. Returns the largest of the warp. */
template <typename Row> WARPLOOM_DEVICE int read_counted(int (&bits)[4 * SHORT_QUADS], const Row& row) {
  const int lane = threadIdx.x & 31;
  int most = 0;
#pragma unroll
  for (int first = 0; first < SHORT_QUADS; first += 4) {
    if (128 * first >= row.to) break;
    float4 fours[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) fours[i] = four_values(row, 128 * (first + i) + 4 * lane);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float four[4] = {fours[i].x, fours[i].y, fours[i].z, fours[i].w};
#pragma unroll
      for (int c = 0; c < 4; ++c) {
        const bool is_seen = 128 * (first + i) + 4 * lane + c < row.to;
        const int own = is_seen ? counted_bits(row.weight(four[c])) : 0;
        bits[4 * (first + i) + c] = own;
        most = max(most, own);
      }
    }
  }
  return __reduce_max_sync(FULL_WARP, most);
}

/** Takes those of forced columns out. Returns, for the warp, what they count and what all do. */
template <typename Row>
WARPLOOM_DEVICE void take_forced(int (&bits)[4 * SHORT_QUADS], const Row& row, const Amounts& amounts, u64& got, u64& total) {
  const int lane = threadIdx.x & 31;
  const Columns free = free_columns(row);
  got = total = 0;
  for_quads(row.to, [&](int i) {
    const int column = 128 * i + 4 * lane;
    const u32 forced = has_four(free, column) ? 0u : forced_bits(row.forced, column);
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      const u64 own = amounts.of(__int_as_float(bits[4 * i + c]));
      total += own;
      if (!(forced >> c & 1u)) continue;
      got += own;
      bits[4 * i + c] = 0;
    }
  });
  got = warp_sum(got);
  total = warp_sum(total);
}

/** The columns of a lane from `bound` on, four bits a quad; `bound` is positive. */
WARPLOOM_DEVICE u64 columns_from(const int (&bits)[4 * SHORT_QUADS], int to, int bound) {
  u32 parts[2] = {0u, 0u};
  for_quads(to, [&](int i) {
#pragma unroll
    for (int c = 0; c < 4; ++c)
      if (bits[4 * i + c] >= bound) parts[i / 8] |= 1u << (4 * (i % 8) + c);
  });
  return (u64)parts[1] << 32 | parts[0];
}
WARPLOOM_DEVICE int count_of(u64 columns) { return __reduce_add_sync(FULL_WARP, __popcll(columns)); }

/** A threshold is from `low` on and below `high`, as far as sums of floats can tell. */
struct MassBracket {
  int low, high;
};

/** Where the sum from the largest down reaches `missing`, which it does at `low`. */
WARPLOOM_DEVICE MassBracket bracket_of_mass(const int (&bits)[4 * SHORT_QUADS], int to, float missing, int low, int most) {
  MassBracket cut = {low, most + 1};
  int at_low = to, at_high = 0;
  while (at_low - at_high > MASS_FEW && cut.high - cut.low > 1) {
    const int middle = cut.low + (cut.high - cut.low) / 2;
    int count = 0;
    float sum = 0.0f;
    for_quads(to, [&](int i) {
#pragma unroll
      for (int c = 0; c < 4; ++c) {
        const bool is_above = bits[4 * i + c] >= middle;
        count += is_above;
        sum += is_above ? __int_as_float(bits[4 * i + c]) : 0.0f;
      }
    });
    count = __reduce_add_sync(FULL_WARP, count);
    if (warp_sum(sum) >= missing) {
      cut.low = middle;
      at_low = count;
    } else {
      cut.high = middle;
      at_high = count;
    }
  }
  return cut;
}

/** A column of a lane, and of the columns of all lanes whether they hold enough. */
struct Few {
  int column;
  bool is_chosen, suffice;
};

/**
 * Chooses of the `columns` of all lanes, 32 at most, the largest, of equal ones the lower columns, until their amounts reach
 * `missing`.
 */
template <typename Row>
WARPLOOM_DEVICE Few choose_few(ShortShared& shared, const Row& row, u64 columns, const Amounts& amounts, u64 missing) {
  const int lane = threadIdx.x & 31, count = gather_columns(shared, columns);
  const int column = lane < count ? shared.columns[lane] : NO_MEMBER;
  const float weight = lane < count ? row.weight(row.values[column]) : 0.0f;
  const u64 amount = lane < count ? amounts.of(weight) : 0;
  u64 before = 0;
  for (int i = 0; i < count; ++i) {
    const float other = __shfl_sync(FULL_WARP, weight, i);
    const bool is_lower = __shfl_sync(FULL_WARP, column, i) < column;
    const u64 own = __shfl_sync(FULL_WARP, amount, i);
    if (other > weight || (other == weight && is_lower)) before += own;
  }
  return {column, lane < count && before < missing, warp_sum(amount) >= missing};
}

/** The same of any weights, however many are equal: a reading for each bit of the threshold. */
template <typename Row>
WARPLOOM_DEVICE int choose_mass_by_halving(const Row& row, const Amounts& amounts, u64 missing, int most) {
  const int lane = threadIdx.x & 31;
  const auto key_of = [&](int column) {
    const bool is_free = column < row.to && !is_forced(row.forced, column);
    return is_free ? (u32)counted_bits(row.weight(row.values[column])) : 0u;
  };
  u32 low = 1u, high = (u32)most + 1u;
  u64 at_high = 0;
  while (high - low > 1u) {
    const u32 middle = low + (high - low) / 2u;
    u64 own = 0;
    for (int column = lane; column < row.to; column += 32) {
      const u32 key = key_of(column);
      if (key >= middle) own += amounts.of(__int_as_float((int)key));
    }
    const u64 reached = warp_sum(own);
    if (reached >= missing) {
      low = middle;
    } else {
      high = middle;
      at_high = reached;
    }
  }
  const u64 one = amounts.of(__int_as_float((int)low));
  return write_from_key(row, key_of, low, (int)((missing - at_high + one - 1) / one));
}

/**
 * The fewest that together hold `mass` (0..1) of the sum of a row of at most SHORT_COLUMNS: what `choose_mass` chooses. A whole
 * warp calls. Returns how many members the row has.
 */
template <typename Row> WARPLOOM_DEVICE u32 choose_mass_of_short(ShortShared& shared, const Row& row, float mass) {
  int bits[4 * SHORT_QUADS];
  const int most = read_counted(bits, row), forced = forced_count(row.forced);
  const Amounts amounts(__int_as_float(most), row.to);
  u64 got, total;
  take_forced(bits, row, amounts, got, total);
  // Mass 1 is every positive weight, whatever the rounding of the sums.
  const u64 target = amount_of_mass(mass, total);
  if (mass == 1.0f || target <= got) {
    const u64 columns = mass == 1.0f ? columns_from(bits, row.to, 1) : 0;
    write_columns(row, columns);
    return forced + count_of(columns);
  }
  const u64 missing = target - got;
  // Weights below a share of the average cannot hold more than that share.
  const float least = 0.99f * (1.0f - mass) * amounts.weight_of(total) / (float)row.to;
  const MassBracket cut = bracket_of_mass(bits, row.to, amounts.weight_of(missing), max(1, counted_bits(least)), most);
  const u64 columns = columns_from(bits, row.to, cut.high), around = columns_from(bits, row.to, cut.low) & ~columns;
  u64 above = 0;
  for_quads(row.to, [&](int i) {
#pragma unroll
    for (int c = 0; c < 4; ++c)
      if (bits[4 * i + c] >= cut.high) above += amounts.of(__int_as_float(bits[4 * i + c]));
  });
  above = warp_sum(above);
  if (above < missing && count_of(around) <= 32) {
    const Few few = choose_few(shared, row, around, amounts, missing - above);
    if (few.suffice) {
      write_columns(row, columns);
      if (few.is_chosen) atomicOr(&row.bits[few.column >> 5], 1u << (few.column & 31));
      return forced + count_of(columns) + __popc(__ballot_sync(FULL_WARP, few.is_chosen));
    }
  }
  return forced + choose_mass_by_halving(row, amounts, missing, most);
}
