// Device memory and the checks of its accesses.
#include "memory.h"

#include "block.h"
#include "fault.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>

namespace warploom {

Memory memory;

namespace {

constexpr u64 guardBytes = 64 << 10;

/// Zeroed pages that all processes of a launch share.
u8 *pages(u64 bytes) {
  void *place = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (place == MAP_FAILED) {
    std::fprintf(stderr, "no memory for %llu bytes\n", static_cast<unsigned long long>(bytes));
    std::exit(1);
  }
  return static_cast<u8 *>(place);
}

constexpr u32 atomicBit = 1u << 23;
constexpr u32 timeMask = atomicBit - 1;

} // namespace

Buffer &Memory::add(const std::string &name, u64 bytes, bool isGiven) {
  // Aligned to 256 bytes and to no more, as a kernel may find it on a device.
  const u64 before = guardBytes + 256;
  u8 *base = pages(before + bytes + guardBytes) + before;
  std::memset(base - before, 0xff, before + bytes + guardBytes);
  buffers.push_back({name, base, bytes, isGiven, pages(bytes + 1),
                     reinterpret_cast<Stamp *>(pages((bytes + 1) * sizeof(Stamp))),
                     pages((bytes >> Buffer::pageBits) + 1)});
  return buffers.back();
}

Buffer *Memory::find(const u8 *at, u32 size) {
  const auto holds = [&](const Buffer &buffer) {
    return at >= buffer.base && at + size <= buffer.base + buffer.bytes;
  };
  if (last < buffers.size() && holds(buffers[last]))
    return &buffers[last];
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    if (!holds(buffers[i]))
      continue;
    last = i;
    return &buffers[i];
  }
  return nullptr;
}

void Memory::outside(const u8 *at, u32 size, bool isWrite, Site site) const {
  const char *verb = isWrite ? "writes" : "reads";
  for (const Buffer &buffer : buffers) {
    if (at < buffer.base - guardBytes || at >= buffer.base + buffer.bytes + guardBytes)
      continue;
    fault("out-of-bounds", site, "%s %u bytes at byte %lld of '%s', which has %llu bytes", verb,
          size, static_cast<long long>(at - buffer.base), buffer.name.c_str(),
          static_cast<unsigned long long>(buffer.bytes));
  }
  fault("out-of-bounds", site, "%s %u bytes at %p, which is no memory of the device", verb, size,
        static_cast<const void *>(at));
}

void Memory::check(const void *pointer, u32 size, bool isWrite, bool isAtomic, Site site) {
  const u8 *at = static_cast<const u8 *>(pointer);
  Buffer *buffer = find(at, size);
  if (!buffer)
    outside(at, size, isWrite, site);
  const u64 offset = at - buffer->base;
  const u32 me = block.number * 1024 + block.current;
  for (u64 byte = offset; byte < offset + size; ++byte) {
    if ((!isWrite || isAtomic) && !buffer->isGiven && !buffer->written[byte])
      fault("uninitialised", site, "reads byte %llu of '%s', which nothing wrote",
            static_cast<unsigned long long>(byte), buffer->name.c_str());
    u8 &isStamped = buffer->isStamped[byte >> Buffer::pageBits];
    if (!isWrite && !isStamped)
      continue;
    Stamp &stamp = buffer->stamps[byte];
    const bool isNew = stamp.when != 0 && stamp.when >> 24 == launch;
    if (isNew && stamp.thread != me && !(isAtomic && (stamp.when & atomicBit))) {
      const u32 otherBlock = stamp.thread / 1024, other = stamp.thread % 1024;
      const bool isKnown = otherBlock == block.number
                               ? block.clocks.knows(block.current, other, stamp.when & timeMask)
                               : block.isFenced;
      if (!isKnown)
        fault("race", site,
              "%s byte %llu of '%s', which thread %u of block %u wrote at {%x} in the same launch, "
              "and "
              "nothing orders the two",
              isWrite ? "writes" : "reads", static_cast<unsigned long long>(byte),
              buffer->name.c_str(), other, otherBlock, stamp.site);
    }
    if (isWrite) {
      buffer->written[byte] = isStamped = 1;
      stamp = {me, launch << 24 | (isAtomic ? atomicBit : 0) | (block.now() & timeMask), site};
    }
  }
}

void Memory::checkProxy(const void *pointer, u32 size, Site site) {
  const u8 *at = static_cast<const u8 *>(pointer);
  const Buffer *buffer = find(at, size);
  const u64 offset = at - buffer->base;
  for (u64 byte = offset; byte < offset + size; ++byte) {
    const Stamp &stamp = buffer->stamps[byte];
    if (buffer->isStamped[byte >> Buffer::pageBits] && stamp.when != 0 &&
        stamp.when >> 24 == launch)
      fault("fence", site,
            "copies byte %llu of '%s', which {%x} wrote in the same launch, with no "
            "fence.proxy.async "
            "of global memory between",
            static_cast<unsigned long long>(byte), buffer->name.c_str(), stamp.site);
  }
}

} // namespace warploom
