// Lists made of the bits of a set by a block of threads, in the order of the members: a scan of counts gives every
// thread its places.

struct ScanShared {
  int sums[32];  // of each warp
};

/** The sum of the values of the threads before this one, and of all threads. All threads of the block have to call. */
WARPLOOM_DEVICE int sum_before(ScanShared& shared, int value, int& total) {
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
  int sum = value;
#pragma unroll
  for (int step = 1; step < 32; step *= 2) {
    const int other = __shfl_up_sync(FULL_WARP, sum, step);
    if (lane >= step) sum += other;
  }
  __syncthreads();  // the sums of the last call have been read
  if (lane == 31) shared.sums[warp] = sum;
  __syncthreads();
  int before = 0;
  total = 0;
  for (int i = 0; i < warps; ++i) {
    if (i < warp) before += shared.sums[i];
    total += shared.sums[i];
  }
  return before + sum - value;
}

/** The members of a row of bits, the first `capacity` of them; returns how many there are. */
WARPLOOM_DEVICE int list_members(ScanShared& shared, const u32* bits, int words, int* list, int capacity) {
  int count = 0;
  for (int first = 0; first < words; first += blockDim.x) {
    const int word = first + (int)threadIdx.x;
    u32 members = word < words ? bits[word] : 0u;
    int total;
    int at = count + sum_before(shared, __popc(members), total);
    for (; members != 0 && at < capacity; members &= members - 1, ++at) list[at] = word * 32 + __ffs((int)members) - 1;
    count += total;
  }
  return count;
}

/** The runs [from, to) of consecutive members, the first `capacity` of them; returns how many there are. */
WARPLOOM_DEVICE int list_runs(ScanShared& shared, const u32* bits, int words, int2* runs, int capacity) {
  int begun = 0, ended = 0;
  for (int first = 0; first < words; first += blockDim.x) {
    const int word = first + (int)threadIdx.x;
    const u32 own = word < words ? bits[word] : 0u;
    const u32 before = word > 0 && word < words ? bits[word - 1] >> 31 : 0u;
    const u32 after = word + 1 < words ? bits[word + 1] & 1u : 0u;
    u32 starts = own & ~(own << 1 | before), ends = own & ~(own >> 1 | after << 31);
    int total;
    int at = begun + sum_before(shared, __popc(starts), total);
    begun += total;
    for (; starts != 0 && at < capacity; starts &= starts - 1, ++at) runs[at].x = word * 32 + __ffs((int)starts) - 1;
    at = ended + sum_before(shared, __popc(ends), total);
    ended += total;
    for (; ends != 0 && at < capacity; ends &= ends - 1, ++at) runs[at].y = word * 32 + __ffs((int)ends);
  }
  return begun;
}
