// Bits of floats, as codegen/device/float-bits.cuh declares them.
#pragma once

#define INFINITE_BITS 0xff800000u

WARPLOOM_DEVICE u32 largest_bits(u32 bits, float a, float b) {
  const u32 x = __float_as_uint(a), y = __float_as_uint(b), larger = x > y ? x : y;
  return larger > bits ? larger : bits;
}
