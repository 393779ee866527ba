// The tile products in plain C++, for any processor.
#include "tile.h"

namespace warploom {
namespace {

struct Vector {
  static constexpr int lanes = 4, blockRows = 4, blockVectors = 2;
#if defined(__GNUC__)
  typedef float Four __attribute__((vector_size(16)));
  static Four times(Four x, Four y) { return x * y; }
  static Four plus(Four x, Four y) { return x + y; }
#else
  struct Four {
    float lane[lanes];
    float operator[](int i) const { return lane[i]; }
    float &operator[](int i) { return lane[i]; }
  };
  static Four times(Four x, Four y) { return {x[0] * y[0], x[1] * y[1], x[2] * y[2], x[3] * y[3]}; }
  static Four plus(Four x, Four y) { return {x[0] + y[0], x[1] + y[1], x[2] + y[2], x[3] + y[3]}; }
#endif
  Four value;

  static Vector zero() { return all(0); }
  static Vector all(float x) { return {Four{x, x, x, x}}; }
  static Vector load(const float *from) { return {Four{from[0], from[1], from[2], from[3]}}; }
  static Vector load(const float *from, int count) {
    Vector x = zero();
    for (int i = 0; i < count; ++i)
      x.value[i] = from[i];
    return x;
  }
  static void store(float *to, Vector x) { store(to, lanes, x); }
  static void store(float *to, int count, Vector x) {
    for (int i = 0; i < count; ++i)
      to[i] = x.value[i];
  }
  static Vector multiply(Vector x, Vector y) { return {times(x.value, y.value)}; }
  static Vector fma(Vector x, Vector y, Vector z) {
    return {plus(times(x.value, y.value), z.value)};
  }
  static void zip(Vector x, Vector y, Vector &low, Vector &high) {
    low = {Four{x.value[0], y.value[0], x.value[1], y.value[1]}};
    high = {Four{x.value[2], y.value[2], x.value[3], y.value[3]}};
  }
};

const Products products = {"portable", scoresOver<Vector>, accumulateOver<Vector>};

} // namespace

const Products *portableProducts() { return &products; }

} // namespace warploom
