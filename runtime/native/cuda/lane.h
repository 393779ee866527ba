// One way for large copies between host and device: a stream of its own, and two pieces of pinned
// memory, one of which the host works on while the device copies the other.
#pragma once

#include "slot.h"
#include "stream.h"

namespace warploom::cuda {

/// Used by one thread at a time. Both copies return when all bytes are there, or with a failure
/// when none is on its way any more.
class Lane {
public:
  static Failure create(const Context &context, std::unique_ptr<Lane> &out);

  Failure upload(Address to, const unsigned char *from, uint64_t bytes);
  Failure download(unsigned char *to, Address from, uint64_t bytes);

private:
  static constexpr size_t slotBytes = 4 << 20;

  Lane() = default;
  Failure fill(Address to, const unsigned char *from, uint64_t bytes);
  Failure empty(unsigned char *to, Address from, uint64_t bytes);
  Failure settle(Failure failure) const;

  std::unique_ptr<Stream> stream;
  std::unique_ptr<Slot> slots[2];
};

} // namespace warploom::cuda
