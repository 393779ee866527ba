// A piece of pinned host memory on its way to or from the device. Not what travels in it.
#pragma once

#include "event.h"

namespace warploom::cuda {

/// The device copies from and to pinned memory by itself, at full speed, while the host goes on.
class Slot {
public:
  static Failure create(const Context &context, size_t bytes, std::unique_ptr<Slot> &out);
  /// The device must be done with it.
  ~Slot();
  Slot(const Slot &) = delete;
  Slot &operator=(const Slot &) = delete;

  /// From this point of the stream on the device is done with it.
  Failure leave(StreamHandle stream) { return left->record(stream); }
  /// Blocks until the device is done with it; at once before the first `leave`.
  Failure wait() const { return left->wait(); }

  unsigned char *data = nullptr;

private:
  explicit Slot(const Context &context) : context(context) {}

  const Context &context;
  std::unique_ptr<Event> left;
};

} // namespace warploom::cuda
