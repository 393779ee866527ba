// Finds the CUDA driver and its functions.
#include "driver.h"

#include "../library.h"

#include <cstdlib>

namespace warploom::cuda {
namespace {

#if defined(_WIN32)
constexpr const char *usual = "nvcuda.dll";
#else
constexpr const char *usual = "libcuda.so.1";
#endif

/// What is wrong, or nothing.
std::string open(Driver &driver) {
  const char *set = std::getenv("WARPLOOM_LIBCUDA");
  const std::string name = set && *set ? set : usual;
  std::string reason;
  // Never closed: its threads and its own exit handlers outlive whatever we could tie it to.
  const Library library = openLibrary(name, reason);
  if (!library)
    return set && *set ? "WARPLOOM_LIBCUDA is set, but " + reason : reason;

#define WARPLOOM_FIND(name, symbol, arguments)                                                     \
  driver.name = reinterpret_cast<decltype(driver.name)>(findSymbol(library, symbol));
  WARPLOOM_DRIVER_FUNCTIONS(WARPLOOM_FIND)
  WARPLOOM_DRIVER_EXTRAS(WARPLOOM_FIND)
#undef WARPLOOM_FIND
#define WARPLOOM_CHECK(function, symbol, arguments)                                                \
  if (!driver.function)                                                                            \
    return name + " is too old: it has no " symbol "; CUDA 11.4 or later is needed";
  WARPLOOM_DRIVER_FUNCTIONS(WARPLOOM_CHECK)
#undef WARPLOOM_CHECK

  if (const Code code = driver.cuInit(0))
    return driver.describe("cuInit", code);
  if (const Code code = driver.cuDriverGetVersion(&driver.version))
    return driver.describe("cuDriverGetVersion", code);
  if (const Code code = driver.cuDeviceGetCount(&driver.devices))
    return driver.describe("cuDeviceGetCount", code);
  return "";
}

struct Opened {
  Driver driver;
  std::string reason;
  Opened() : reason(open(driver)) {}
};

const Opened &opened() {
  static const Opened *once = new Opened; // never destroyed: others may still call at exit
  return *once;
}

} // namespace

std::string Driver::nameOf(Code code) const {
  const char *name = nullptr;
  cuGetErrorName(code, &name);
  return name ? name : "CUDA_ERROR_" + std::to_string(code);
}

std::string Driver::describe(const char *call, Code code) const {
  const char *text = nullptr;
  cuGetErrorString(code, &text);
  const std::string out =
      std::string(call) + ": " + nameOf(code) + " (" + std::to_string(code) + ")";
  return text ? out + ": " + text : out;
}

const Driver *driver(std::string &reason) {
  reason = opened().reason;
  return reason.empty() ? &opened().driver : nullptr;
}

const Driver &driver() { return opened().driver; }

} // namespace warploom::cuda
