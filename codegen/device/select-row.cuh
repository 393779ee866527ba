// One row as the rules of selection see it, by a block of threads: its weights, the members that are forced,
// and its bits.

/** Members that are chosen whatever their weight: columns [0, first) and [from, to). */
struct Forced {
  int first, from, to;
};
WARPLOOM_DEVICE bool is_forced(Forced forced, int column) {
  return column < forced.first || (column >= forced.from && column < forced.to);
}
/** The lowest `count` bits. */
WARPLOOM_DEVICE u32 low_bits(int count) { return count <= 0 ? 0u : count >= 32 ? ~0u : (1u << count) - 1u; }
/** The forced members among the columns column .. column + 31, as bits. */
WARPLOOM_DEVICE u32 forced_bits(Forced forced, int column) {
  return low_bits(forced.first - column) | (low_bits(forced.to - column) & ~low_bits(forced.from - column));
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
  const int bits = __float_as_int(x + 0.0f);
  return (u32)bits ^ ((u32)(bits >> 31) | 0x80000000u);
}
#define ORDERED_ZERO 0x80000000u
/** The number behind ordered bits. */
WARPLOOM_DEVICE float float_of_ordered(u32 bits) {
  return __int_as_float((int)(bits & 0x80000000u ? bits & 0x7fffffffu : ~bits));
}

/** What a rule is given of one row: the weights of the columns [0, to), 16-byte aligned, and where its bits go. */
template <typename Weight> struct SeenRow {
  const float* values;
  Weight weight;  // of a value
  int to;
  Forced forced;
  u32* bits;
  int words;
};

/** Reads that are under way at once: what is done with one must not hold up the next. */
#define READ_AHEAD 4

/** Calls `fours(column, values)` for all columns that the row sees, four at a time, and `one(column, value)` for the rest. */
template <typename Row, typename Fours, typename One>
WARPLOOM_DEVICE void for_fours(const Row& row, Fours fours, One one) {
  const int whole = row.to & ~3, apart = 4 * blockDim.x;
  for (int first = 4 * threadIdx.x; first < whole; first += READ_AHEAD * apart) {
    float4 ahead[READ_AHEAD];
#pragma unroll
    for (int i = 0; i < READ_AHEAD; ++i)
      if (first + i * apart < whole) ahead[i] = *(const float4*)(row.values + (u32)(first + i * apart));
#pragma unroll
    for (int i = 0; i < READ_AHEAD; ++i) {
      if (first + i * apart >= whole) break;
      fours(first + i * apart, ahead[i]);
    }
  }
  for (int column = whole + threadIdx.x; column < row.to; column += blockDim.x) one(column, row.values[column]);
}

/** Calls `use(column, weight)` for all columns that the row sees, in any order. */
template <typename Row, typename Use> WARPLOOM_DEVICE void for_seen(const Row& row, Use use) {
  const auto one = [&](int column, float value) { use(column, row.weight(value)); };
  for_fours(row, [&](int column, float4 four) {
    one(column, four.x);
    one(column + 1, four.y);
    one(column + 2, four.z);
    one(column + 3, four.w);
  }, one);
}

/** Columns [from, to). */
struct Columns {
  int from, to;
};
/** Of the columns that a row sees, a run without forced ones: all but a few of a long row, which need no other look. */
template <typename Row> WARPLOOM_DEVICE Columns free_columns(const Row& row) {
  const Forced& forced = row.forced;
  return {forced.first, forced.to > max(0, forced.from) ? min(row.to, forced.from) : row.to};
}
WARPLOOM_DEVICE bool has_four(Columns columns, int column) { return column >= columns.from && column + 4 <= columns.to; }

/** Calls `use(weight)` for all columns that the row sees and that are not forced, in any order. */
template <typename Row, typename Use> WARPLOOM_DEVICE void for_free(const Row& row, Use use) {
  const Columns free = free_columns(row);
  const auto one = [&](int column, float value) {
    if (!is_forced(row.forced, column)) use(row.weight(value));
  };
  for_fours(row, [&](int column, float4 four) {
    if (has_four(free, column)) {
      use(row.weight(four.x));
      use(row.weight(four.y));
      use(row.weight(four.z));
      use(row.weight(four.w));
    } else {
      one(column, four.x);
      one(column + 1, four.y);
      one(column + 2, four.z);
      one(column + 3, four.w);
    }
  }, one);
}

/** The values of the columns [column, column + 4), zeros for those that the row does not see. */
template <typename Row> WARPLOOM_DEVICE float4 four_values(const Row& row, int column) {
  if (column + 3 < row.to) return *(const float4*)(row.values + column);
  float4 four = {0.0f, 0.0f, 0.0f, 0.0f};
  if (column < row.to) four.x = row.values[column];
  if (column + 1 < row.to) four.y = row.values[column + 1];
  if (column + 2 < row.to) four.z = row.values[column + 2];
  return four;
}

/**
 * Writes the bits of a row: forced members, and those seen of which `choice(weight)` says so; and calls
 * `note(column, weight)` for those seen and not forced of which `is_noted(weight)` says so. Returns how many members this
 * thread has written.
 */
template <typename Row, typename Choice, typename IsNoted, typename Note>
WARPLOOM_DEVICE u32 write_noted(const Row& row, Choice choice, IsNoted is_noted, Note note) {
  const int lane = threadIdx.x & 31, apart = 4 * blockDim.x, end = row.words * 32;
  const Columns free = free_columns(row);
  u32 members = 0;
  // Whole warps stay together: eight lanes make a word.
  for (int first = 4 * (int)(threadIdx.x & ~31u); first < end; first += READ_AHEAD * apart) {
    float4 fours[READ_AHEAD];
#pragma unroll
    for (int i = 0; i < READ_AHEAD; ++i) fours[i] = four_values(row, first + i * apart + 4 * lane);
#pragma unroll
    for (int i = 0; i < READ_AHEAD; ++i) {
      if (first + i * apart >= end) break;
      const int column = first + i * apart + 4 * lane;
      const float four[4] = {row.weight(fours[i].x), row.weight(fours[i].y), row.weight(fours[i].z), row.weight(fours[i].w)};
      u32 word = 0, noted = 0;
#pragma unroll
      for (int c = 0; c < 4; ++c) {
        if (choice(four[c])) word |= 1u << c;
        if (is_noted(four[c])) noted |= 1u << c;
      }
      if (!has_four(free, column)) {
        const u32 forced = forced_bits(row.forced, column) & 15u, seen = low_bits(row.to - column);
        word = (word & seen) | forced;
        noted &= seen & ~forced;
      }
      for (; noted != 0; noted &= noted - 1u) {
        const int c = __ffs(noted) - 1;
        note(column + c, c < 2 ? (c == 0 ? four[0] : four[1]) : (c == 2 ? four[2] : four[3]));
      }
      members += __popc(word);
      word <<= 4 * (lane & 7);
      word |= __shfl_xor_sync(FULL_WARP, word, 1);
      word |= __shfl_xor_sync(FULL_WARP, word, 2);
      word |= __shfl_xor_sync(FULL_WARP, word, 4);
      if ((lane & 7) == 0 && column < end) row.bits[column >> 5] = word;
    }
  }
  return members;
}

/** Writes the bits of a row: forced members, and those seen of which `choice(weight)` says so. Returns as `write_noted` does. */
template <typename Row, typename Choice> WARPLOOM_DEVICE u32 write_chosen(const Row& row, Choice choice) {
  return write_noted(row, choice, [](float) { return false; }, [](int, float) {});
}
