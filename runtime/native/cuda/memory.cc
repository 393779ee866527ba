// Allocation from a pool of the driver.
#include "memory.h"

namespace warploom::cuda {
namespace {

std::string hex(Address address) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(address));
  return text;
}

} // namespace

Failure Memory::create(const Stream &stream, std::unique_ptr<Memory> &out) {
  constexpr int releaseThreshold = 4;
  const Context &context = stream.context;
  const Context::Current current(context);
  PoolProperties properties;
  properties.ordinal = context.ordinal;
  PoolHandle pool = nullptr;
  if (Failure failure =
          context.check("cuMemPoolCreate", driver().cuMemPoolCreate(&pool, &properties)))
    return failure;
  out.reset(new Memory(stream, pool));
  // Freed memory stays in the pool: the next call takes it again at once.
  uint64_t all = UINT64_MAX;
  return context.check("cuMemPoolSetAttribute",
                       driver().cuMemPoolSetAttribute(pool, releaseThreshold, &all));
}

Memory::~Memory() {
  const Context::Current current(stream.context);
  for (const auto &[address, allocation] : allocations)
    driver().cuMemFreeAsync(address, stream.handle);
  driver().cuStreamSynchronize(stream.handle);
  driver().cuMemPoolDestroy(pool);
}

Failure Memory::allocate(uint64_t bytes, Address &out) {
  const Context &context = stream.context;
  const Context::Current current(context);
  const auto attempt = [&] {
    return driver().cuMemAllocFromPoolAsync(&out, bytes, pool, stream.handle);
  };
  const std::lock_guard<std::mutex> lock(mutex);
  Code code = attempt();
  if (code == outOfMemory) {
    // What was freed in stream order is free only now, and may be in pieces of the wrong size.
    if (Failure failure =
            context.check("cuStreamSynchronize", driver().cuStreamSynchronize(stream.handle)))
      return failure;
    driver().cuMemPoolTrimTo(pool, 0);
    code = attempt();
  }
  const std::string about = code ? std::to_string(bytes) + " bytes were asked for, " +
                                       std::to_string(heldBytes) + " are held"
                                 : "";
  if (Failure failure = context.check("cuMemAllocFromPoolAsync", code, about))
    return failure;
  allocations[out] = {bytes, 0, false};
  heldBytes += bytes;
  return {};
}

Failure Memory::free(Address address) {
  const std::lock_guard<std::mutex> lock(mutex);
  const auto found = allocations.find(address);
  if (found == allocations.end() || found->second.isFreed)
    return Failure::ofArgument("nothing is allocated at " + hex(address));
  found->second.isFreed = true;
  return found->second.pins == 0 ? release(found) : Failure();
}

Failure Memory::release(Allocations::iterator allocation) {
  const Address address = allocation->first;
  heldBytes -= allocation->second.bytes;
  allocations.erase(allocation);
  const Context::Current current(stream.context);
  return stream.context.check("cuMemFreeAsync", driver().cuMemFreeAsync(address, stream.handle));
}

Failure Memory::locate(Address address, uint64_t bytes, Allocations::iterator &out) {
  out = allocations.upper_bound(address);
  if (out != allocations.begin()) {
    --out;
    const uint64_t offset = address - out->first;
    const uint64_t size = out->second.bytes;
    if (!out->second.isFreed && offset <= size && bytes <= size - offset)
      return {};
  }
  return Failure::ofArgument(std::to_string(bytes) + " bytes at " + hex(address) +
                             " do not lie in what is allocated");
}

Failure Memory::pin(Address address, uint64_t bytes, Address &base) {
  const std::lock_guard<std::mutex> lock(mutex);
  Allocations::iterator found;
  if (Failure failure = locate(address, bytes, found))
    return failure;
  ++found->second.pins;
  base = found->first;
  return {};
}

void Memory::unpin(Address base) {
  const std::lock_guard<std::mutex> lock(mutex);
  const auto found = allocations.find(base);
  if (--found->second.pins == 0 && found->second.isFreed)
    (void)release(found); // a fault shows in the next call
}

Failure Memory::find(Address address, uint64_t bytes) {
  const std::lock_guard<std::mutex> lock(mutex);
  Allocations::iterator found;
  return locate(address, bytes, found);
}

uint64_t Memory::held() const {
  const std::lock_guard<std::mutex> lock(mutex);
  return heldBytes;
}

} // namespace warploom::cuda
