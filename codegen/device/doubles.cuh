// Doubles on their way to fp16 and bf16.

/**
 * A double as a float: itself, or else that of its two neighbours whose last bit is 1. Rounding this to bf16 or fp16
 * rounds once (Boldo and Melquiond 2008), where rounding to float first would make ties that are none.
 */
WARPLOOM_DEVICE float odd_float_of(double x) {
  const float near = (float)x;
  if ((double)near == x || x != x) return near;
  const int beyond = fabs((double)near) > fabs(x);
  return __int_as_float((__float_as_int(near) - beyond) | 1);
}
