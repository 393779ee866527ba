// The shared memory of the block that runs: the static variables of the kernel and the dynamic
// part, in one window of 32-bit addresses. Each byte remembers who wrote and who read it, whether
// an asynchronous copy is on its way to it, and which asynchronous copies and products may still
// read it.
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
  void reset(int warps, int firstProducts);

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

  /// The same for a copy by the asynchronous proxy, which `writer`, no thread, ends at `time`.
  void expectAsync(u32 address, u32 size, Site site);
  void arriveAsync(u32 address, u32 size, Site site, int writer, u32 time);

  /// The last write that a copy or product found in order: neighbours mostly share one.
  struct Seen {
    int writer = -1;
    u32 time = 0;
  };
  /// A copy or product begins to read by the asynchronous proxy, for each of `lanes` threads from
  /// `first` on; nobody may write until it ends.
  void beginReads(u32 address, u32 size, int first, int lanes, Site site, Seen &seen);
  void endReads(u32 address, u32 size);
  /// Products of a warp have read, at a time of their own.
  void noteProducts(u32 address, u32 size, int warp, u32 time);

  /// The 8 bytes of an mbarrier: from now on nobody else's.
  void makeBarrier(u32 address, Site site);

  /// Of the dynamic part, as reports name addresses.
  long long byteOf(u32 address) const { return static_cast<long long>(address) - dynamicAddress; }
  /// One past the highest address.
  u32 end() const { return dynamicAddress + static_cast<u32>(dynamicBytes); }

private:
  enum State : u8 { empty, written, pending, barrier };
  enum Proxy : u8 { generic, async };

  struct Cell {
    u32 time;      // of the last write
    Site site;     // of the last write
    Site readSite; // of the last read
    u32 readers;   // warps that read since the last write
    u16 writer;    // a thread, or who else acts
    State state;
    bool isAtomic;
  };

  /// Of 16 bytes: asynchronous reads under way, and the warps whose products have read.
  struct Chunk {
    u32 reads;
    u32 warps;
    Site site; // of the newest
  };
  static constexpr u32 chunkBytes = 16;

  /// Of one warp and byte: the last read, and the last read by another lane (lane in the top 5
  /// bits, then the time). Two are enough: see shared.cc.
  struct Reads {
    u32 last, other;
  };

  void change(u32 address, u32 size, State state, Site site, bool isAtomic = false,
              Proxy proxy = generic);
  void checkOrder(u32 address, const Cell &cell, const char *verb, Site site) const;
  void checkProxy(u32 address, const Cell &cell, int thread, const char *verb, Site site) const;
  void checkAsyncReads(u32 address, u32 size, const char *verb, Site site) const;
  [[noreturn]] void unordered(u32 address, const Cell &cell, const char *verb, Site site) const;
  Cell &cellAt(u32 address) { return cells[address - windowFrom]; }
  Reads &readsOf(int warp, u32 address) {
    return reads[static_cast<std::size_t>(warp) * cells.size() + (address - windowFrom)];
  }
  std::size_t chunkOf(u32 address) const { return (address - windowFrom) / chunkBytes; }
  u32 &productsOf(int warp, std::size_t chunk) {
    return products[static_cast<std::size_t>(warp) * chunks.size() + chunk];
  }

  // As on Hopper, where the first kilobyte is the system's.
  static constexpr u32 windowFrom = 1024;
  u8 *staticFrom = nullptr, *dynamicFrom = nullptr;
  u64 staticBytes = 0, dynamicBytes = 0;
  u32 staticAddress = 0, dynamicAddress = 0;
  std::vector<u8> room;
  std::vector<Cell> cells;
  std::vector<Reads> reads;
  std::vector<Chunk> chunks;
  std::vector<u32> products; // of each warp and chunk: when its products last read
  int firstProducts = 0;     // the number of those of warp 0 among all who act
};

extern SharedMemory shared;

} // namespace warploom
