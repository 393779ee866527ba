// A large copy between host and device: ordered on one thread, done on another that may wait.
#pragma once

#include "event.h"
#include "memory.h"

namespace warploom::cuda {

class Device;

/// Begins after everything that was in the device's stream when it was made. The device memory
/// lives until it is done, even where the caller frees it; the host memory is the caller's to keep.
class Transfer {
public:
  static Failure upload(Device &device, Address to, const void *from, uint64_t bytes,
                        std::unique_ptr<Transfer> &out);
  static Failure download(Device &device, Address from, void *to, uint64_t bytes,
                          std::unique_ptr<Transfer> &out);
  ~Transfer();
  Transfer(const Transfer &) = delete;
  Transfer &operator=(const Transfer &) = delete;

  /// Copies, and returns when all bytes are there. Once, on any thread.
  Failure finish();

private:
  Transfer(Device &device, Address base, Address address, const unsigned char *from,
           unsigned char *to, uint64_t bytes)
      : device(device), base(base), address(address), from(from), to(to), bytes(bytes) {}
  static Failure make(Device &device, Address address, const void *from, void *to, uint64_t bytes,
                      std::unique_ptr<Transfer> &out);
  /// A part of it, on this thread.
  Failure copy(uint64_t begin, uint64_t count);

  Device &device;
  const Address base, address;
  const unsigned char *const from; // null in a download
  unsigned char *const to;         // null in an upload
  const uint64_t bytes;
  std::unique_ptr<Event> start;
};

} // namespace warploom::cuda
