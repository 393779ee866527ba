// The ring of pinned memory.
#include "staging.h"

#include <cstring>

namespace warploom::cuda {

Failure Staging::create(const Stream &stream, std::unique_ptr<Staging> &out) {
  const Context::Current current(stream.context);
  std::unique_ptr<Staging> made(new Staging(stream));
  void *ring = nullptr;
  if (Failure failure = stream.context.check("cuMemHostAlloc",
                                             driver().cuMemHostAlloc(&ring, slots * slotBytes, 0)))
    return failure;
  made->ring = static_cast<unsigned char *>(ring);
  out = std::move(made);
  return {};
}

Staging::~Staging() {
  const Context::Current current(stream.context);
  if (ring)
    driver().cuMemFreeHost(ring);
}

Failure Staging::write(Address to, const void *from, size_t bytes) {
  const Context &context = stream.context;
  std::unique_ptr<Event> &free = done[next];
  if (free) {
    if (Failure failure = free->wait())
      return failure;
  } else if (Failure failure = Event::create(context, Event::Use::order, free)) {
    return failure;
  }
  unsigned char *slot = ring + next * slotBytes;
  std::memcpy(slot, from, bytes);
  next = (next + 1) % slots;
  const Context::Current current(context);
  if (Failure failure = context.check("cuMemcpyHtoDAsync",
                                      driver().cuMemcpyHtoDAsync(to, slot, bytes, stream.handle)))
    return failure;
  return free->record(stream.handle);
}

} // namespace warploom::cuda
