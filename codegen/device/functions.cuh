// Functions of scores as the hardware has them. CUDA's own branch for their last bits; a score is asked for every pair.

/** log2(x), off by 2^-22; from 2 on, and up to 1 / 2, by as much of it. */
WARPLOOM_DEVICE float log2_fast(float x) {
  float y;
  asm("lg2.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/** The square root of x, off by 2^-23 of it. */
WARPLOOM_DEVICE float root_fast(float x) {
  float y;
  asm("sqrt.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/** a / b, off by 2 ulp. */
WARPLOOM_DEVICE float quotient_fast(float a, float b) {
  float y;
  asm("div.full.f32 %0, %1, %2;" : "=f"(y) : "f"(a), "f"(b));
  return y;
}
