// Switching stacks: a dozen instructions where we know the machine, ucontext elsewhere.
#include "fiber.h"

#include <cstdio>
#include <cstdlib>
#include <sys/mman.h>

#if defined(__x86_64__) && defined(__linux__)

extern "C" void warploomChange(void **from, void *to);

// What a call must preserve (System V): rbx, rbp, r12 - r15 and the stack. Kernels leave the
// control words of the floating-point unit alone.
asm(R"(
  .text
  .globl warploomChange
  .type warploomChange, @function
warploomChange:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size warploomChange, .-warploomChange
)");

namespace warploom {

void Fiber::prepare(void *stack, std::size_t bytes, void (*entry)()) {
  // As if `entry` were called from nowhere: registers, its address, a return address of 0. A
  // function begins with the stack 8 below a multiple of 16.
  void **at = reinterpret_cast<void **>(static_cast<u8 *>(stack) + bytes) - 1;
  at[0] = nullptr;
  *--at = reinterpret_cast<void *>(entry);
  for (int i = 0; i < 6; ++i)
    *--at = nullptr;
  top = at;
}

void Fiber::change(Fiber &from, Fiber &to) { warploomChange(&from.top, to.top); }

} // namespace warploom

#else

namespace warploom {

void Fiber::prepare(void *stack, std::size_t bytes, void (*entry)()) {
  getcontext(&context);
  context.uc_stack.ss_sp = stack;
  context.uc_stack.ss_size = bytes;
  context.uc_link = nullptr;
  makecontext(&context, entry, 0);
}

void Fiber::change(Fiber &from, Fiber &to) { swapcontext(&from.context, &to.context); }

} // namespace warploom

#endif

namespace warploom {

void Stacks::reserve(int count) {
  const std::size_t bytes = count * bytesEach;
  if (static_cast<std::size_t>(to - from) >= bytes)
    return;
  if (from)
    munmap(from, to - from);
  void *place = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (place == MAP_FAILED) {
    std::fprintf(stderr, "no memory for %d stacks\n", count);
    std::exit(1);
  }
  from = static_cast<u8 *>(place);
  to = from + bytes;
  for (int fiber = 0; fiber < count; ++fiber)
    mprotect(from + fiber * bytesEach, guard, PROT_NONE);
}

} // namespace warploom
