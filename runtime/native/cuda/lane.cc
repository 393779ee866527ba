// Copies through two slots by turns.
#include "lane.h"

#include <algorithm>
#include <cstring>

namespace warploom::cuda {

Failure Lane::create(const Context &context, std::unique_ptr<Lane> &out) {
  std::unique_ptr<Lane> lane(new Lane);
  if (Failure failure = Stream::create(context, lane->stream))
    return failure;
  for (std::unique_ptr<Slot> &slot : lane->slots) {
    if (Failure failure = Slot::create(context, slotBytes, slot))
      return failure;
  }
  out = std::move(lane);
  return {};
}

Failure Lane::upload(Address to, const unsigned char *from, uint64_t bytes) {
  return settle(fill(to, from, bytes));
}

Failure Lane::download(unsigned char *to, Address from, uint64_t bytes) {
  return settle(empty(to, from, bytes));
}

Failure Lane::settle(Failure failure) const {
  Failure drained = stream->drain();
  return failure ? failure : drained;
}

Failure Lane::fill(Address to, const unsigned char *from, uint64_t bytes) {
  const Context &context = stream->context;
  const Context::Current current(context);
  for (uint64_t at = 0, turn = 0; at < bytes; at += slotBytes, turn ^= 1) {
    Slot &slot = *slots[turn];
    const size_t part = std::min<uint64_t>(slotBytes, bytes - at);
    if (Failure failure = slot.wait())
      return failure;
    std::memcpy(slot.data, from + at, part);
    const Code code = driver().cuMemcpyHtoDAsync(to + at, slot.data, part, stream->handle);
    if (Failure failure = context.check("cuMemcpyHtoDAsync", code))
      return failure;
    if (Failure failure = slot.leave(stream->handle))
      return failure;
  }
  return {};
}

Failure Lane::empty(unsigned char *to, Address from, uint64_t bytes) {
  const Context &context = stream->context;
  const Context::Current current(context);
  // Each turn asks for a part, then takes the part before.
  for (uint64_t at = 0, turn = 0; at < bytes + slotBytes; at += slotBytes, turn ^= 1) {
    if (at < bytes) {
      Slot &slot = *slots[turn];
      const size_t part = std::min<uint64_t>(slotBytes, bytes - at);
      const Code code = driver().cuMemcpyDtoHAsync(slot.data, from + at, part, stream->handle);
      if (Failure failure = context.check("cuMemcpyDtoHAsync", code))
        return failure;
      if (Failure failure = slot.leave(stream->handle))
        return failure;
    }
    if (at > 0) {
      const Slot &slot = *slots[turn ^ 1];
      const uint64_t before = at - slotBytes;
      if (Failure failure = slot.wait())
        return failure;
      std::memcpy(to + before, slot.data, std::min<uint64_t>(slotBytes, bytes - before));
    }
  }
  return {};
}

} // namespace warploom::cuda
