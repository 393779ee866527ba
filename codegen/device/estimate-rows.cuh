// The vectors that scores are products of, in 16-bit elements: tokens, pools of tokens, cells of tokens. Each
// kind answers `find(member, element)`: where elements [element, element + 8) of the vector of a member
// lie, or null where zeros stand for them.

/** Single tokens of one head; a member is a position. */
struct TokenRows {
  const u16* head;
  i64 row_stride;  // elements
  int offset;      // the position of row 0
  __device__ __forceinline__ const u16* find(int position, int element) const {
    return head + (i64)(position - offset) * row_stride + element;
  }
};

/** Means or maxima of blocks of tokens, made by a kernel before; `from` is the first member kept. */
template <int DIM> struct PooledRows {
  const u16* rows;
  int from;
  __device__ __forceinline__ const u16* find(int member, int element) const {
    return rows + (i64)(member - from) * DIM + element;
  }
};

/**
 * Cells of SIZE tokens as one long vector, missing tokens as zeros: keys in their order, queries REVERSED,
 * so that one product is the sum along the cell's antidiagonal.
 */
template <int SIZE, int DIM, bool REVERSED> struct CellRows {
  TokenRows tokens;
  Line line;
  __device__ __forceinline__ const u16* find(int member, int element) const {
    const int phase = element / DIM;
    const int position = member * SIZE + (REVERSED ? SIZE - 1 - phase : phase);
    return position >= line.start && position < line.end ? tokens.find(position, element % DIM) : nullptr;
  }
};
