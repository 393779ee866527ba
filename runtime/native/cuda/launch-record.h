// Launch lists as bytes: the records, and how they are read. Not what becomes of them.
//
// All little-endian (the TypeScript that writes them: runtime/cuda/launch-list.ts): records one
// after the other, each a multiple of 8 bytes.
//
//   u32 operation, u32 bytes of this record, then
//   1 launch  u64 function; u32 grid[3], block[3], cluster[3] (0: none); u32 dynamic shared bytes;
//             u32 flags (1: may begin before the launch before it has ended, and waits for it
//             itself); u32 bytes of the argument; the argument, one struct by value, padded to 8
//   2 fill    u64 address; u64 bytes; u32 value of every byte; u32 0
//   3 copy    u64 to; u64 from; u64 bytes; within the device
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace warploom::cuda {

enum Operation : uint32_t { launch = 1, fill = 2, copy = 3 };

struct Head {
  uint32_t operation, bytes;
};

struct Launch {
  Head head;
  uint64_t function;
  uint32_t grid[3], block[3], cluster[3], sharedBytes, flags, argumentBytes;
};
static_assert(sizeof(Launch) == 64, "as the list lays it out");
constexpr uint32_t overlaps = 1;

struct Fill {
  Head head;
  uint64_t address, bytes;
  uint32_t value, unused;
};

struct Copy {
  Head head;
  uint64_t to, from, bytes;
};

/// The records of a list, one by one. The bytes may begin at any address, so records are copied
/// out.
class Reader {
public:
  Reader(const void *list, size_t bytes)
      : at(static_cast<const unsigned char *>(list)), left(bytes) {}

  bool isDone() const { return left == 0; }
  /// Whether the next record has its whole head and lies in the list.
  bool next(Head &head) {
    if (left < sizeof head)
      return false;
    std::memcpy(&head, at, sizeof head);
    record = at;
    if (head.bytes < sizeof head || head.bytes % 8 != 0 || head.bytes > left)
      return false;
    at += head.bytes;
    left -= head.bytes;
    ++count;
    return true;
  }
  /// The record as T; false where it is shorter than that.
  template <class T> bool read(const Head &head, T &out) const {
    if (head.bytes < sizeof(T))
      return false;
    std::memcpy(&out, record, sizeof(T));
    return true;
  }
  const unsigned char *after(size_t bytes) const { return record + bytes; }

  int count = 0;

private:
  const unsigned char *at, *record = nullptr;
  size_t left;
};

} // namespace warploom::cuda
