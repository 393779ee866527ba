// What the four warps of a warpgroup execute alike, each when it comes there. Engine's side only.
#pragma once

#include "../engine/types.h"

namespace warploom {

constexpr int groupWarps = 4;

/// The running warp executes one of its instructions: with the operands of the warps that were
/// there before, or it faults. So does a warp that ends without one.
void executeAlike(const char *name, u64 a, u64 b, Site site);

} // namespace warploom
