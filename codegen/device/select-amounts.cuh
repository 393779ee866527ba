// What weights count for where a mass is looked for: integers, whose sum no order changes.

/**
 * Amounts of weights in units so small that the sum of a row just fits 62 bits. NaN counts nothing, wherever it is
 * counted: the amounts that are looked for have to be there.
 */
struct Amounts {
  int shift;

  /** Of a row of `count` weights, the largest of them, which is finite and not negative, being `largest`. */
  __device__ __forceinline__ Amounts(float largest, int count) {
    const int exponent = (int)((u32)__float_as_int(largest) >> 23) - 126;  // largest < 2^exponent
    shift = 61 - (32 - __clz(max(count, 1))) - exponent;
  }
  __device__ __forceinline__ u64 of(float weight) const {
    return (u64)(ldexpf(fminf(fmaxf(weight, 0.0f), LARGEST_FLOAT), shift) + 0.5f);
  }
  /** The weight that counts about so much. */
  __device__ __forceinline__ float weight_of(u64 amount) const { return ldexpf((float)amount, -shift); }
};

/** What has to be reached of a total. */
WARPLOOM_DEVICE u64 amount_of_mass(float mass, u64 total) { return (u64)ceil((double)mass * (double)total); }
