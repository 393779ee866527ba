// What 128 threads do together (Hopper, sm_90a): asynchronous matrix products and the share of registers. The
// products themselves depend on the shape and are written with the kernel.

/** The registers that a warpgroup has written belong to the products that follow. */
WARPLOOM_DEVICE void products_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }

/** Closes a group of products. */
WARPLOOM_DEVICE void products_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

/** Waits until at most `pending` of the newest groups are unfinished. */
template <int pending> WARPLOOM_DEVICE void products_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(pending) : "memory");
}

/** Keeps the compiler from moving reads and writes of registers across the products that use them. */
template <int blocks> WARPLOOM_DEVICE void pin(float (&r)[1][blocks][4]) {
#pragma unroll
  for (int i = 0; i < blocks; ++i)
#pragma unroll
    for (int e = 0; e < 4; ++e) asm volatile("" : "+f"(r[0][i][e])::"memory");
}
template <int steps> WARPLOOM_DEVICE void pin(u32 (&r)[1][steps][4]) {
#pragma unroll
  for (int i = 0; i < steps; ++i)
#pragma unroll
    for (int e = 0; e < 4; ++e) asm volatile("" : "+r"(r[0][i][e])::"memory");
}

/** Has a descriptor found here: compilers would find it after the wait that follows, while the products that need it wait. */
WARPLOOM_DEVICE void pin(u64& descriptor) { asm volatile("" : "+l"(descriptor)); }

/** A matrix in shared memory in rows of 128 swizzled bytes: its address, and bytes between its parts. */
WARPLOOM_DEVICE u64 matrix_descriptor(u32 address, u32 leading, u32 stride) {
  return (u64)((address & 0x3FFFF) >> 4) | (u64)(leading >> 4) << 16 | (u64)(stride >> 4) << 32 | 1ull << 62;
}

/** The same in rows of 16 bytes that are not swizzled: eight follow each other. */
WARPLOOM_DEVICE u64 plain_descriptor(u32 address, u32 leading, u32 stride) {
  return matrix_descriptor(address, leading, stride) ^ 1ull << 62;
}

/** The matrix so many units of 16 bytes further on, with so many bytes more between its parts: both are in the lower word, which has room for all of shared memory. */
WARPLOOM_DEVICE u64 further_on(u64 descriptor, u32 units, u32 leading = 0) {
  return (descriptor & ~0xffffffffull) | (u32)((u32)descriptor + units + (leading >> 4 << 16));
}

/** The same matrix, found anew in each step by a number under 256 that steps change: to the words of what stays ptxas adds one by one, to others at once. */
WARPLOOM_DEVICE u64 found_anew(u64 descriptor, int place) { return descriptor + (u32)(place >> 8); }

template <int count> WARPLOOM_DEVICE void registers_take() { asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(count)); }
template <int count> WARPLOOM_DEVICE void registers_give() { asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(count)); }

/** Stores four 8x8 matrices of 16-bit elements; lane l gives the address of row l % 8 of matrix l / 8. */
WARPLOOM_DEVICE void store_matrices(u32 address, u32 a, u32 b, u32 c, u32 d) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(address), "r"(a), "r"(b), "r"(c), "r"(d) : "memory");
}

/** 16 bytes, aligned to 16. */
WARPLOOM_DEVICE uint4 shared_load(u32 address) {
  uint4 value;
  asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w) : "r"(address) : "memory");
  return value;
}
