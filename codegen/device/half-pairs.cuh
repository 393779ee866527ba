// Two fp16 numbers in a word, compared and added at once. Their patterns are in the order of their values, and so are
// the upper halves of floats: these may be compared as if they were fp16, up to 2^121, where fp16 has its infinity.

/** 1 in the halves of `pair` that are at least those of `bound`, 0 in the others. */
WARPLOOM_DEVICE u32 ones_where_at_least(u32 pair, u32 bound) {
  u32 ones;
  asm("set.ge.f16x2.f16x2 %0, %1, %2;" : "=r"(ones) : "r"(pair), "r"(bound));
  return ones;
}

/** All bits of the halves of `pair` that are at least those of `bound`, none of the others. */
WARPLOOM_DEVICE u32 mask_where_at_least(u32 pair, u32 bound) {
  u32 mask;
  asm("set.ge.u32.f16x2 %0, %1, %2;" : "=r"(mask) : "r"(pair), "r"(bound));
  return mask;
}

WARPLOOM_DEVICE u32 add_pairs(u32 a, u32 b) {
  u32 sum;
  asm("add.rn.f16x2 %0, %1, %2;" : "=r"(sum) : "r"(a), "r"(b));
  return sum;
}

/** The larger of both, in each half. */
WARPLOOM_DEVICE u32 larger_of_pairs(u32 a, u32 b) {
  u32 larger;
  asm("max.f16x2 %0, %1, %2;" : "=r"(larger) : "r"(a), "r"(b));
  return larger;
}

/** `zeros`, and from the first pair on that is not finite no zeros any more, but NaN in that half. */
WARPLOOM_DEVICE u32 zeros_while_finite(u32 zeros, u32 pair) {
  u32 sum;
  asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(sum) : "r"(pair), "r"(0u), "r"(zeros));
  return sum;
}

/** Both halves together, whole numbers whose sum is below 1024. */
WARPLOOM_DEVICE int sum_of_halves(u32 pair) {
  // From 1024 to 2048 the lower ten bits of fp16 count.
  const u32 both = add_pairs(pair, pair >> 16 | pair << 16);
  return (int)(add_pairs(both, 0x64006400u) & 0x3ffu);
}
