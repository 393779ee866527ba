// The shared memory of the block that runs: the static variables of the kernel and the dynamic
// part, in one window of 32-bit addresses. Each byte remembers who wrote and who read it, and
// whether an asynchronous copy is on its way to it.
#pragma once

#include "types.h"

#include <vector>

namespace warploom {

class SharedMemory {
public:
  /// Takes the static part as the module has it, and makes a dynamic part that is aligned to
  /// `alignment` bytes and to no more.
  void place(u8 *staticFrom, u64 staticBytes, u64 dynamicBytes, u64 alignment);

  /// A new block: 0xff everywhere, and nothing written.
  void reset(int warps);

  u8 *dynamicPart() const { return dynamicFrom; }

  bool holds(const void *pointer) const {
    const u8 *at = static_cast<const u8 *>(pointer);
    return (at >= dynamicFrom && at < dynamicFrom + dynamicBytes) ||
           (at >= staticFrom && at < staticFrom + staticBytes);
  }

  /// Between pointers and addresses of the window. `host` wants `size` bytes and faults outside.
  u32 address(const void *pointer, Site site) const;
  u8 *host(u32 address, u32 size, const char *verb, Site site) const;

  /// Checks and notes an access by the running thread.
  void read(u32 address, u32 size, Site site);
  void write(u32 address, u32 size, Site site) { change(address, size, written, site); }
  /// A read and a write in one.
  void update(u32 address, u32 size, Site site);
  /// A copy begins that will write; it arrives where the thread waits for it.
  void expect(u32 address, u32 size, Site site) { change(address, size, pending, site); }
  void arrive(u32 address, u32 size, Site site);

private:
  enum State : u8 { empty, written, pending };

  struct Cell {
    u32 time;      // of the last write
    Site site;     // of the last write
    Site readSite; // of the last read
    u32 readers;   // warps that read since the last write
    u16 thread;    // of the last write
    State state;
    bool isAtomic;
  };

  /// Of one warp and byte: the last read, and the last read by another lane (lane in the top 5
  /// bits, then the time). Two are enough: see shared.cc.
  struct Reads {
    u32 last, other;
  };

  void change(u32 address, u32 size, State state, Site site, bool isAtomic = false);
  void checkOrder(u32 address, const Cell &cell, const char *verb, Site site) const;
  Cell &cellAt(u32 address) { return cells[address - windowFrom]; }
  Reads &readsOf(int warp, u32 address) {
    return reads[static_cast<std::size_t>(warp) * cells.size() + (address - windowFrom)];
  }

  // As on Hopper, where the first kilobyte is the system's.
  static constexpr u32 windowFrom = 1024;
  u8 *staticFrom = nullptr, *dynamicFrom = nullptr;
  u64 staticBytes = 0, dynamicBytes = 0;
  u32 staticAddress = 0, dynamicAddress = 0;
  std::vector<u8> room;
  std::vector<Cell> cells;
  std::vector<Reads> reads;
};

extern SharedMemory shared;

} // namespace warploom
