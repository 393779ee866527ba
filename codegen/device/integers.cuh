// Integer arithmetic as masks mean it: division rounds down, shifts take their count modulo 32.

WARPLOOM_DEVICE int floor_div(int a, int b) {
  const int quotient = a / b;
  return quotient - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
}

/** The first ones of 32 bits. */
WARPLOOM_DEVICE u32 first_bits(i64 some) { return some <= 0 ? 0u : some >= 32 ? FULL_WARP : (1u << (int)some) - 1; }

WARPLOOM_DEVICE int sign_of(int a) { return (a > 0) - (a < 0); }
WARPLOOM_DEVICE int shift_left(int a, int b) { return (int)((u32)a << (b & 31)); }
WARPLOOM_DEVICE int shift_right(int a, int b) { return a >> (b & 31); }
WARPLOOM_DEVICE int shift_right_unsigned(int a, int b) { return (int)((u32)a >> (b & 31)); }

/** A sum of a few int32 terms, cut to int32: for bounds that are compared, never used as values. */
WARPLOOM_DEVICE int clamp_int(i64 a) {
  return a > 2147483647ll ? 2147483647 : a < -2147483648ll ? (-2147483647 - 1) : (int)a;
}
