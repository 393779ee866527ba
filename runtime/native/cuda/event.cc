// Events of the driver.
#include "event.h"

namespace warploom::cuda {

Failure Event::create(const Context &context, Use use, std::unique_ptr<Event> &out) {
  constexpr unsigned blocking = 1, withoutTime = 2;
  const Context::Current current(context);
  EventHandle handle = nullptr;
  const unsigned flags = use == Use::time ? blocking : blocking | withoutTime;
  if (Failure failure = context.check("cuEventCreate", driver().cuEventCreate(&handle, flags)))
    return failure;
  out.reset(new Event(context, handle));
  return {};
}

Event::~Event() {
  const Context::Current current(context);
  driver().cuEventDestroy(handle);
}

Failure Event::record(StreamHandle stream) {
  const Context::Current current(context);
  return context.check("cuEventRecord", driver().cuEventRecord(handle, stream));
}

Failure Event::wait() const {
  const Context::Current current(context);
  return context.check("cuEventSynchronize", driver().cuEventSynchronize(handle));
}

Failure Event::since(const Event &from, float &milliseconds) const {
  const Context::Current current(context);
  return context.check("cuEventElapsedTime",
                       driver().cuEventElapsedTime(&milliseconds, from.handle, handle));
}

} // namespace warploom::cuda
