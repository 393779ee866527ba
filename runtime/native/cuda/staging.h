// Small writes in stream order: the bytes go into a ring of pinned memory at once, and from there
// to the device when the stream gets to it. Not the large copies (transfer.h).
#pragma once

#include "slot.h"
#include "stream.h"

#include <array>

namespace warploom::cuda {

/// Used by one thread at a time. The stream must be empty when it ends.
class Staging {
public:
  /// The most that one write takes, bytes.
  static constexpr size_t slotBytes = 64 * 1024;

  explicit Staging(const Stream &stream) : stream(stream) {}

  /// Returns once `from` is copied away; blocks where the device is a whole ring behind.
  Failure write(Address to, const void *from, size_t bytes);

private:
  const Stream &stream;
  size_t next = 0;
  /// Each is made when it is first needed.
  std::array<std::unique_ptr<Slot>, 32> ring;
};

} // namespace warploom::cuda
