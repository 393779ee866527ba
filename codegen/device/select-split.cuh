// The largest of a long row by many blocks: those of one launch count the leading bits of a part of the row each, those
// of the next write what is certain of their parts and list the weights at the threshold, and the last of them
// to come looks among these for the rest.

#define SPLIT_COLUMNS 16384  // of a part
#define SPLIT_LISTED 16384   // of a row

/** Of a row, zeros before the first launch. */
struct SplitTally {
  u32 bins[1 << LEADING_BITS];
  u32 listed, done;  // weights, and blocks that have listed theirs
};

/** The columns [from, from + SPLIT_COLUMNS) of a row as a row of their own. */
template <typename Row> WARPLOOM_DEVICE Row part_of_row(const Row& row, int from) {
  const Forced& forced = row.forced;
  return {row.values + from,
          row.weight,
          min(max(row.to - from, 0), SPLIT_COLUMNS),
          {max(forced.first - from, 0), forced.from - from, forced.to - from},
          row.bits + from / 32,
          min(max(row.words - from / 32, 0), SPLIT_COLUMNS / 32)};
}

/** The first launch: adds the counts of a part to those of the row. */
template <typename Row> WARPLOOM_DEVICE void count_part(LongShared& shared, SplitTally& tally, const Row& row, int from) {
  count_leading(shared, part_of_row(row, from));
  __syncthreads();
  for (int bin = threadIdx.x; bin < 1 << LEADING_BITS; bin += blockDim.x)
    if (shared.bins[bin] != 0) atomicAdd(&tally.bins[bin], shared.bins[bin]);
}

/** The second: the bits of a part of the `count` largest of the row, by one of the `parts` blocks that share it. */
template <typename Row>
WARPLOOM_DEVICE void choose_part(LongShared& shared, RadixShared& radix, SplitTally& tally, u64* listed, const Row& row,
                                 int from, int parts, int count) {
  const int need = count - forced_count(row.forced);
  const Row part = part_of_row(row, from);
  if (need <= 0) {
    write_forced(part);
    return;
  }
  if (count_free(row) <= need) {
    write_chosen(part, [](int, float) { return true; });
    return;
  }
  for (int bin = threadIdx.x; bin < 1 << LEADING_BITS; bin += blockDim.x) shared.bins[bin] = tally.bins[bin];
  find_bin<1 << LEADING_BITS>(shared, need);
  if (write_certain(shared, part)) return;
  const u32 bin = shared.bin, missing = shared.missing, equal = shared.equal;
  if (equal > SPLIT_LISTED) {
    if (from == 0) choose_largest(radix, row, count);
    return;
  }
  if (threadIdx.x == 0) shared.count = 0;
  __syncthreads();
  write_beyond(part, bin, from, [&](u64 weight) {
    const u32 at = atomicAdd(&shared.count, 1u);
    if (at < LISTED) shared.listed[at] = weight;
  });
  __syncthreads();
  // Of a part that has more than fit nothing is listed, and the row is chosen from as a whole in the end.
  const u32 own = shared.count <= LISTED ? shared.count : 0u;
  if (threadIdx.x == 0) shared.parts[0] = atomicAdd(&tally.listed, own);
  __syncthreads();
  for (u32 i = threadIdx.x; i < own; i += blockDim.x) listed[shared.parts[0] + i] = shared.listed[i];
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    shared.parts[1] = atomicAdd(&tally.done, 1u);
    __threadfence();
    shared.parts[2] = atomicAdd(&tally.listed, 0u);
  }
  __syncthreads();
  if ((int)shared.parts[1] != parts - 1) return;
  if (threadIdx.x == 0) tally.listed = tally.done = 0;  // for who launches this again without a fill
  if (shared.parts[2] == equal) mark_listed(shared, listed, row.bits, missing, equal);
  else choose_largest(radix, row, count);
}
