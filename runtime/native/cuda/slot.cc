// Pinned memory of the driver.
#include "slot.h"

namespace warploom::cuda {

Failure Slot::create(const Context &context, size_t bytes, std::unique_ptr<Slot> &out) {
  std::unique_ptr<Slot> slot(new Slot(context));
  if (Failure failure = Event::create(context, Event::Use::order, slot->left))
    return failure;
  const Context::Current current(context);
  void *memory = nullptr;
  if (Failure failure = context.check("cuMemHostAlloc", driver().cuMemHostAlloc(&memory, bytes, 0)))
    return failure;
  slot->data = static_cast<unsigned char *>(memory);
  out = std::move(slot);
  return {};
}

Slot::~Slot() {
  const Context::Current current(context);
  if (data)
    driver().cuMemFreeHost(data);
}

} // namespace warploom::cuda
