// Interval arithmetic over a box of (query, key) pairs: what a mask can be, without looking at its pairs.
// Every value is known to be an int32 (proved at launch), so bounds that leave int32 are cut to it.

struct Bounds {
  int lo, hi;
};
struct FloatBounds {
  double lo, hi;  // NaN is in no interval: it is said beside it
  bool nan;
};
/** Whether a condition can hold somewhere in the box, and whether it can fail somewhere. */
struct Truth {
  bool may, may_not;
};

WARPLOOM_DEVICE bool bounds_fixed(Bounds a) { return a.lo == a.hi; }
WARPLOOM_DEVICE Bounds bounds_of(int value) { return {value, value}; }
WARPLOOM_DEVICE Bounds bounds_cut(i64 lo, i64 hi) { return {clamp_int(lo), clamp_int(hi)}; }
WARPLOOM_DEVICE Bounds bounds_any() { return {-2147483647 - 1, 2147483647}; }
WARPLOOM_DEVICE Bounds bounds_add(Bounds a, Bounds b) { return bounds_cut((i64)a.lo + b.lo, (i64)a.hi + b.hi); }
WARPLOOM_DEVICE Bounds bounds_sub(Bounds a, Bounds b) { return bounds_cut((i64)a.lo - b.hi, (i64)a.hi - b.lo); }
WARPLOOM_DEVICE Bounds bounds_neg(Bounds a) { return bounds_cut(-(i64)a.hi, -(i64)a.lo); }
WARPLOOM_DEVICE Bounds bounds_mul(Bounds a, Bounds b) {
  const i64 w = (i64)a.lo * b.lo, x = (i64)a.lo * b.hi, y = (i64)a.hi * b.lo, z = (i64)a.hi * b.hi;
  return bounds_cut(min(min(w, x), min(y, z)), max(max(w, x), max(y, z)));
}
/** The lowest int32 by -1 leaves int32. */
WARPLOOM_DEVICE int floor_div_cut(int a, int b) { return b == -1 ? clamp_int(-(i64)a) : floor_div(a, b); }
WARPLOOM_DEVICE Bounds bounds_floor_div(Bounds a, Bounds b) {
  if (b.lo <= 0 && b.hi >= 0) return bounds_any();
  const int w = floor_div_cut(a.lo, b.lo), x = floor_div_cut(a.lo, b.hi), y = floor_div_cut(a.hi, b.lo), z = floor_div_cut(a.hi, b.hi);
  return {min(min(w, x), min(y, z)), max(max(w, x), max(y, z))};
}
/** Has the sign of the dividend, and is smaller than the divisor. */
WARPLOOM_DEVICE Bounds bounds_rem(Bounds a, Bounds b) {
  if (a.lo == a.hi && b.lo == b.hi && b.lo != 0) return bounds_of(b.lo == -1 ? 0 : a.lo % b.lo);
  const i64 most = max(b.lo < 0 ? -(i64)b.lo : (i64)b.lo, b.hi < 0 ? -(i64)b.hi : (i64)b.hi) - 1;
  if (b.lo == b.hi && most >= 0 && a.lo >= 0 && a.lo / (most + 1) == a.hi / (most + 1))
    return {(int)(a.lo % (most + 1)), (int)(a.hi % (most + 1))};
  const i64 lo = a.lo >= 0 ? 0 : max(-most, (i64)a.lo), hi = a.hi <= 0 ? 0 : min(most, (i64)a.hi);
  return bounds_cut(lo, hi);
}
WARPLOOM_DEVICE Bounds bounds_min(Bounds a, Bounds b) { return {min(a.lo, b.lo), min(a.hi, b.hi)}; }
WARPLOOM_DEVICE Bounds bounds_max(Bounds a, Bounds b) { return {max(a.lo, b.lo), max(a.hi, b.hi)}; }
WARPLOOM_DEVICE Bounds bounds_abs(Bounds a) {
  const Bounds n = bounds_neg(a);
  if (a.lo >= 0) return a;
  if (a.hi <= 0) return n;
  return {0, max(a.hi, n.hi)};
}
WARPLOOM_DEVICE Bounds bounds_sign(Bounds a) { return {sign_of(a.lo), sign_of(a.hi)}; }
/** Shifts by a known count keep the order. */
WARPLOOM_DEVICE Bounds bounds_shift_right(Bounds a, Bounds b) {
  return bounds_fixed(b) ? Bounds{shift_right(a.lo, b.lo), shift_right(a.hi, b.lo)} : bounds_any();
}
WARPLOOM_DEVICE Bounds bounds_bitand(Bounds a, Bounds b) {
  if (bounds_fixed(a) && bounds_fixed(b)) return bounds_of(a.lo & b.lo);
  if (a.lo >= 0 && b.lo >= 0) return {0, min(a.hi, b.hi)};
  if (a.lo >= 0) return {0, a.hi};
  return b.lo >= 0 ? Bounds{0, b.hi} : bounds_any();
}
WARPLOOM_DEVICE Bounds bounds_hull(Bounds a, Bounds b) { return {min(a.lo, b.lo), max(a.hi, b.hi)}; }

