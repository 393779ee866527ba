// Fibers: the threads of a block, each with a stack of its own, switched by hand. One OS thread
// runs them all.
#pragma once

#include "types.h"

#if !(defined(__x86_64__) && defined(__linux__))
#include <ucontext.h>
#endif

namespace warploom {

class Fiber {
public:
  /// Makes it begin at `entry`, which must never return, on the given stack.
  void prepare(void *stack, std::size_t bytes, void (*entry)());

  /// Leaves `from` where it is and goes on with `to`.
  static void change(Fiber &from, Fiber &to);

private:
#if defined(__x86_64__) && defined(__linux__)
  void *top = nullptr;
#else
  ucontext_t context;
#endif
};

/// The stacks of `count` fibers, with an unmapped page below each.
class Stacks {
public:
  static constexpr std::size_t bytesEach = 256 << 10;

  void reserve(int count);
  void *of(int fiber) const { return from + fiber * bytesEach + guard; }
  static constexpr std::size_t usable() { return bytesEach - guard; }
  bool holds(const void *pointer) const {
    const u8 *at = static_cast<const u8 *>(pointer);
    return at >= from && at < to;
  }

private:
  static constexpr std::size_t guard = 16 << 10; // a multiple of every page size in use
  u8 *from = nullptr;
  u8 *to = nullptr;
};

} // namespace warploom
