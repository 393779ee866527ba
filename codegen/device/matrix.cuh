// Warp-level matrix products (sm_80 and later): fragments from shared memory, m16n8k16 with fp32 sums.
// Lane l of a warp has g = l / 4 and t = l % 4. An accumulator holds rows g (elements 0, 1) and g + 8
// (elements 2, 3) of columns 2t and 2t + 1.

/** Four 8x8 matrices of 16-bit elements; lane l gives the address of row l % 8 of matrix l / 8. */
WARPLOOM_DEVICE void load_matrices(u32 (&fragment)[4], u32 address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(fragment[0]), "=r"(fragment[1]), "=r"(fragment[2]), "=r"(fragment[3])
               : "r"(address) : "memory");
}

/** The same, each matrix transposed. */
WARPLOOM_DEVICE void load_matrices_transposed(u32 (&fragment)[4], u32 address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(fragment[0]), "=r"(fragment[1]), "=r"(fragment[2]), "=r"(fragment[3])
               : "r"(address) : "memory");
}

/** d += a * b for bf16 operands: a is 16 x 16, (b0, b1) are 16 x 8. */
WARPLOOM_DEVICE void multiply_bf16(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/** The same for fp16 operands. */
WARPLOOM_DEVICE void multiply_fp16(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
