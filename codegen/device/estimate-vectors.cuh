// The vectors that scores are products of: tokens, pools of tokens, cells of tokens. Each kind answers
// `at(member, d)`: element d of the vector of a member that exists.

template <bool BF16> WARPLOOM_DEVICE float float_of(u16 bits) {
  return BF16 ? float_of_bf16(bits) : float_of_fp16(bits);
}

/** Single tokens of one head; a member is a position. */
template <bool BF16> struct TokenVectors {
  const u16* head;
  i64 row_stride;  // elements
  int offset;      // the position of row 0
  __device__ __forceinline__ float at(int position, int d) const {
    return float_of<BF16>(head[(i64)(position - offset) * row_stride + d]);
  }
};

/** Means or maxima of blocks of tokens, made by a kernel before; `from` is the first member kept. */
template <int DIM> struct PooledVectors {
  const float* rows;
  int from;
  __device__ __forceinline__ float at(int member, int d) const { return rows[(i64)(member - from) * DIM + d]; }
};

/**
 * Cells of SIZE tokens as one long vector, missing tokens as zeros: keys in their order, queries REVERSED,
 * so that one product is the sum along the cell's antidiagonal.
 */
template <bool BF16, int SIZE, int DIM, bool REVERSED> struct CellVectors {
  TokenVectors<BF16> tokens;
  Line line;
  __device__ __forceinline__ float at(int member, int d) const {
    const int phase = d / DIM;
    const int position = member * SIZE + (REVERSED ? SIZE - 1 - phase : phase);
    return position >= line.start && position < line.end ? tokens.at(position, d % DIM) : 0.0f;
  }
};
