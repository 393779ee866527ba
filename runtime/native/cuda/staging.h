// Small writes in stream order: the bytes go into a ring of pinned memory at once, and from there
// to the device when the stream gets to it. Not the large copies (transfer.h).
#pragma once

#include "event.h"
#include "stream.h"

#include <array>

namespace warploom::cuda {

/// Used by one thread at a time.
class Staging {
public:
  /// The most that one write takes, bytes.
  static constexpr size_t slotBytes = 64 * 1024;

  static Failure create(const Stream &stream, std::unique_ptr<Staging> &out);
  /// The stream must be empty.
  ~Staging();
  Staging(const Staging &) = delete;
  Staging &operator=(const Staging &) = delete;

  /// Returns once `from` is copied away; blocks where the device is a whole ring behind.
  Failure write(Address to, const void *from, size_t bytes);

private:
  static constexpr size_t slots = 32;

  explicit Staging(const Stream &stream) : stream(stream) {}

  const Stream &stream;
  unsigned char *ring = nullptr;
  size_t next = 0;
  /// When each slot is free again; null for one that was never used.
  std::array<std::unique_ptr<Event>, slots> done;
};

} // namespace warploom::cuda
