// Captured tensors: one value by its indices (0 outside), and the smallest and largest value of a range
// by zone maps, which hold both for every 64 values along the last axis.

#define ZONE 64
#define MOST_ZONES 16

struct IntTensor {
  const int* data;
  const int2* zones;  // (lowest, highest) of each zone, [rows, zones_per_row]
  int sizes[8];       // of the axes, the last one first
};
struct FloatTensor {
  const float* data;
  const float2* zones;  // a zone with a NaN is (-inf, inf)
  int sizes[8];
};

template <typename Tensor> WARPLOOM_DEVICE bool inside(const Tensor& t, int axis, int index) {
  return (u32)index < (u32)t.sizes[axis];
}

/** The lowest and highest of [from, to] of one row of the last axis, 0 included where the range leaves it. */
WARPLOOM_DEVICE Bounds zone_bounds(const IntTensor& t, i64 row, int from, int to) {
  const int size = t.sizes[0], zones = (size + ZONE - 1) / ZONE;
  if (to < 0 || from >= size) return bounds_of(0);
  if (from == to) return bounds_of(t.data[row * size + from]);
  Bounds found = {2147483647, -2147483647 - 1};
  if (from < 0 || to >= size) found = bounds_of(0);
  const int first = max(from, 0) / ZONE, last = min(to, size - 1) / ZONE;
  if (last - first >= MOST_ZONES) return bounds_any();
  for (int zone = first; zone <= last; ++zone) {
    const int2 known = t.zones[row * zones + zone];
    found = {min(found.lo, known.x), max(found.hi, known.y)};
  }
  return found;
}
WARPLOOM_DEVICE FloatBounds zone_bounds(const FloatTensor& t, i64 row, int from, int to) {
  const int size = t.sizes[0], zones = (size + ZONE - 1) / ZONE;
  if (to < 0 || from >= size) return float_bounds_of(0.0);
  if (from == to) return float_bounds_of(t.data[row * size + from]);
  FloatBounds found = {(double)POSITIVE_INFINITY, (double)NEGATIVE_INFINITY, false};
  if (from < 0 || to >= size) found = float_bounds_of(0.0);
  const int first = max(from, 0) / ZONE, last = min(to, size - 1) / ZONE;
  if (last - first >= MOST_ZONES) return float_bounds_any();
  for (int zone = first; zone <= last; ++zone) {
    const float2 known = t.zones[row * zones + zone];
    const bool unsure = known.x == NEGATIVE_INFINITY && known.y == POSITIVE_INFINITY;
    found = {min(found.lo, (double)known.x), max(found.hi, (double)known.y), found.nan || unsure};
  }
  return found;
}
