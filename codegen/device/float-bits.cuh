// Bits of floats as integers, where these tell more for less.

/** Bits of negative infinity: of all numbers only negative ones that are not finite have as many or more. */
#define INFINITE_BITS 0xff800000u

/** The largest of `bits` and those of two floats, which the compiler then need not keep as integers beside the floats. */
WARPLOOM_DEVICE u32 largest_bits(u32 bits, float a, float b) {
  u32 largest;
  asm("{\n.reg .b32 x, y;\nmov.b32 x, %2;\nmov.b32 y, %3;\nmax.u32 x, x, y;\nmax.u32 %0, x, %1;\n}\n"
      : "=r"(largest) : "r"(bits), "f"(a), "f"(b));
  return largest;
}
