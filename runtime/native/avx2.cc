// The tile products for x86 with AVX2 and FMA; the build gives this file its flags
// (CMakeLists.txt).
#include "tile.h"

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>

namespace warploom {
namespace {

struct Vector {
  // 12 sums, 2 loaded vectors and a broadcast in 16 registers.
  static constexpr int lanes = 8, blockRows = 6, blockVectors = 2;
  __m256 value;

  static __m256i first(int count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  static Vector zero() { return {_mm256_setzero_ps()}; }
  static Vector all(float x) { return {_mm256_set1_ps(x)}; }
  static Vector load(const float *from) { return {_mm256_loadu_ps(from)}; }
  static Vector load(const float *from, int count) {
    return {_mm256_maskload_ps(from, first(count))};
  }
  static void store(float *to, Vector x) { _mm256_storeu_ps(to, x.value); }
  static void store(float *to, int count, Vector x) {
    _mm256_maskstore_ps(to, first(count), x.value);
  }
  static Vector multiply(Vector x, Vector y) { return {_mm256_mul_ps(x.value, y.value)}; }
  static Vector fma(Vector x, Vector y, Vector z) {
    return {_mm256_fmadd_ps(x.value, y.value, z.value)};
  }
  static void zip(Vector x, Vector y, Vector &low, Vector &high) {
    // Unpacking zips within each half of the register: 0..1 | 4..5 and 2..3 | 6..7.
    const __m256 outer = _mm256_unpacklo_ps(x.value, y.value);
    const __m256 inner = _mm256_unpackhi_ps(x.value, y.value);
    low = {_mm256_permute2f128_ps(outer, inner, 0x20)};
    high = {_mm256_permute2f128_ps(outer, inner, 0x31)};
  }
};

const Products products = {"avx2", scoresOver<Vector>, accumulateOver<Vector>};

} // namespace

const Products *avx2Products() { return &products; }

} // namespace warploom
#else
const warploom::Products *warploom::avx2Products() { return nullptr; }
#endif
