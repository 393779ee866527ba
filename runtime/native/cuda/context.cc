// Retains and releases primary contexts, and keeps the faults of every device of the process.
#include "context.h"

#include <array>
#include <atomic>

namespace warploom::cuda {
namespace {

constexpr int mostDevices = 256;

/// The code of the fault that ended each device, by ordinal; 0 while it works. The primary context
/// is shared by the whole process, and so is its end.
std::array<std::atomic<Code>, mostDevices> faults;

/// Errors after which every call in the context fails too, or would compute on what a fault left
/// behind.
bool isFault(Code code) {
  switch (code) {
  case 214: // ECC_UNCORRECTABLE
  case 220: // NVLINK_UNCORRECTABLE
  case 226: // CONTAINED
  case 700: // ILLEGAL_ADDRESS
  case 702: // LAUNCH_TIMEOUT
  case 709: // CONTEXT_IS_DESTROYED
  case 710: // ASSERT
  case 714: // HARDWARE_STACK_ERROR
  case 715: // ILLEGAL_INSTRUCTION
  case 716: // MISALIGNED_ADDRESS
  case 717: // INVALID_ADDRESS_SPACE
  case 718: // INVALID_PC
  case 719: // LAUNCH_FAILED
  case 721: // TENSOR_MEMORY_LEAK
  case 911: // EXTERNAL_DEVICE
  case 999: // UNKNOWN
    return true;
  default:
    return false;
  }
}

} // namespace

Failure Context::retain(int ordinal, std::unique_ptr<Context> &out) {
  std::string reason;
  const Driver *table = driver(reason);
  if (!table)
    return Failure::ofArgument("there is no CUDA driver: " + reason);
  if (ordinal < 0 || ordinal >= table->devices || ordinal >= mostDevices)
    return Failure::ofArgument("there is no CUDA device " + std::to_string(ordinal) +
                               "; the driver shows " + std::to_string(table->devices));
  if (const Code code = faults[ordinal])
    return Failure::ofFault("a launch", code);
  int device = 0;
  if (const Code code = table->cuDeviceGet(&device, ordinal))
    return Failure::ofCall("cuDeviceGet", code);
  ContextHandle handle = nullptr;
  if (const Code code = table->cuDevicePrimaryCtxRetain(&handle, device))
    return Failure::ofCall("cuDevicePrimaryCtxRetain", code);
  out.reset(new Context(ordinal, device, handle));
  return {};
}

Context::~Context() { driver().cuDevicePrimaryCtxRelease(device); }

Failure Context::fault() const {
  const Code code = faults[ordinal];
  return code ? Failure::ofFault("a launch", code) : Failure();
}

Failure Context::check(const char *call, Code code, const std::string &about) const {
  if (code == 0)
    return {};
  if (!isFault(code))
    return Failure::ofCall(call, code, about);
  faults[ordinal] = code;
  return Failure::ofFault(call, code);
}

} // namespace warploom::cuda
