// The two products of an attention tile, as plain C++: no Node, no allocation, no state. Not the
// softmax between them, which stays in TypeScript (runtime/cpu).
#pragma once

namespace warploom {

/// One implementation of both products, all fp32 and row-major. Sizes are checked by the caller.
/// Each result is one chain of sums in a fixed order: the same inputs give the same bits, in any
/// thread and wherever the row and column lie in the tile. No factor is skipped, so 0 * NaN is NaN.
struct Products {
  const char *name;
  /// scores[i, j] = scale * sum over d of q[i, d] * k[j, d]
  void (*scores)(const float *q, const float *k, float *scores, int rows, int keys, int dim,
                 float scale, int scoreStride);
  /// out[i, d] += sum over j of p[i, j] * v[j, d]
  void (*accumulate)(const float *p, const float *v, float *out, int rows, int keys, int dim,
                     int pStride);
};

/// The implementations, each in its own file; null where this build does not hold it.
const Products *avx512Products();
const Products *avx2Products();
const Products *neonProducts();
const Products *portableProducts();

/// What this machine can run, the fastest first; returns how many, at most `mostProducts`.
constexpr int mostProducts = 4;
int supportedProducts(const Products *found[mostProducts]);

} // namespace warploom
