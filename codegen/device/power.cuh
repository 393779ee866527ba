// Powers in scores.

/** x ** y, off by |y| * max(1, |log2(x)|) * 2^-22 of it; signs, zeros, infinities and NaN as in JavaScript. */
WARPLOOM_DEVICE float power_fast(float x, float y) {
  if (y == 0.0f) return 1.0f;
  const float size = exp2_fast(y * log2_fast(fabsf(x)));
  const bool whole = truncf(y) == y, odd = whole && truncf(0.5f * y) != 0.5f * y;
  if (odd) return copysignf(size, x);
  return !whole && x < 0.0f && x > NEGATIVE_INFINITY ? __int_as_float(0x7fffffff) : size;
}
