// The ring of pinned memory.
#include "staging.h"

#include <cstring>

namespace warploom::cuda {

Failure Staging::write(Address to, const void *from, size_t bytes) {
  const Context &context = stream.context;
  std::unique_ptr<Slot> &slot = ring[next];
  if (!slot) {
    if (Failure failure = Slot::create(context, slotBytes, slot))
      return failure;
  } else if (Failure failure = slot->wait()) {
    return failure;
  }
  std::memcpy(slot->data, from, bytes);
  next = (next + 1) % ring.size();
  const Context::Current current(context);
  const Code code = driver().cuMemcpyHtoDAsync(to, slot->data, bytes, stream.handle);
  if (Failure failure = context.check("cuMemcpyHtoDAsync", code))
    return failure;
  return slot->leave(stream.handle);
}

} // namespace warploom::cuda
