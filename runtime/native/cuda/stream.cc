// Streams of the driver.
#include "stream.h"

namespace warploom::cuda {

Failure Stream::create(const Context &context, std::unique_ptr<Stream> &out) {
  constexpr unsigned nonBlocking = 1; // it does not wait for the legacy default stream
  const Context::Current current(context);
  StreamHandle handle = nullptr;
  if (Failure failure =
          context.check("cuStreamCreate", driver().cuStreamCreate(&handle, nonBlocking)))
    return failure;
  out.reset(new Stream(context, handle));
  return {};
}

Stream::~Stream() {
  const Context::Current current(context);
  driver().cuStreamDestroy(handle);
}

Failure Stream::drain() const {
  const Context::Current current(context);
  return context.check("cuStreamSynchronize", driver().cuStreamSynchronize(handle));
}

} // namespace warploom::cuda
