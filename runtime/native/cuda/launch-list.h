// Launch lists: the kernels, fills and copies of one call, as bytes, put into a stream without
// waiting.
//
// The bytes, all little-endian (the TypeScript that writes them: runtime/cuda/launch-list.ts):
// records one after the other, each a multiple of 8 bytes.
//
//   u32 operation, u32 bytes of this record, then
//   1 launch  u64 function; u32 grid[3], block[3], cluster[3] (0: none); u32 dynamic shared bytes;
//             u32 flags (1: may begin before the launch before it has ended, and waits for it
//             itself); u32 bytes of the argument; the argument, one struct by value, padded to 8
//   2 fill    u64 address; u64 bytes; u32 value of every byte; u32 0
//   3 copy    u64 to; u64 from; u64 bytes; within the device
#pragma once

#include "module.h"

namespace warploom::cuda {

/// Checks the whole list, then puts it into the stream. Addresses are taken as they are. The list
/// is read before this returns.
Failure runLaunchList(const Context &context, const Modules &modules, const void *list,
                      size_t bytes, StreamHandle stream);

} // namespace warploom::cuda
