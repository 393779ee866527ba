// Copies between host and device, in several lanes at once where they are large: one thread copies
// slower than the device does.
#include "transfer.h"

#include "device.h"

#include <algorithm>
#include <system_error>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace warploom::cuda {
namespace {

constexpr uint64_t lanePart = 8 << 20; // bytes below which another lane does not pay
constexpr unsigned mostLanes = 4;

/// Fresh memory costs a fault a page, which takes longer than the copy: asks for large pages.
void expectWrites([[maybe_unused]] void *memory, [[maybe_unused]] uint64_t bytes) {
#if defined(__linux__)
  constexpr uintptr_t page = 4096;
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(memory) + page - 1) / page * page;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(memory) + bytes) / page * page;
  if (bytes >= lanePart && begin < end)
    madvise(reinterpret_cast<void *>(begin), end - begin, MADV_HUGEPAGE); // no more than a wish
#endif
}

} // namespace

Failure Transfer::make(Device &device, Address address, const void *from, void *to, uint64_t bytes,
                       std::unique_ptr<Transfer> &out) {
  if (Failure failure = device.usable())
    return failure;
  Address base = 0;
  if (Failure failure = device.memory().pin(address, bytes, base))
    return failure;
  out.reset(new Transfer(device, base, address, static_cast<const unsigned char *>(from),
                         static_cast<unsigned char *>(to), bytes));
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
  if (to)
    expectWrites(to, bytes);
  if (Failure failure = start->wait())
    return failure;
  if (bytes == 0)
    return {};
  const uint64_t wanted = std::min<uint64_t>(mostLanes, (bytes + lanePart - 1) / lanePart);
  const uint64_t cores = std::max(1u, std::thread::hardware_concurrency());
  const uint64_t lanes = std::min(wanted, cores);
  // Whole pages for each, so that no two threads write into one.
  const uint64_t part = ((bytes + lanes - 1) / lanes + 4095) / 4096 * 4096;

  std::vector<Failure> failures(lanes);
  std::vector<std::thread> helpers;
  for (uint64_t i = 1; i < lanes; ++i) {
    const auto work = [this, &failures, i, part] { failures[i] = copy(i * part, part); };
    try {
      helpers.emplace_back(work);
    } catch (const std::system_error &) {
      work(); // no more threads are to be had
    }
  }
  failures[0] = copy(0, part);
  for (std::thread &helper : helpers)
    helper.join();
  for (const Failure &failure : failures) {
    if (failure)
      return failure;
  }
  return {};
}

Failure Transfer::copy(uint64_t begin, uint64_t count) {
  if (begin >= bytes)
    return {};
  count = std::min(count, bytes - begin);
  std::unique_ptr<Lane> lane;
  if (Failure failure = device.takeLane(lane))
    return failure;
  Failure failure = from ? lane->upload(address + begin, from + begin, count)
                         : lane->download(to + begin, address + begin, count);
  device.giveLane(std::move(lane));
  return failure;
}

} // namespace warploom::cuda
