// Tensor maps: how the tensor memory accelerator of Hopper and later sees a tensor.
#pragma once

#include "context.h"

namespace warploom::cuda {

/// What cuTensorMapEncodeTiled takes, fastest axis first; the numbers of the kinds are the
/// driver's.
struct TensorMapShape {
  static constexpr unsigned mostAxes = 5;
  int type = 0;
  unsigned rank = 0;
  Address address = 0;
  uint64_t sizes[mostAxes] = {};
  /// Bytes from one index to the next, of every axis but the fastest: rank - 1 of them.
  uint64_t strides[mostAxes] = {};
  unsigned box[mostAxes] = {};
  unsigned steps[mostAxes] = {1, 1, 1, 1, 1};
  int interleave = 0, swizzle = 0, promotion = 0, fill = 0;
};

constexpr size_t tensorMapBytes = 128;

/// Writes the 128 bytes of a map.
Failure encodeTensorMap(const Context &context, const TensorMapShape &shape,
                        unsigned char out[tensorMapBytes]);

} // namespace warploom::cuda
