// The C face over the core: statuses, and the last error of each thread.
#include "warploom.h"

#include "cuda/device.h"
#include "cuda/transfer.h"

using warploom::cuda::Device;
using warploom::cuda::Failure;
using warploom::cuda::Transfer;

struct warploom_device {
  std::shared_ptr<Device> device;
  Device *operator->() const { return device.get(); }
};

namespace {

std::string &lastError() {
  static thread_local std::string text;
  return text;
}

warploom_status status(const Failure &failure) {
  if (!failure)
    return WARPLOOM_OK;
  lastError() = failure.text();
  switch (failure.kind()) {
  case Failure::Kind::driver:
    return failure.number() == warploom::cuda::outOfMemory ? WARPLOOM_OUT_OF_MEMORY
                                                           : WARPLOOM_DRIVER;
  case Failure::Kind::lost:
    return WARPLOOM_LOST;
  default:
    return WARPLOOM_ARGUMENT;
  }
}

warploom_status nothingGiven(const char *name) {
  return status(Failure::ofArgument(std::string("'") + name + "' is null"));
}

warploom_status finish(const Failure &begun, const std::unique_ptr<Transfer> &transfer) {
  return status(begun ? begun : transfer->finish());
}

} // namespace

#define WARPLOOM_NEED(pointer)                                                                     \
  if (!pointer)                                                                                    \
  return nothingGiven(#pointer)

const char *warploom_error(void) { return lastError().c_str(); }

warploom_status warploom_open(int ordinal, warploom_device **device) {
  WARPLOOM_NEED(device);
  std::shared_ptr<Device> opened;
  const Failure failure = Device::open(ordinal, opened);
  *device = failure ? nullptr : new warploom_device{opened};
  return status(failure);
}

void warploom_close(warploom_device *device) { delete device; }

warploom_status warploom_allocate(warploom_device *device, uint64_t bytes, uint64_t *address) {
  WARPLOOM_NEED(device);
  WARPLOOM_NEED(address);
  return status((*device)->allocate(bytes, *address));
}

warploom_status warploom_free(warploom_device *device, uint64_t address) {
  WARPLOOM_NEED(device);
  return status((*device)->free(address));
}

warploom_status warploom_upload(warploom_device *device, uint64_t to, const void *from,
                                uint64_t bytes) {
  WARPLOOM_NEED(device);
  WARPLOOM_NEED(from);
  std::unique_ptr<Transfer> transfer;
  return finish(Transfer::upload(*device->device, to, from, bytes, transfer), transfer);
}

warploom_status warploom_download(warploom_device *device, void *to, uint64_t from,
                                  uint64_t bytes) {
  WARPLOOM_NEED(device);
  WARPLOOM_NEED(to);
  std::unique_ptr<Transfer> transfer;
  return finish(Transfer::download(*device->device, from, to, bytes, transfer), transfer);
}

warploom_status warploom_load(warploom_device *device, const void *cubin, size_t bytes,
                              uint64_t *module) {
  WARPLOOM_NEED(device);
  WARPLOOM_NEED(cubin);
  WARPLOOM_NEED(module);
  return status((*device)->load(cubin, bytes, *module));
}

warploom_status warploom_unload(warploom_device *device, uint64_t module) {
  WARPLOOM_NEED(device);
  return status((*device)->unload(module));
}

warploom_status warploom_function(warploom_device *device, uint64_t module, const char *name,
                                  uint32_t shared_bytes, warploom_function_report *report) {
  WARPLOOM_NEED(device);
  WARPLOOM_NEED(name);
  WARPLOOM_NEED(report);
  warploom::cuda::FunctionReport found;
  const Failure failure = (*device)->function(module, name, shared_bytes, found);
  *report = {found.handle, found.registers, found.localBytes, found.sharedBytes, found.maxThreads};
  return status(failure);
}

void *warploom_stream(warploom_device *device) {
  return device ? (*device)->stream().handle : nullptr;
}

warploom_status warploom_run(warploom_device *device, const void *list, size_t bytes,
                             void *stream) {
  WARPLOOM_NEED(device);
  WARPLOOM_NEED(list);
  return status((*device)->run(list, bytes, static_cast<warploom::cuda::StreamHandle>(stream)));
}

warploom_status warploom_synchronize(warploom_device *device) {
  WARPLOOM_NEED(device);
  const Failure failure = (*device)->usable();
  return status(failure ? failure : (*device)->stream().drain());
}
