// A queue of work of one device: what is put into it runs in order.
#pragma once

#include "context.h"

namespace warploom::cuda {

class Stream {
public:
  static Failure create(const Context &context, std::unique_ptr<Stream> &out);
  ~Stream();
  Stream(const Stream &) = delete;
  Stream &operator=(const Stream &) = delete;

  /// Blocks this thread until the stream is empty.
  Failure drain() const;

  const Context &context;
  const StreamHandle handle;

private:
  Stream(const Context &context, StreamHandle handle) : context(context), handle(handle) {}
};

} // namespace warploom::cuda
