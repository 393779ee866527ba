// Warp-level matrix products, as codegen/device/matrix.cuh declares them.
#pragma once

struct WarploomFour {
  u32 at[4];
};
struct WarploomSums {
  float at[4];
};
extern "C" {
WarploomFour warploomLoadMatrices(u32 address, bool transposed, int line);
WarploomSums warploomMultiplyBf16(float d0, float d1, float d2, float d3, u32 a0, u32 a1, u32 a2,
                                  u32 a3, u32 b0, u32 b1, int line);
WarploomSums warploomMultiplyFp16(float d0, float d1, float d2, float d3, u32 a0, u32 a1, u32 a2,
                                  u32 a3, u32 b0, u32 b1, int line);
}

// Registers go by value: an array whose address leaves the kernel could not stay in registers.
WARPLOOM_DEVICE void load_matrices(u32 (&fragment)[4], u32 address, WARPLOOM_LINE) {
  const WarploomFour four = warploomLoadMatrices(address, false, line.at);
  for (int i = 0; i < 4; ++i)
    fragment[i] = four.at[i];
}

WARPLOOM_DEVICE void load_matrices_transposed(u32 (&fragment)[4], u32 address, WARPLOOM_LINE) {
  const WarploomFour four = warploomLoadMatrices(address, true, line.at);
  for (int i = 0; i < 4; ++i)
    fragment[i] = four.at[i];
}

WARPLOOM_DEVICE void multiply_bf16(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1,
                                   WARPLOOM_LINE) {
  const WarploomSums sums =
      warploomMultiplyBf16(d[0], d[1], d[2], d[3], a[0], a[1], a[2], a[3], b0, b1, line.at);
  for (int i = 0; i < 4; ++i)
    d[i] = sums.at[i];
}

WARPLOOM_DEVICE void multiply_fp16(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1,
                                   WARPLOOM_LINE) {
  const WarploomSums sums =
      warploomMultiplyFp16(d[0], d[1], d[2], d[3], a[0], a[1], a[2], a[3], b0, b1, line.at);
  for (int i = 0; i < 4; ++i)
    d[i] = sums.at[i];
}
