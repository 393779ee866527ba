// One row as the rules of selection see it, by a block of threads: its weights, the members that are forced,
// and its bits.

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

/** What a rule is given of one row: the weights of the columns [0, to), 16-byte aligned, and where its bits go. */
template <typename Weight> struct SeenRow {
  const float* values;
  Weight weight;  // of a value
  int to;
  Forced forced;
  u32* bits;
  int words;
};

/** Calls `use(column, weight)` for all columns that the row sees, in any order. */
template <typename Row, typename Use> WARPLOOM_DEVICE void for_seen(const Row& row, Use use) {
  const int whole = row.to & ~3;
#pragma unroll 4
  for (int column = 4 * threadIdx.x; column < whole; column += 4 * blockDim.x) {
    const float4 four = *(const float4*)(row.values + column);
    use(column, row.weight(four.x));
    use(column + 1, row.weight(four.y));
    use(column + 2, row.weight(four.z));
    use(column + 3, row.weight(four.w));
  }
  for (int column = whole + threadIdx.x; column < row.to; column += blockDim.x) use(column, row.weight(row.values[column]));
}

/**
 * Writes the bits of a row: forced members, and those seen of which `choice(column, weight)` says so. Returns how
 * many this thread has written.
 */
template <typename Row, typename Choice> WARPLOOM_DEVICE u32 write_chosen(const Row& row, Choice choice) {
  const int lane = threadIdx.x & 31;
  u32 members = 0;
  // Whole warps stay together: eight lanes make a word.
#pragma unroll 2
  for (int first = 4 * (int)(threadIdx.x & ~31u); first < row.words * 32; first += 4 * blockDim.x) {
    const int column = first + 4 * lane;
    float four[4];
    if (column + 3 < row.to) {
      const float4 values = *(const float4*)(row.values + column);
      four[0] = values.x, four[1] = values.y, four[2] = values.z, four[3] = values.w;
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i) four[i] = column + i < row.to ? row.values[column + i] : 0.0f;
    }
    u32 word = 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const bool is_seen = column + i < row.to;
      if (is_forced(row.forced, column + i) || (is_seen && choice(column + i, row.weight(four[i])))) word |= 1u << i;
    }
    members += __popc(word);
    word <<= 4 * (lane & 7);
    word |= __shfl_xor_sync(FULL_WARP, word, 1);
    word |= __shfl_xor_sync(FULL_WARP, word, 2);
    word |= __shfl_xor_sync(FULL_WARP, word, 4);
    if ((lane & 7) == 0 && column < row.words * 32) row.bits[column >> 5] = word;
  }
  return members;
}
