// Every load and store of a kernel comes here first: the compiler calls these hooks of its thread
// sanitizer, whose own runtime is not linked, and those of its checks of undefined behaviour.
#include "block.h"
#include "fault.h"
#include "memory.h"
#include "module.h"
#include "registers.h"
#include "shared.h"

#include <cstring>

namespace warploom {
namespace {

enum Kind { reading, writing };

void access(const void *at, u32 size, u32 alignment, Kind kind, const void *caller) {
  if (block.stacks.holds(at))
    return registers.access(at, size, kind == writing, caller);
  const Site site = work.last = module.siteOf(caller);
  const bool isShared = shared.holds(at);
  if (!isShared && module.holds(at))
    return; // constants, and variables that belong to the module
  if (reinterpret_cast<u64>(at) % alignment != 0)
    fault("misaligned", site, "%s %u bytes at %p, which is not aligned to %u",
          kind == writing ? "writes" : "reads", size, at, alignment);
  if (isShared) {
    const u32 address = shared.address(at, site);
    shared.host(address, size, kind == writing ? "writes" : "reads", site);
    if (kind == writing)
      shared.write(address, size, site);
    else
      shared.read(address, size, site);
  } else if (kind == writing) {
    memory.write(at, size, site);
  } else {
    memory.read(at, size, site);
  }
}

} // namespace
} // namespace warploom

using warploom::access;

#define HOOK(name, size, alignment, kind)                                                          \
  extern "C" void name(void *at) {                                                                 \
    access(at, size, alignment, warploom::kind, __builtin_return_address(0));                      \
  }
#define HOOKS(size)                                                                                \
  HOOK(__tsan_read##size, size, size, reading)                                                     \
  HOOK(__tsan_write##size, size, size, writing)                                                    \
  HOOK(__tsan_volatile_read##size, size, size, reading)                                            \
  HOOK(__tsan_volatile_write##size, size, size, writing)                                           \
  HOOK(__tsan_unaligned_read##size, size, 1, reading)                                              \
  HOOK(__tsan_unaligned_write##size, size, 1, writing)                                             \
  HOOK(__tsan_unaligned_volatile_read##size, size, 1, reading)                                     \
  HOOK(__tsan_unaligned_volatile_write##size, size, 1, writing)
HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)

extern "C" {

void __tsan_read_range(void *at, unsigned long size) {
  access(at, size, 1, warploom::reading, __builtin_return_address(0));
}
void __tsan_write_range(void *at, unsigned long size) {
  access(at, size, 1, warploom::writing, __builtin_return_address(0));
}

// Copies of whole structs, which Clang makes by these functions: the linker is told to --wrap them,
// and newer versions call names of their own.
void *__wrap_memcpy(void *to, const void *from, unsigned long size) {
  if (size == 0)
    return to;
  access(from, size, 1, warploom::reading, __builtin_return_address(0));
  access(to, size, 1, warploom::writing, __builtin_return_address(0));
  return std::memmove(to, from, size);
}
void *__wrap_memmove(void *, const void *, unsigned long) __attribute__((alias("__wrap_memcpy")));
void *__tsan_memcpy(void *, const void *, unsigned long) __attribute__((alias("__wrap_memcpy")));
void *__tsan_memmove(void *, const void *, unsigned long) __attribute__((alias("__wrap_memcpy")));
void *__wrap_memset(void *to, int value, unsigned long size) {
  if (size == 0)
    return to;
  access(to, size, 1, warploom::writing, __builtin_return_address(0));
  return std::memset(to, value, size);
}
void *__tsan_memset(void *, int, unsigned long) __attribute__((alias("__wrap_memset")));

void __tsan_init() {}
void __tsan_func_entry(void *) {}
void __tsan_func_exit() {}
}
