// A point in a stream, and the time at which it was reached.
#pragma once

#include "context.h"

namespace warploom::cuda {

class Event {
public:
  enum class Use { order, time }; // to wait for, or to measure by
  static Failure create(const Context &context, Use use, std::unique_ptr<Event> &out);
  ~Event();
  Event(const Event &) = delete;
  Event &operator=(const Event &) = delete;

  /// The point after everything that is in the stream now.
  Failure record(StreamHandle stream);
  /// Blocks this thread, without using it, until the point is reached.
  Failure wait() const;
  /// Milliseconds from that event to this one; both must have been reached.
  Failure since(const Event &from, float &milliseconds) const;

private:
  Event(const Context &context, EventHandle handle) : context(context), handle(handle) {}
  const Context &context;
  const EventHandle handle;
};

} // namespace warploom::cuda
