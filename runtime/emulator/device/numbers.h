// Conversions and hardware functions, as codegen/device/numbers.cuh declares them.
#pragma once

extern "C" {
float warploomExp2(float x);
u16 warploomBf16(float x);
u16 warploomFp16(float x);
float warploomFloatOfFp16(u16 bits);
}

WARPLOOM_DEVICE float exp2_fast(float x) { return warploomExp2(x); }

WARPLOOM_DEVICE float max_or_nan(float a, float b) { return a > b || a != a ? a : b; }

WARPLOOM_DEVICE u32 pack_bf16(float low, float high) {
  return warploomBf16(low) | (u32)warploomBf16(high) << 16;
}

WARPLOOM_DEVICE u32 pack_fp16(float low, float high) {
  return warploomFp16(low) | (u32)warploomFp16(high) << 16;
}

WARPLOOM_DEVICE float float_of_bf16(u16 bits) { return __int_as_float((int)((u32)bits << 16)); }

WARPLOOM_DEVICE float float_of_fp16(u16 bits) { return warploomFloatOfFp16(bits); }
