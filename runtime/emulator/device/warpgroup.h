// What 128 threads do together, as codegen/device/warpgroup.cuh declares it. The products
// themselves are written with the kernel: runtime/emulator/products.ts reads them.
#pragma once

/// One wgmma.mma_async, as its text says; `registers` instead of the descriptor `a` where it has
/// them.
struct WarploomProduct {
  int columns;
  bool isFp16, isTransposedA, isTransposedB;
  float *const *results; // of this lane: columns / 2
  const u32 *const *registers;
  u64 a, b;
  bool adds;
};

extern "C" {
void warploomProductsBegin(int line);
void warploomProductsCommit(int line);
void warploomProductsWait(int pending, int line);
void warploomMultiply(const WarploomProduct *product, int line);
void warploomSetRegisters(int count, bool takes, int line);
void warploomStoreMatrices(u32 address, u32 a, u32 b, u32 c, u32 d, int line);
const void *warploomSharedLoad(u32 address, int line);
}

WARPLOOM_DEVICE void products_begin(WARPLOOM_LINE) { warploomProductsBegin(line.at); }

WARPLOOM_DEVICE void products_commit(WARPLOOM_LINE) { warploomProductsCommit(line.at); }

template <int pending> WARPLOOM_DEVICE void products_wait(WARPLOOM_LINE) {
  warploomProductsWait(pending, line.at);
}

// Registers are memory here, and calls keep their order with it.
template <int blocks> WARPLOOM_DEVICE void pin(float (&r)[1][blocks][4]) {}
template <int steps> WARPLOOM_DEVICE void pin(u32 (&r)[1][steps][4]) {}
WARPLOOM_DEVICE void pin(u64 &descriptor) {}

WARPLOOM_DEVICE u64 matrix_descriptor(u32 address, u32 leading, u32 stride) {
  return (u64)((address & 0x3FFFF) >> 4) | (u64)(leading >> 4) << 16 | (u64)(stride >> 4) << 32 |
         1ull << 62;
}

WARPLOOM_DEVICE u64 plain_descriptor(u32 address, u32 leading, u32 stride) {
  return matrix_descriptor(address, leading, stride) ^ 1ull << 62;
}

WARPLOOM_DEVICE u64 further_on(u64 descriptor, u32 units, u32 leading = 0) {
  return (descriptor & ~0xffffffffull) | (u32)((u32)descriptor + units + (leading >> 4 << 16));
}

WARPLOOM_DEVICE u64 found_anew(u64 descriptor, int place) { return descriptor + (u32)(place >> 8); }

template <int count> WARPLOOM_DEVICE void registers_take(WARPLOOM_LINE) {
  warploomSetRegisters(count, true, line.at);
}
template <int count> WARPLOOM_DEVICE void registers_give(WARPLOOM_LINE) {
  warploomSetRegisters(count, false, line.at);
}

WARPLOOM_DEVICE void store_matrices(u32 address, u32 a, u32 b, u32 c, u32 d, WARPLOOM_LINE) {
  warploomStoreMatrices(address, a, b, c, d, line.at);
}

WARPLOOM_DEVICE uint4 shared_load(u32 address, WARPLOOM_LINE) {
  uint4 value;
  __builtin_memcpy(&value, warploomSharedLoad(address, line.at), sizeof value);
  return value;
}
