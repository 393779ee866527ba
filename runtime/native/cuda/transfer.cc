// Copies between host and device, each in a stream of its own.
#include "transfer.h"

#include "device.h"

namespace warploom::cuda {

Failure Transfer::make(Device &device, Address address, const void *from, void *to, uint64_t bytes,
                       std::unique_ptr<Transfer> &out) {
  if (Failure failure = device.usable())
    return failure;
  Address base = 0;
  if (Failure failure = device.memory().pin(address, bytes, base))
    return failure;
  out.reset(new Transfer(device, base, address, from, to, bytes));
  if (Failure failure = Event::create(device.context(), Event::Use::order, out->start))
    return failure;
  return out->start->record(device.stream().handle);
}

Failure Transfer::upload(Device &device, Address to, const void *from, uint64_t bytes,
                         std::unique_ptr<Transfer> &out) {
  return make(device, to, from, nullptr, bytes, out);
}

Failure Transfer::download(Device &device, Address from, void *to, uint64_t bytes,
                           std::unique_ptr<Transfer> &out) {
  return make(device, from, nullptr, to, bytes, out);
}

Transfer::~Transfer() { device.memory().unpin(base); }

Failure Transfer::finish() {
  // A stream would wait for the event too, but the copy of pageable memory that follows keeps the
  // processor busy while it waits.
  if (Failure failure = start->wait())
    return failure;
  if (bytes == 0)
    return {};
  std::unique_ptr<Stream> stream;
  if (Failure failure = device.takeCopyStream(stream))
    return failure;
  const Context &context = device.context();
  Failure failure;
  {
    const Context::Current current(context);
    failure = from ? context.check("cuMemcpyHtoDAsync",
                                   driver().cuMemcpyHtoDAsync(address, from, bytes, stream->handle))
                   : context.check("cuMemcpyDtoHAsync",
                                   driver().cuMemcpyDtoHAsync(to, address, bytes, stream->handle));
  }
  if (!failure)
    failure = stream->drain();
  device.giveCopyStream(std::move(stream));
  return failure;
}

} // namespace warploom::cuda
