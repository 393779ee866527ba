// Barriers in shared memory (Hopper): mbarriers, whose phases complete when so many threads have arrived and
// so many bytes have been copied; and the sixteen barriers of a block, of which 0 is __syncthreads.

WARPLOOM_DEVICE void barrier_init(u64& barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(&barrier)), "r"(arrivals) : "memory");
}

/** Makes fresh barriers known to the copies; __syncthreads makes them known to the threads. */
WARPLOOM_DEVICE void barrier_init_done() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }

WARPLOOM_DEVICE void barrier_arrive(u64& barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(&barrier)) : "memory");
}

/** Arrives if it is to: without a branch. */
WARPLOOM_DEVICE void barrier_arrive_if(bool arrives, u64& barrier) {
  asm volatile("{\n.reg .pred p;\nsetp.ne.u32 p, %1, 0;\n@p mbarrier.arrive.shared::cta.b64 _, [%0];\n}\n" ::"r"(shared_address(&barrier)), "r"((u32)arrives) : "memory");
}

/** Arrives, and makes the phase wait for so many bytes more. */
WARPLOOM_DEVICE void barrier_arrive_expect(u64& barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(&barrier)), "r"(bytes) : "memory");
}

/** Waits for the end of the phase of this parity. Before its first phase a barrier is at parity 1, over already. */
WARPLOOM_DEVICE void barrier_wait(u64& barrier, u32 parity) {
  const u32 address = shared_address(&barrier);
  u32 done;
  do {
    asm volatile(
        "{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}\n"
        : "=r"(done) : "r"(address), "r"(parity) : "memory");
  } while (!done);
}

/** Waits until so many threads, whole warps, have come to a barrier of the block. */
WARPLOOM_DEVICE void threads_wait(int barrier, int count) {
  asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(count) : "memory");
}

/** Comes to a barrier of the block and goes on. */
WARPLOOM_DEVICE void threads_arrive(int barrier, int count) {
  asm volatile("bar.arrive %0, %1;" ::"r"(barrier), "r"(count) : "memory");
}
