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
  const u32 bits = (u32)__float_as_int(x + 0.0f);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
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

/** Calls `use(column, weight)` for all columns that the row sees, in any order. */
template <typename Row, typename Use> WARPLOOM_DEVICE void for_seen(const Row& row, Use use) {
  const int whole = row.to & ~3, apart = 4 * blockDim.x;
  for (int first = 4 * threadIdx.x; first < whole; first += READ_AHEAD * apart) {
    float4 fours[READ_AHEAD];
#pragma unroll
    for (int i = 0; i < READ_AHEAD; ++i)
      if (first + i * apart < whole) fours[i] = *(const float4*)(row.values + first + i * apart);
#pragma unroll
    for (int i = 0; i < READ_AHEAD; ++i) {
      const int column = first + i * apart;
      if (column >= whole) break;
      use(column, row.weight(fours[i].x));
      use(column + 1, row.weight(fours[i].y));
      use(column + 2, row.weight(fours[i].z));
      use(column + 3, row.weight(fours[i].w));
    }
  }
  for (int column = whole + threadIdx.x; column < row.to; column += blockDim.x) use(column, row.weight(row.values[column]));
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
 * Writes the bits of a row: forced members, and those seen of which `choice(column, weight)` says so. Returns how
 * many this thread has written.
 */
template <typename Row, typename Choice> WARPLOOM_DEVICE u32 write_chosen(const Row& row, Choice choice) {
  const int lane = threadIdx.x & 31, apart = 4 * blockDim.x, end = row.words * 32;
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
      const float four[4] = {fours[i].x, fours[i].y, fours[i].z, fours[i].w};
      u32 word = 0;
#pragma unroll
      for (int c = 0; c < 4; ++c) {
        const bool is_seen = column + c < row.to;
        if (is_forced(row.forced, column + c) || (is_seen && choice(column + c, row.weight(four[c])))) word |= 1u << c;
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
