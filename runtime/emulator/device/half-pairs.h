// Two fp16 numbers in a word, as codegen/device/half-pairs.cuh declares them.
#pragma once

#include "numbers.h"

/// `of` each half of two words.
template <typename Of> WARPLOOM_INTRINSIC u32 warploomHalves(u32 a, u32 b, Of of) {
  const auto half = [&](int shift) {
    const float x = warploomFloatOfFp16((u16)(a >> shift)), y = warploomFloatOfFp16((u16)(b >> shift));
    return (u32)of(x, y) << shift;
  };
  return half(0) | half(16);
}

WARPLOOM_DEVICE u32 ones_where_at_least(u32 pair, u32 bound) {
  return warploomHalves(pair, bound, [](float x, float y) { return warploomFp16(x >= y ? 1.0f : 0.0f); });
}

WARPLOOM_DEVICE u32 mask_where_at_least(u32 pair, u32 bound) {
  return warploomHalves(pair, bound, [](float x, float y) { return (u16)(x >= y ? 0xffff : 0); });
}

WARPLOOM_DEVICE u32 add_pairs(u32 a, u32 b) {
  return warploomHalves(a, b, [](float x, float y) { return warploomFp16(x + y); });
}

WARPLOOM_DEVICE u32 larger_of_pairs(u32 a, u32 b) {
  return warploomHalves(a, b, [](float x, float y) { return warploomFp16(x != x || y > x ? y : x); });
}

WARPLOOM_DEVICE u32 zeros_while_finite(u32 zeros, u32 pair) {
  return warploomHalves(zeros, pair, [](float x, float y) { return warploomFp16(x + 0.0f * y); });
}

WARPLOOM_DEVICE int sum_of_halves(u32 pair) {
  return (int)(warploomFloatOfFp16((u16)pair) + warploomFloatOfFp16((u16)(pair >> 16)));
}
