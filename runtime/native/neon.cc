// The tile products for 64-bit ARM, where NEON is always there.
#include "tile.h"

#if defined(__aarch64__) || defined(_M_ARM64)
#include <arm_neon.h>

namespace warploom {
namespace {

struct Vector {
  // 24 sums, 4 loaded vectors and a broadcast in 32 registers.
  static constexpr int lanes = 4, blockRows = 6, blockVectors = 4;
  float32x4_t value;

  static Vector zero() { return {vdupq_n_f32(0)}; }
  static Vector all(float x) { return {vdupq_n_f32(x)}; }
  static Vector load(const float *from) { return {vld1q_f32(from)}; }
  static Vector load(const float *from, int count) {
    float lane[lanes] = {};
    for (int i = 0; i < count; ++i)
      lane[i] = from[i];
    return load(lane);
  }
  static void store(float *to, Vector x) { vst1q_f32(to, x.value); }
  static void store(float *to, int count, Vector x) {
    float lane[lanes];
    store(lane, x);
    for (int i = 0; i < count; ++i)
      to[i] = lane[i];
  }
  static Vector multiply(Vector x, Vector y) { return {vmulq_f32(x.value, y.value)}; }
  static Vector fma(Vector x, Vector y, Vector z) { return {vfmaq_f32(z.value, x.value, y.value)}; }
  static void zip(Vector x, Vector y, Vector &low, Vector &high) {
    low = {vzip1q_f32(x.value, y.value)};
    high = {vzip2q_f32(x.value, y.value)};
  }
};

const Products products = {"neon", scoresOver<Vector>, accumulateOver<Vector>};

} // namespace

const Products *neonProducts() { return &products; }

} // namespace warploom
#else
const warploom::Products *warploom::neonProducts() { return nullptr; }
#endif
