// Matrices in shared memory as products see them: where each element lies, by a descriptor (PTX
// ISA, "Matrix Descriptor Format"). Engine's side only.
#pragma once

#include "tensor-map.h"

#include "../engine/fault.h"
#include "../engine/types.h"

namespace warploom {

/// In bytes.
struct Matrix {
  static constexpr u32 elementBytes = 2;
  u32 start, leading, stride;
  u32 rowBytes; // of swizzled rows; 16 where nothing is swizzled
  u32 swizzle;  // 0 for none

  Matrix(u64 descriptor, Site site) {
    start = (descriptor & 0x3fff) << 4;
    leading = (descriptor >> 16 & 0x3fff) << 4;
    stride = (descriptor >> 32 & 0x3fff) << 4;
    if (descriptor >> 49 & 7)
      fault("descriptor", site,
            "has a matrix descriptor with a base offset, which is not emulated");
    const u32 layout = descriptor >> 62;
    swizzle = layout == 0 ? 0 : 256u >> layout;
    rowBytes = swizzle ? swizzle : 16;
  }

  /// Two bytes of row `index` (of A, or column of B) at `k` along the sum.
  u32 along(u32 index, u32 k) const {
    const u32 chunks = swizzle ? k * elementBytes : k / 8 * leading + k % 8 * elementBytes;
    return swizzled(start + index / 8 * stride + index % 8 * rowBytes + chunks, swizzle);
  }

  /// The same where neighbours in memory are neighbours across the sum. Of rows that are not
  /// swizzled the two strides have each other's part.
  u32 across(u32 index, u32 k) const {
    const u32 perRow = rowBytes / elementBytes;
    const u32 further = swizzle ? leading : stride, deeper = swizzle ? stride : leading;
    return swizzled(start + index / perRow * further + k / 8 * deeper + k % 8 * rowBytes +
                        index % perRow * elementBytes,
                    swizzle);
  }

  u32 at(u32 index, u32 k, bool isTransposed) const {
    return isTransposed ? across(index, k) : along(index, k);
  }
};

} // namespace warploom
