// A short row and the warp that chooses from it: which columns a lane has, how their bits are written, and how a few of
// all lanes' come together, one a lane.

#define SHORT_COLUMNS 2048
#define SHORT_QUADS (SHORT_COLUMNS / 128)  // of a lane: the columns 128 i + 4 lane .. + 3
#define SHORT_ROWS 4                       // of a block, a warp each

/** Of a warp: the columns that are compared. */
struct ShortShared {
  u16 columns[32];
};

/** Calls `use(i)` for the quads of a row that sees columns below `to`, and for a few more. */
template <typename Use> WARPLOOM_DEVICE void for_quads(int to, Use use) {
#pragma unroll
  for (int first = 0; first < SHORT_QUADS; first += 4) {
    if (128 * first >= to) break;
#pragma unroll
    for (int i = 0; i < 4; ++i) use(first + i);
  }
}

/** Writes the bits of a row: those that are forced, and the `columns` of each lane. */
template <typename Row> WARPLOOM_DEVICE void write_columns(const Row& row, u64 columns) {
  const int lane = threadIdx.x & 31;
#pragma unroll
  for (int part = 0; part < SHORT_QUADS / 8; ++part) {
    // Eight lanes have four bits of each of eight words, and then each lane has a word.
    u32 bits = (u32)(columns >> 32 * part), mask = 0x0000ffffu;
#pragma unroll
    for (int step = 4; step > 0; step /= 2) {
      const u32 other = __shfl_xor_sync(FULL_WARP, bits, step);
      bits = lane & step ? (bits & ~mask) | (other >> 4 * step & mask) : (bits & mask) | (other & mask) << 4 * step;
      mask ^= mask << 2 * step;
    }
    const int word = 32 * part + 4 * (lane & 7) + lane / 8;
    if (word < row.words) row.bits[word] = bits | forced_bits(row.forced, 32 * word);
  }
  __syncwarp();
}

/** Brings the `columns` of all lanes together, 32 at most, in no order that matters. Returns how many there are. */
WARPLOOM_DEVICE int gather_columns(ShortShared& shared, u64 columns) {
  const int lane = threadIdx.x & 31;
  int count = 0;
  for (u32 lanes; (lanes = __ballot_sync(FULL_WARP, columns != 0)) != 0; columns &= columns - 1) {
    const int bit = __ffsll((i64)columns) - 1;
    if (columns != 0) shared.columns[count + __popc(lanes & low_bits(lane))] = (u16)(128 * (bit / 4) + 4 * lane + bit % 4);
    count += __popc(lanes);
  }
  __syncwarp();
  return count;
}

/**
 * Writes the bits of a row column by column: those that are forced, those whose `key_of(column)` is above `key`, and of the
 * equal ones the first `ties`. Returns how many of these are not forced.
 */
template <typename Row, typename KeyOf> WARPLOOM_DEVICE int write_from_key(const Row& row, KeyOf key_of, u32 key, int ties) {
  const int lane = threadIdx.x & 31;
  int members = 0;
  for (int word = 0; word < row.words; ++word) {
    const u32 own = key_of(32 * word + lane), equal = __ballot_sync(FULL_WARP, own == key);
    const bool is_early = own == key && __popc(equal & low_bits(lane)) < ties;
    const u32 bits = __ballot_sync(FULL_WARP, own > key || is_early);
    ties -= __popc(equal);
    members += __popc(bits);
    if (lane == 0) row.bits[word] = bits | forced_bits(row.forced, 32 * word);
  }
  return members;
}
