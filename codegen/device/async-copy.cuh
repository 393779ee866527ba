// Asynchronous copies from global to shared memory (sm_80 and later): 16 bytes a thread.

/** Copies 16 bytes. Both addresses are 16-byte aligned. */
WARPLOOM_DEVICE void copy_async_16(u32 to, const void* from) {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16;" ::"r"(to), "l"(from) : "memory");
}

/** Copies 16 bytes; `valid` false writes zeros and reads nothing. Both addresses are 16-byte aligned. */
WARPLOOM_DEVICE void copy_async_16(u32 to, const void* from, bool valid) {
  const u32 bytes = valid ? 16u : 0u;
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;"
               ::"r"(to), "l"(from), "r"(bytes) : "memory");
}

/** Closes a group of copies. */
WARPLOOM_DEVICE void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

/** Waits until at most `pending` of this thread's newest groups are unfinished. */
template <int pending> WARPLOOM_DEVICE void copy_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}
