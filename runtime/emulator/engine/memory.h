// Device memory: named buffers with guard zones, and for each byte whether it was ever written and
// by which thread of the current launch. Shared by the processes of a launch.
#pragma once

#include "types.h"

#include <string>
#include <vector>

namespace warploom {

/// The last write to one byte.
struct Stamp {
  u32 thread; // block * 1024 + thread
  u32 when;   // launch (8 bits), atomic (1 bit), the thread's time (23 bits)
  Site site;
};

struct Buffer {
  std::string name;
  u8 *base;
  u64 bytes;
  bool isGiven; // all of it was written before the first step
  u8 *written;
  Stamp *stamps;
  u8 *isStamped; // for each page of bytes: whether any has a stamp
  static constexpr int pageBits = 12;
};

class Memory {
public:
  /// New memory of 0xff bytes, none of them written unless the caller gives them.
  Buffer &add(const std::string &name, u64 bytes, bool isGiven);

  /// Every launch begins with all earlier writes known to everyone.
  void beginLaunch() { launch = (launch + 1) & 0xff; }

  /// Checks a read, write or atomic of the running thread. `what` names the access in a fault.
  void read(const void *at, u32 size, Site site) { check(at, size, false, false, site); }
  /// A read by the asynchronous proxy, for which what this launch has written is not there: the
  /// fence of the primitives is one for shared memory alone.
  void readAsync(const void *at, u32 size, Site site) {
    check(at, size, false, false, site);
    checkProxy(at, size, site);
  }
  void write(const void *at, u32 size, Site site) { check(at, size, true, false, site); }
  void update(const void *at, u32 size, Site site) { check(at, size, true, true, site); }

  std::vector<Buffer> buffers;

private:
  void check(const void *at, u32 size, bool isWrite, bool isAtomic, Site site);
  void checkProxy(const void *at, u32 size, Site site);
  Buffer *find(const u8 *at, u32 size);
  [[noreturn]] void outside(const u8 *at, u32 size, bool isWrite, Site site) const;

  u32 launch = 0;
  std::size_t last = 0;
};

extern Memory memory;

} // namespace warploom
