// Tensor maps as the emulated device has them: the words that runtime/emulator/tensor-map.ts writes
// in place of the driver's, and what they say. Engine's side only.
#pragma once

#include "../engine/types.h"

namespace warploom {

constexpr int mapAxes = 5;

struct MapWords {
  u64 mark;
  u64 address;
  u32 axes, elementBytes;
  u32 swizzle, unused; // bytes of a swizzled row; 0 for none
  u32 sizes[6];        // elements, the fastest axis first
  u64 strides[4];      // bytes, of all but the fastest
  u32 box[6];
};
static_assert(sizeof(MapWords) == 112, "a tensor map has 128 bytes");
constexpr u64 mapMark = 0x70616d6c6f6f6c77ull;

/// The map at an address of the kernel's; faults where it is none, or one that the driver refuses.
const MapWords &mapAt(const void *map, Site site);

/// Where in shared memory a swizzled byte lies: bits 4 and up of an address change with bits 7 and
/// up, as many as rows of so many bytes have chunks of 16.
constexpr u32 swizzled(u32 address, u32 rowBytes) {
  const u32 chunks = rowBytes < 32 ? 1 : rowBytes / 16;
  return address ^ (address >> 7 & (chunks - 1)) << 4;
}

} // namespace warploom
