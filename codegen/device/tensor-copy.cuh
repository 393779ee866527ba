// Copies of boxes of a tensor by the tensor memory accelerator (Hopper). A tensor map, encoded by the driver,
// says where the tensor lies and how large a box is; what a box has outside of it is zeros, or not stored.

struct alignas(64) TensorMap {
  u64 words[16];
};

// What to do with lines in L2: K and V are wanted by other blocks, Q by none.
#define KEEP_IN_CACHE 0x14F0000000000000ull
#define DROP_FROM_CACHE 0x12F0000000000000ull

/** One lane of a converged warp: it orders copies, and the compiler knows that no other does. */
WARPLOOM_DEVICE bool elect_one() {
  u32 chosen;
  asm volatile("{\n.reg .pred p;\nelect.sync _|p, 0xffffffff;\nselp.u32 %0, 1, 0, p;\n}\n" : "=r"(chosen));
  return chosen != 0u;
}

WARPLOOM_DEVICE void tensor_map_prefetch(const TensorMap& map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
}

/** Copies the box at these coordinates into shared memory; its bytes count for the barrier. */
WARPLOOM_DEVICE void copy_box(u32 to, const TensorMap& map, u64& barrier, int c0, int c1, int c2, int c3, int c4, u64 cache) {
  asm volatile(
      "cp.async.bulk.tensor.5d.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint "
      "[%0], [%1, {%3, %4, %5, %6, %7}], [%2], %8;"
      ::"r"(to), "l"(&map), "r"(shared_address(&barrier)), "r"(c0), "r"(c1), "r"(c2), "r"(c3), "r"(c4), "l"(cache)
      : "memory");
}

/** Stores a box from shared memory; the part of it outside the tensor is left out. */
WARPLOOM_DEVICE void store_box(const TensorMap& map, u32 from, int c0, int c1, int c2, int c3, int c4) {
  asm volatile("cp.async.bulk.tensor.5d.global.shared::cta.bulk_group [%0, {%2, %3, %4, %5, %6}], [%1];"
               ::"l"(&map), "r"(from), "r"(c0), "r"(c1), "r"(c2), "r"(c3), "r"(c4) : "memory");
}

/** Closes a group of stores. */
WARPLOOM_DEVICE void store_commit() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }

/** Waits until this thread's stores have read shared memory. */
WARPLOOM_DEVICE void store_wait_read() { asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory"); }

/** Waits until this thread's stores are written. */
WARPLOOM_DEVICE void store_wait() { asm volatile("cp.async.bulk.wait_group 0;" ::: "memory"); }

/** Makes this thread's ordinary writes to shared memory visible to copies and products that follow. */
WARPLOOM_DEVICE void shared_written() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
