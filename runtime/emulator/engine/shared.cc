// Shared memory, and the rules of its accesses: what was never written is not read, what is on its
// way is not touched, and two accesses by different threads of which one writes have a barrier
// between.
//
// Two reads for each warp and byte are enough. A write by lane w races with an earlier read by lane
// r unless they met since. If the reads of two other lanes are kept and r's is not, these came
// later; either they and r have not met since (then one of them is not w, and the write races with
// it as well), or they have, and whoever orders the write after them orders it after r.
#include "shared.h"

#include "block.h"
#include "fault.h"

#include <algorithm>
#include <cstring>

namespace warploom {

SharedMemory shared;

void SharedMemory::place(u8 *from, u64 bytes, u64 dynamic, u64 alignment) {
  staticFrom = from;
  staticBytes = bytes;
  dynamicBytes = dynamic;
  // Addresses and pointers agree in their last 10 bits, so that alignment means the same in both.
  staticAddress = windowFrom + (reinterpret_cast<u64>(from) & 1023);
  const u64 end = staticAddress + bytes;
  dynamicAddress = ((end + alignment - 1) / alignment | 1) * alignment;
  room.resize(dynamicBytes + 2048);
  const u64 place = (reinterpret_cast<u64>(room.data()) + 1023) & ~u64(1023);
  dynamicFrom = reinterpret_cast<u8 *>(place + (dynamicAddress & 1023));
  cells.resize(dynamicAddress + dynamicBytes - windowFrom);
}

void SharedMemory::reset(int warps, int firstOfProducts) {
  std::memset(staticFrom, 0xff, staticBytes);
  std::memset(dynamicFrom, 0xff, dynamicBytes);
  std::fill(cells.begin(), cells.end(), Cell{});
  reads.resize(static_cast<std::size_t>(warps) * cells.size());
  chunks.assign(cells.size() / chunkBytes + 1, Chunk{});
  products.resize(static_cast<std::size_t>(warps) * chunks.size());
  firstProducts = firstOfProducts;
}

u32 SharedMemory::address(const void *pointer, Site site) const {
  const u8 *at = static_cast<const u8 *>(pointer);
  // One past the end is an address like any other until it is used.
  if (at >= dynamicFrom && at <= dynamicFrom + dynamicBytes)
    return dynamicAddress + (at - dynamicFrom);
  if (at >= staticFrom && at <= staticFrom + staticBytes)
    return staticAddress + (at - staticFrom);
  fault("out-of-bounds", site, "takes %p for shared memory", pointer);
}

u8 *SharedMemory::host(u32 address, u32 size, const char *verb, Site site) const {
  if (address >= dynamicAddress && address + u64(size) <= dynamicAddress + dynamicBytes)
    return dynamicFrom + (address - dynamicAddress);
  if (address >= staticAddress && address + u64(size) <= staticAddress + staticBytes)
    return staticFrom + (address - staticAddress);
  fault("out-of-bounds", site,
        "%s %u bytes at byte %lld of the dynamic shared memory, which has %llu bytes", verb, size,
        byteOf(address), static_cast<unsigned long long>(dynamicBytes));
}

void SharedMemory::unordered(u32 address, const Cell &cell, const char *verb, Site site) const {
  if (cell.writer < block.threads)
    fault("race", site,
          "%s byte %lld of shared memory, which thread %d wrote at {%x}, with no barrier between",
          verb, byteOf(address), cell.writer, cell.site);
  fault("race", site,
        "%s byte %lld of shared memory, which the copy of {%x} wrote, without having waited for it",
        verb, byteOf(address), cell.site);
}

void SharedMemory::checkOrder(u32 address, const Cell &cell, const char *verb, Site site) const {
  if (cell.state == pending)
    fault("pending-copy", site,
          "%s byte %lld of shared memory, which the copy by thread %d at {%x} has yet to write",
          verb, byteOf(address), cell.writer, cell.site);
  if (cell.state == barrier)
    fault("barrier", site, "%s byte %lld of shared memory, which is the mbarrier of {%x}", verb,
          byteOf(address), cell.site);
  if (cell.state == written && cell.writer != block.current &&
      !block.clocks.knows(block.current, cell.writer, cell.time))
    unordered(address, cell, verb, site);
}

void SharedMemory::checkProxy(u32 address, const Cell &cell, int thread, const char *verb,
                              Site site) const {
  if (cell.state == written && cell.writer < block.threads &&
      !block.clocks.knowsFenced(thread, cell.writer, cell.time))
    fault("fence", site,
          "%s byte %lld of shared memory, which thread %d wrote at {%x}, with no fence.proxy.async "
          "between",
          verb, byteOf(address), cell.writer, cell.site);
}

void SharedMemory::checkAsyncReads(u32 address, u32 size, const char *verb, Site site) const {
  for (std::size_t at = chunkOf(address); at <= chunkOf(address + size - 1); ++at) {
    const Chunk &chunk = chunks[at];
    if (chunk.reads)
      fault("pending-read", site,
            "%s byte %lld of shared memory, which the copy or product at {%x} may still read", verb,
            byteOf(address), chunk.site);
    for (u32 left = chunk.warps; left; left &= left - 1) {
      const int warp = __builtin_ctz(left);
      const u32 time = products[static_cast<std::size_t>(warp) * chunks.size() + at];
      if (!block.clocks.knows(block.current, firstProducts + warp, time))
        fault("race", site,
              "%s byte %lld of shared memory, which the product at {%x} read for warp %d, with no "
              "barrier between",
              verb, byteOf(address), chunk.site, warp);
    }
  }
}

void SharedMemory::read(u32 address, u32 size, Site site) {
  const int warp = block.current / warpSize;
  const u32 lane = block.lane();
  const u32 key = lane << 27 | (block.now() & ((1u << 27) - 1));
  for (u32 at = address; at < address + size; ++at) {
    Cell &cell = cellAt(at);
    if (cell.state == empty)
      fault("uninitialised", site, "reads byte %lld of shared memory, which nothing wrote",
            byteOf(at));
    checkOrder(at, cell, "reads", site);
    Reads &seen = readsOf(warp, at);
    if (!(cell.readers >> warp & 1))
      seen = {}; // what is there is older than the last write
    if (seen.last >> 27 != lane)
      seen.other = seen.last;
    seen.last = key;
    cell.readers |= 1u << warp;
    cell.readSite = site;
  }
}

void SharedMemory::change(u32 address, u32 size, State state, Site site, bool isAtomic,
                          Proxy proxy) {
  const char *verb = state == pending   ? "begins a copy to"
                     : state == barrier ? "makes a barrier of"
                                        : "writes";
  checkAsyncReads(address, size, verb, site);
  for (u32 at = address; at < address + size; ++at) {
    Cell &cell = cellAt(at);
    if (!(isAtomic && cell.isAtomic))
      checkOrder(at, cell, verb, site);
    if (proxy == async)
      checkProxy(at, cell, block.current, verb, site);
    for (u32 left = cell.readers; left; left &= left - 1) {
      const int warp = __builtin_ctz(left);
      const Reads &seen = readsOf(warp, at);
      for (const u32 key : {seen.last, seen.other}) {
        const int reader = warp * warpSize + (key >> 27);
        const u32 time = key & ((1u << 27) - 1);
        if (time && reader != block.current && !block.clocks.knows(block.current, reader, time))
          fault("race", site,
                "%s byte %lld of shared memory, which thread %d read at {%x}, with no barrier "
                "between",
                verb, byteOf(at), reader, cell.readSite);
      }
    }
    cell = {block.now(), site, 0, 0, static_cast<u16>(block.current), state, isAtomic};
  }
}

void SharedMemory::update(u32 address, u32 size, Site site) {
  for (u32 at = address; at < address + size; ++at)
    if (cellAt(at).state == empty)
      fault("uninitialised", site, "updates byte %lld of shared memory, which nothing wrote",
            byteOf(at));
  change(address, size, written, site, true);
}

void SharedMemory::makeBarrier(u32 address, Site site) { change(address, 8, barrier, site); }

void SharedMemory::arrive(u32 address, u32 size, Site site) {
  for (u32 at = address; at < address + size; ++at)
    cellAt(at) = {block.now(), site, 0, 0, static_cast<u16>(block.current), written, false};
}

void SharedMemory::expectAsync(u32 address, u32 size, Site site) {
  change(address, size, pending, site, false, async);
}

void SharedMemory::arriveAsync(u32 address, u32 size, Site site, int writer, u32 time) {
  for (u32 at = address; at < address + size; ++at)
    cellAt(at) = {time, site, 0, 0, static_cast<u16>(writer), written, false};
}

void SharedMemory::beginReads(u32 address, u32 size, int first, int lanes, Site site, Seen &seen) {
  for (u32 at = address; at < address + size; ++at) {
    const Cell &cell = cellAt(at);
    if (cell.state == written && cell.writer == seen.writer && cell.time == seen.time)
      continue;
    if (cell.state == empty)
      fault("uninitialised", site, "reads byte %lld of shared memory, which nothing wrote",
            byteOf(at));
    for (int lane = first; lane < first + lanes; ++lane) {
      const RunsAs thread(lane);
      checkOrder(at, cell, "reads", site);
      checkProxy(at, cell, lane, "reads", site);
    }
    seen = {cell.writer, cell.time};
  }
  for (std::size_t at = chunkOf(address); at <= chunkOf(address + size - 1); ++at) {
    ++chunks[at].reads;
    chunks[at].site = site;
  }
}

void SharedMemory::endReads(u32 address, u32 size) {
  for (std::size_t at = chunkOf(address); at <= chunkOf(address + size - 1); ++at)
    --chunks[at].reads;
}

void SharedMemory::noteProducts(u32 address, u32 size, int warp, u32 time) {
  for (std::size_t at = chunkOf(address); at <= chunkOf(address + size - 1); ++at) {
    chunks[at].warps |= 1u << warp;
    productsOf(warp, at) = time;
  }
}

} // namespace warploom
