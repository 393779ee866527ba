// The compiled kernel: a shared object with one entry, and where it lies in memory.
#pragma once

#include "types.h"

namespace warploom {

class Module {
public:
  /// Loads the object. Ends the process with the loader's message when it cannot be loaded.
  void load(const char *path);

  bool holds(const void *pointer) const {
    const u8 *at = static_cast<const u8 *>(pointer);
    return at >= from && at < to;
  }

  /// The place before a return address.
  Site siteOf(const void *caller) const {
    return static_cast<Site>(static_cast<const u8 *>(caller) - from) - 1;
  }

  void (*entry)(const void *params) = nullptr;
  /// The static shared variables.
  u8 *sharedFrom = nullptr;
  u64 sharedBytes = 0;
  /// What the text asks of its dynamic shared memory.
  u64 dynamicAlignment = 16;
  /// That share a multiprocessor, by its launch bounds.
  u64 blocks = 1;

private:
  u8 *from = nullptr, *to = nullptr;
};

extern Module module;

} // namespace warploom
