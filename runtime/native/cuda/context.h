// The primary context of one device, which everyone in the process shares, and whether it still
// works.
#pragma once

#include "failure.h"

#include <memory>

namespace warploom::cuda {

class Context {
public:
  /// Retains the primary context of the device with this ordinal; the destructor releases it.
  static Failure retain(int ordinal, std::unique_ptr<Context> &out);
  ~Context();
  Context(const Context &) = delete;
  Context &operator=(const Context &) = delete;

  /// Nothing, or the fault that ended the device: an earlier one, in any context of the process.
  Failure fault() const;
  /// The outcome of a call of the driver. A fault is remembered for the rest of the process.
  Failure check(const char *call, Code code, const std::string &about = "") const;

  const int ordinal;
  const ContextHandle handle;

  /// Makes the context the current one of this thread for a scope, then brings back what was.
  class Current {
  public:
    explicit Current(const Context &context) { driver().cuCtxPushCurrent(context.handle); }
    ~Current() {
      ContextHandle popped = nullptr;
      driver().cuCtxPopCurrent(&popped);
    }
    Current(const Current &) = delete;
    Current &operator=(const Current &) = delete;
  };

private:
  Context(int ordinal, int device, ContextHandle handle)
      : ordinal(ordinal), handle(handle), device(device) {}
  const int device;
};

} // namespace warploom::cuda
