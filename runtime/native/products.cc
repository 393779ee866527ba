// Which implementations of the tile products this machine can run. Not the products themselves.
#include "products.h"

namespace warploom {

namespace {

#if (defined(__x86_64__) || defined(__i386__)) && defined(__GNUC__)
// These also ask whether the operating system saves the wide registers.
bool hasAvx512() { return __builtin_cpu_supports("avx512f"); }
bool hasAvx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
#else
bool hasAvx512() { return false; }
bool hasAvx2() { return false; }
#endif

} // namespace

int supportedProducts(const Products *found[mostProducts]) {
  const Products *const candidates[mostProducts] = {
      hasAvx512() ? avx512Products() : nullptr,
      hasAvx2() ? avx2Products() : nullptr,
      neonProducts(), // every 64-bit ARM has it
      portableProducts(),
  };
  int count = 0;
  for (const Products *candidate : candidates) {
    if (candidate)
      found[count++] = candidate;
  }
  return count;
}

} // namespace warploom
