// The tile products for x86 with AVX-512F; the build gives this file its flags (CMakeLists.txt).
#include "tile.h"

#if defined(__AVX512F__)
#include <immintrin.h>

namespace warploom {
namespace {

struct Vector {
  // 24 sums, 4 loaded vectors and a broadcast in 32 registers.
  static constexpr int lanes = 16, blockRows = 6, blockVectors = 4;
  __m512 value;

  static __mmask16 first(int count) { return static_cast<__mmask16>((1u << count) - 1); }
  static Vector zero() { return {_mm512_setzero_ps()}; }
  static Vector all(float x) { return {_mm512_set1_ps(x)}; }
  static Vector load(const float *from) { return {_mm512_loadu_ps(from)}; }
  static Vector load(const float *from, int count) {
    return {_mm512_maskz_loadu_ps(first(count), from)};
  }
  static void store(float *to, Vector x) { _mm512_storeu_ps(to, x.value); }
  static void store(float *to, int count, Vector x) {
    _mm512_mask_storeu_ps(to, first(count), x.value);
  }
  static Vector multiply(Vector x, Vector y) { return {_mm512_mul_ps(x.value, y.value)}; }
  static Vector fma(Vector x, Vector y, Vector z) {
    return {_mm512_fmadd_ps(x.value, y.value, z.value)};
  }
  static void zip(Vector x, Vector y, Vector &low, Vector &high) {
    const __m512i lowOf = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i highOf = _mm512_add_epi32(lowOf, _mm512_set1_epi32(8));
    low = {_mm512_permutex2var_ps(x.value, lowOf, y.value)};
    high = {_mm512_permutex2var_ps(x.value, highOf, y.value)};
  }
};

const Products products = {"avx512", scoresOver<Vector>, accumulateOver<Vector>};

} // namespace

const Products *avx512Products() { return &products; }

} // namespace warploom
#else
const warploom::Products *warploom::avx512Products() { return nullptr; }
#endif
