// What a device is: the figures that choose kernels and that people see.
#pragma once

#include "failure.h"

namespace warploom::cuda {

struct Properties {
  std::string name;
  /// Compute capability: 9.0 is an H100.
  int major = 0, minor = 0;
  int multiprocessors = 0;
  uint64_t memoryBytes = 0;
  /// The most shared memory of one block, when asked for, and of one multiprocessor; bytes.
  int blockSharedBytes = 0, sharedBytes = 0;
  int cacheBytes = 0;
  int clockKilohertz = 0;
  /// Whether it has stream-ordered memory pools, without which we do not run.
  bool hasPools = false;
};

/// No context is needed.
Failure readProperties(int ordinal, Properties &out);

} // namespace warploom::cuda
