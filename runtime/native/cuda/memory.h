// The device memory of one open device: a stream-ordered pool, and what is allocated from it.
#pragma once

#include "stream.h"

#include <map>
#include <mutex>

namespace warploom::cuda {

/// Memory is allocated and freed in the order of one stream, so that memory freed after a launch
/// was enqueued is not handed out again before that launch is done. Any thread may call.
class Memory {
public:
  static Failure create(const Stream &stream, std::unique_ptr<Memory> &out);
  /// Frees everything that is left, and gives the pool back.
  ~Memory();
  Memory(const Memory &) = delete;
  Memory &operator=(const Memory &) = delete;

  /// `bytes` at least 1; the address is aligned to 256. Where there is no room, gives back what the
  /// pool keeps for later and tries once more.
  Failure allocate(uint64_t bytes, Address &out);
  /// Frees once every pin is gone; nobody else may use the address from now on.
  Failure free(Address address);

  /// Checks that the range lies within one allocation and keeps that alive until `unpin` of its
  /// `base`.
  Failure pin(Address address, uint64_t bytes, Address &base);
  void unpin(Address base);
  /// The check alone.
  Failure find(Address address, uint64_t bytes);

  /// Bytes that are allocated and not freed.
  uint64_t held() const;

private:
  struct Allocation {
    uint64_t bytes;
    int pins;
    bool isFreed;
  };
  using Allocations = std::map<Address, Allocation>;

  Memory(const Stream &stream, PoolHandle pool) : stream(stream), pool(pool) {}
  Failure locate(Address address, uint64_t bytes, Allocations::iterator &out);
  Failure release(Allocations::iterator allocation);

  const Stream &stream;
  const PoolHandle pool;
  mutable std::mutex mutex;
  Allocations allocations;
  uint64_t heldBytes = 0;
};

} // namespace warploom::cuda
