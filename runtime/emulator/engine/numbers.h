// Exact conversions of 16-bit floats, and their rounding.
#pragma once

#include "types.h"

#include <cmath>
#include <cstring>

namespace warploom {

inline u32 bitsOf(float value) {
  u32 bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}

inline float floatOfBits(u32 bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

inline float floatOfBf16(u16 bits) { return floatOfBits(u32(bits) << 16); }

inline float floatOfFp16(u16 bits) {
  const u32 sign = u32(bits & 0x8000) << 16, size = bits & 0x7fff;
  if (size >= 0x7c00)
    return floatOfBits(sign | 0x7f800000 | (size & 0x3ff) << 13);
  // Subnormals are multiples of 2^-24.
  if (size < 0x0400)
    return std::copysign(static_cast<float>(size) * 0x1p-24f, floatOfBits(sign | 1));
  return floatOfBits(sign | ((size << 13) + (112u << 23)));
}

/// To nearest, ties to even. The NaN of the instructions is 0x7fff.
inline u16 bf16Of(float value) {
  const u32 bits = bitsOf(value);
  if (value != value)
    return 0x7fff;
  return static_cast<u16>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

inline u16 fp16Of(float value) {
  if (value != value)
    return 0x7fff;
  const u32 bits = bitsOf(value), sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
  if (size >= 0x477ff000)
    return static_cast<u16>(sign | 0x7c00); // 65520 and beyond
  // Below 2^-14 in steps of 2^-24, which the sum with 0.5 rounds to.
  if (size < 0x38800000)
    return static_cast<u16>(sign | (bitsOf(floatOfBits(size) + 0.5f) - 0x3f000000));
  return static_cast<u16>(sign | ((size - 0x38000000 + 0xfff + (size >> 13 & 1)) >> 13));
}

} // namespace warploom
