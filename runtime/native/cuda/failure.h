// What went wrong in the native core, as a value: no exceptions cross it. Not how a host shows it.
#pragma once

#include "driver.h"

#include <memory>
#include <string>

namespace warploom::cuda {

/// Nothing, or one failure. Costs one null pointer where all is well.
class [[nodiscard]] Failure {
public:
  enum class Kind {
    driver,   // a call of the driver failed
    lost,     // a kernel faulted: nothing works on this device until the process ends
    disposed, // used after it was closed
    argument, // the caller's mistake
  };

  Failure() = default;
  /// A failed call of the driver; `about` says more, such as the kernel and its grid.
  static Failure ofCall(const char *call, Code code, const std::string &about = "") {
    return of(Kind::driver, call, code, about);
  }
  /// A fault, seen now or earlier.
  static Failure ofFault(const char *call, Code code) { return of(Kind::lost, call, code, ""); }
  static Failure ofArgument(const std::string &text) { return of(Kind::argument, text); }
  static Failure ofDisposed() { return of(Kind::disposed, "the device was disposed"); }

  explicit operator bool() const { return details != nullptr; }
  Kind kind() const { return details->kind; }
  /// One line: "cuMemAllocFromPoolAsync: CUDA_ERROR_OUT_OF_MEMORY (2): out of memory".
  const std::string &text() const { return details->text; }
  /// The driver's function; empty where none was called.
  const std::string &call() const { return details->call; }
  /// 'CUDA_ERROR_...', and its number; empty and 0 where no call failed.
  const std::string &name() const { return details->name; }
  Code number() const { return details->number; }

private:
  static Failure of(Kind kind, const char *call, Code code, const std::string &about);
  static Failure of(Kind kind, const std::string &text);

  struct Details {
    Kind kind;
    std::string text, call, name;
    Code number;
  };
  std::shared_ptr<const Details> details;
};

} // namespace warploom::cuda
