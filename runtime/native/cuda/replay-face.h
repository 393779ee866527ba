// Launch lists that are run again and again, as JavaScript describes them.
#pragma once

#include "../arguments.h"
#include "replay.h"

namespace warploom {

/// The arguments of CudaDevice.prepare, which runtime/cuda/native.ts describes; false after
/// throwing what is wrong with them.
bool readReplayPlan(Arguments &arguments, cuda::ReplayPlan &out);

/// The doubles of a Float64Array.
struct Doubles {
  const double *values = nullptr;
  size_t count = 0;
};
Doubles doublesOf(Arguments &arguments, int at, const char *name);

} // namespace warploom
