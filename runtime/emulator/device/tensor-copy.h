// Copies of boxes of a tensor, as codegen/device/tensor-copy.cuh declares them.
#pragma once

struct alignas(64) TensorMap {
  u64 words[16];
};

#define KEEP_IN_CACHE 0x14F0000000000000ull
#define DROP_FROM_CACHE 0x12F0000000000000ull

extern "C" {
void warploomMapPrefetch(const void *map, int line);
void warploomCopyBox(u32 to, const void *map, const void *barrier, int c0, int c1, int c2, int c3,
                     int c4, u64 cache, int line);
void warploomStoreBox(const void *map, u32 from, int c0, int c1, int c2, int c3, int c4, int line);
void warploomStoreCommit();
void warploomStoreWait(bool isWritten, int line);
void warploomSharedWritten();
}

// Any lane may be the one; here it is the first.
WARPLOOM_DEVICE bool elect_one() { return (threadIdx.x & 31u) == 0u; }

WARPLOOM_DEVICE void tensor_map_prefetch(const TensorMap &map, WARPLOOM_LINE) {
  warploomMapPrefetch(&map, line.at);
}

WARPLOOM_DEVICE void copy_box(u32 to, const TensorMap &map, u64 &barrier, int c0, int c1, int c2,
                              int c3, int c4, u64 cache, WARPLOOM_LINE) {
  warploomCopyBox(to, &map, &barrier, c0, c1, c2, c3, c4, cache, line.at);
}

WARPLOOM_DEVICE void store_box(const TensorMap &map, u32 from, int c0, int c1, int c2, int c3,
                               int c4, WARPLOOM_LINE) {
  warploomStoreBox(&map, from, c0, c1, c2, c3, c4, line.at);
}

WARPLOOM_DEVICE void store_commit() { warploomStoreCommit(); }

WARPLOOM_DEVICE void store_wait_read(WARPLOOM_LINE) { warploomStoreWait(false, line.at); }

WARPLOOM_DEVICE void store_wait(WARPLOOM_LINE) { warploomStoreWait(true, line.at); }

WARPLOOM_DEVICE void shared_written() { warploomSharedWritten(); }
