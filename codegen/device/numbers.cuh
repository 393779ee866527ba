// Conversions and the few hardware functions that attention needs.

/** 2^x, about 2 ulp; subnormal results are 0. */
WARPLOOM_DEVICE float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/** The larger of two, NaN where one is: `fmaxf` would let it go. */
WARPLOOM_DEVICE float max_or_nan(float a, float b) {
  float larger;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(larger) : "f"(a), "f"(b));
  return larger;
}

/** Two floats as bf16, rounded to nearest even; `low` in the low half. */
WARPLOOM_DEVICE u32 pack_bf16(float low, float high) {
  u32 bits;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
  return bits;
}

/** Two floats as fp16, rounded to nearest even; `low` in the low half. */
WARPLOOM_DEVICE u32 pack_fp16(float low, float high) {
  u32 bits;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
  return bits;
}

/** bf16 bits as a float, exactly. */
WARPLOOM_DEVICE float float_of_bf16(u16 bits) { return __int_as_float((int)((u32)bits << 16)); }

/** fp16 bits as a float, exactly. */
WARPLOOM_DEVICE float float_of_fp16(u16 bits) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
}
