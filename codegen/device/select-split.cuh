// The largest of a long row by many blocks: those of one launch count the leading bits of a part of the row each, those
// of the next write what is certain of their parts and list the weights at the threshold. Among these the last of them to
// come looks for the rest, or, beside other rows, a block of the launch that counts next.

#define SPLIT_LISTED 16384  // weights of a row

/** What is left of a row: of `equal` weights that are listed the `missing` largest, whose bits are to be set. */
struct alignas(16) SplitRest {
  u32* bits;
  u32 missing, equal;
};

/** Of a row, zeros before the first launch. */
struct alignas(16) SplitTally {
  u32 bins[1 << LEADING_BITS];
  SplitRest rest;
  u32 listed, done;  // weights, and blocks that have listed theirs
};

/** The columns [from, from + COLUMNS) of a row as a row of their own. */
template <int COLUMNS, typename Row> WARPLOOM_DEVICE Row part_of_row(const Row& row, int from) {
  const Forced& forced = row.forced;
  return {row.values + from,
          row.weight,
          min(max(row.to - from, 0), COLUMNS),
          {max(forced.first - from, 0), forced.from - from, forced.to - from},
          row.bits + from / 32,
          min(max(row.words - from / 32, 0), COLUMNS / 32)};
}

/** The first launch: adds the counts of a part to those of the row. */
template <int COLUMNS, typename Row>
WARPLOOM_DEVICE void count_part(LongShared& shared, SplitTally& tally, const Row& row, int from) {
  count_leading(shared, part_of_row<COLUMNS>(row, from));
  __syncthreads();
  for (int bin = threadIdx.x; bin < 1 << LEADING_BITS; bin += blockDim.x)
    if (shared.bins[bin] != 0) atomicAdd(&tally.bins[bin], shared.bins[bin]);
}

/** Whether this is the last of the `parts` blocks of a row to call: it sees what the others have written. */
WARPLOOM_DEVICE bool is_last_part(LongShared& shared, SplitTally& tally, int parts) {
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) shared.count = atomicAdd(&tally.done, 1u);
  __syncthreads();
  if ((int)shared.count != parts - 1) return false;
  __threadfence();
  if (threadIdx.x == 0) tally.listed = tally.done = 0;  // for who launches this again without a fill
  return true;
}

/** Nowhere behind the end, where who leaves a rest launches this again without a fill. */
WARPLOOM_DEVICE void put_listed(u64* listed, u32 at, u64 weight) {
  if (at < SPLIT_LISTED) listed[at] = weight;
}

/** Lists the weights of a part in a bin of the leading bits, with their columns, and writes the members beyond it. */
template <typename Row>
WARPLOOM_DEVICE void list_part(LongShared& shared, SplitTally& tally, u64* listed, const Row& part, u32 bin, int from) {
  if (threadIdx.x == 0) shared.count = 0;
  __syncthreads();
  // What does not fit the list of the block goes to that of the row at once.
  write_beyond(part, bin, from, [&](u64 weight) {
    const u32 at = atomicAdd(&shared.count, 1u);
    if (at < LISTED) shared.listed[at] = weight;
    else put_listed(listed, atomicAdd(&tally.listed, 1u), weight);
  });
  __syncthreads();
  const u32 own = min(shared.count, LISTED);
  if (threadIdx.x == 0) shared.parts[0] = atomicAdd(&tally.listed, own);
  __syncthreads();
  for (u32 i = threadIdx.x; i < own; i += blockDim.x) put_listed(listed, shared.parts[0] + i, shared.listed[i]);
}

/**
 * The second: the bits of a part of the `count` largest of the row, by one of the `parts` blocks that share it. Where it
 * `leaves` the rest, `choose_rest` has to follow before others are listed there.
 */
template <int COLUMNS, typename Row>
WARPLOOM_DEVICE void choose_part(LongShared& shared, RadixShared& radix, SplitTally& tally, u64* listed, const Row& row,
                                 int from, int parts, int count, bool leaves) {
  const int need = count - forced_count(row.forced);
  const Row part = part_of_row<COLUMNS>(row, from);
  u32 missing = 0, equal = 0;  // of the weights at the threshold, so many more and so many there are
  if (need <= 0) {
    write_forced(part);
  } else if (count_free(row) <= need) {
    write_chosen(part, [](float) { return true; });
  } else {
    for (int bin = 4 * threadIdx.x; bin < 1 << LEADING_BITS; bin += 4 * blockDim.x)
      *(uint4*)&shared.bins[bin] = *(const uint4*)&tally.bins[bin];
    find_bin<1 << LEADING_BITS>(shared, need);
    if (!write_certain(shared, part)) {
      missing = shared.missing;
      equal = shared.equal;
      if (equal <= SPLIT_LISTED) list_part(shared, tally, listed, part, shared.bin, from);
    }
  }
  if (equal == 0) return;
  if (leaves && equal <= SPLIT_LISTED) {
    if (from == 0 && threadIdx.x == 0) tally.rest = {row.bits, missing, equal};
    return;
  }
  if (!is_last_part(shared, tally, parts)) return;
  if (equal <= SPLIT_LISTED) mark_listed(shared, listed, row.bits, missing, equal);
  else choose_largest(radix, row, count);
}

/** Chooses what the second launch has left of a row, by a block. */
WARPLOOM_DEVICE void choose_rest(LongShared& shared, SplitTally& tally, const u64* listed) {
  const SplitRest rest = tally.rest;
  if (rest.missing == 0) return;
  __syncthreads();
  if (threadIdx.x == 0) tally.rest.missing = 0;  // for who launches this again without what goes before
  mark_listed(shared, listed, rest.bits, rest.missing, rest.equal);
}
