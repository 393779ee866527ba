// What an estimate tells of scores that are not finite.

#define LARGEST_FLOAT 3.402823466e38f

/** Remembers the first (batch, head, row) with a score that is not finite: 16, 16 and 32 bits, all ones when there is none. */
WARPLOOM_DEVICE void report_not_finite(u64* error, Head head, int row) {
  atomicMin(error, (u64)head.batch << 48 | (u64)head.head << 32 | (u64)(u32)row);
}