WARPLOOM_DEVICE FloatBounds float_bounds_of(double value) { return {value, value, value != value}; }
WARPLOOM_DEVICE FloatBounds float_bounds_int(Bounds a) { return {(double)a.lo, (double)a.hi, false}; }
WARPLOOM_DEVICE FloatBounds float_bounds_any() { return {(double)NEGATIVE_INFINITY, (double)POSITIVE_INFINITY, true}; }
WARPLOOM_DEVICE FloatBounds float_bounds_neg(FloatBounds a) { return {-a.hi, -a.lo, a.nan}; }
WARPLOOM_DEVICE FloatBounds float_bounds_round(FloatBounds a) { return {(double)(float)a.lo, (double)(float)a.hi, a.nan}; }
WARPLOOM_DEVICE FloatBounds float_bounds_min(FloatBounds a, FloatBounds b) {
  return {min(a.lo, b.lo), min(a.hi, b.hi), a.nan || b.nan};
}
WARPLOOM_DEVICE FloatBounds float_bounds_max(FloatBounds a, FloatBounds b) {
  return {max(a.lo, b.lo), max(a.hi, b.hi), a.nan || b.nan};
}
WARPLOOM_DEVICE FloatBounds float_bounds_hull(FloatBounds a, FloatBounds b) {
  return {min(a.lo, b.lo), max(a.hi, b.hi), a.nan || b.nan};
}

WARPLOOM_DEVICE Truth truth_of(bool value) { return {value, !value}; }
WARPLOOM_DEVICE Truth truth_not(Truth a) { return {a.may_not, a.may}; }
WARPLOOM_DEVICE Truth truth_and(Truth a, Truth b) { return {a.may && b.may, a.may_not || b.may_not}; }
WARPLOOM_DEVICE Truth truth_or(Truth a, Truth b) { return {a.may || b.may, a.may_not && b.may_not}; }
WARPLOOM_DEVICE Truth truth_any() { return {true, true}; }
WARPLOOM_DEVICE Truth truth_lt(Bounds a, Bounds b) { return {a.lo < b.hi, a.hi >= b.lo}; }
WARPLOOM_DEVICE Truth truth_le(Bounds a, Bounds b) { return {a.lo <= b.hi, a.hi > b.lo}; }
WARPLOOM_DEVICE Truth truth_eq(Bounds a, Bounds b) {
  return {a.lo <= b.hi && b.lo <= a.hi, !(bounds_fixed(a) && bounds_fixed(b) && a.lo == b.lo)};
}
WARPLOOM_DEVICE Truth truth_ne(Bounds a, Bounds b) { return truth_not(truth_eq(a, b)); }
WARPLOOM_DEVICE Truth float_truth_lt(FloatBounds a, FloatBounds b) { return {a.lo < b.hi, a.hi >= b.lo || a.nan || b.nan}; }
WARPLOOM_DEVICE Truth float_truth_le(FloatBounds a, FloatBounds b) { return {a.lo <= b.hi, a.hi > b.lo || a.nan || b.nan}; }
WARPLOOM_DEVICE Truth float_truth_eq(FloatBounds a, FloatBounds b) {
  const bool fixed = a.lo == a.hi && b.lo == b.hi && a.lo == b.lo && !a.nan && !b.nan;
  return {a.lo <= b.hi && b.lo <= a.hi, !fixed};
}
WARPLOOM_DEVICE Truth float_truth_ne(FloatBounds a, FloatBounds b) { return truth_not(float_truth_eq(a, b)); }
WARPLOOM_DEVICE Truth truth_same(Truth a, Truth b) {
  return {(a.may && b.may) || (a.may_not && b.may_not), (a.may && b.may_not) || (a.may_not && b.may)};
}
WARPLOOM_DEVICE Bounds bounds_select(Truth c, Bounds a, Bounds b) { return !c.may_not ? a : !c.may ? b : bounds_hull(a, b); }
WARPLOOM_DEVICE FloatBounds float_bounds_select(Truth c, FloatBounds a, FloatBounds b) {
  return !c.may_not ? a : !c.may ? b : float_bounds_hull(a, b);
}
WARPLOOM_DEVICE Truth truth_select(Truth c, Truth a, Truth b) {
  return {(c.may && a.may) || (c.may_not && b.may), (c.may && a.may_not) || (c.may_not && b.may_not)};
}
