// Loaded cubins and the kernels in them. Both are known to callers by number, never by pointer, so
// that no wrong number can reach the driver.
#pragma once

#include "stream.h"

#include <deque>
#include <mutex>
#include <vector>

namespace warploom::cuda {

/// What the compiler made of a kernel.
struct FunctionReport {
  /// The number that launch lists name it by.
  uint64_t handle = 0;
  int registers = 0;
  /// Local memory of a thread, in bytes: spilled registers, and arrays that no register can hold.
  int localBytes = 0;
  /// Static shared memory of a block, in bytes.
  int sharedBytes = 0;
  int maxThreads = 0;
};

struct Function {
  std::string name;
  FunctionHandle handle;
  uint64_t module;
  /// Size of the one argument in bytes; 0 where the driver does not tell.
  size_t argumentBytes;
  /// Dynamic shared memory that it was readied for, beyond the default.
  unsigned dynamicBytes;
};

/// Any thread may call.
class Modules {
public:
  explicit Modules(const Context &context) : context(context) {}
  /// Unloads what is left; nothing of it may be running.
  ~Modules();
  Modules(const Modules &) = delete;
  Modules &operator=(const Modules &) = delete;

  /// Loads a cubin of `bytes` bytes, or text (PTX). May take milliseconds.
  Failure load(const void *image, size_t bytes, uint64_t &out);
  /// Its functions cannot be launched from now on. `unload` of what this hands out ends it.
  Failure retire(uint64_t module, ModuleHandle &out);
  /// Nothing of it may be running.
  Failure unload(ModuleHandle module);
  /// A kernel by name, ready for launches with up to `sharedBytes` of dynamic shared memory.
  Failure function(uint64_t module, const std::string &name, unsigned sharedBytes,
                   FunctionReport &out);
  /// The kernel with this number; a failure where there is none, or its module was unloaded.
  Failure find(uint64_t function, const Function *&out) const;

private:
  Failure handleOf(uint64_t module, ModuleHandle &out) const;

  const Context &context;
  mutable std::mutex mutex;
  /// Numbers are indices plus one, never used twice; null once unloaded.
  std::vector<ModuleHandle> modules;
  std::deque<Function> functions; // a deque: `find` hands out pointers
};

} // namespace warploom::cuda
