// The vectors that scores are products of, in 16-bit elements: tokens, pools of tokens, cells of tokens. Each
// kind answers `find(member, element)`: where elements [element, element + 8) of the vector of a member
// lie, or null where zeros stand for them. It is start(member) + offset(element) where `has(member, element)`,
// which holds for all elements of a whole member. Starts of tokens and pools are `apart()` from each other.

/** Single tokens of one head; a member is a position. */
struct TokenRows {
  const u16* head;
  i64 row_stride;  // elements
  int first;       // the position of row 0
  __device__ __forceinline__ const u16* start(int position) const { return head + (i64)(position - first) * row_stride; }
  __device__ __forceinline__ i64 apart() const { return row_stride; }
  __device__ __forceinline__ i64 offset(int element) const { return element; }
  __device__ __forceinline__ bool is_whole(int) const { return true; }
  __device__ __forceinline__ bool has(int, int) const { return true; }
  __device__ __forceinline__ const u16* find(int position, int element) const { return start(position) + element; }
};

/** Means or maxima of blocks of tokens, made by a kernel before; `from` is the first member kept. */
template <int DIM> struct PooledRows {
  const u16* rows;
  int from;
  __device__ __forceinline__ const u16* start(int member) const { return rows + (i64)(member - from) * DIM; }
  __device__ __forceinline__ i64 apart() const { return DIM; }
  __device__ __forceinline__ i64 offset(int element) const { return element; }
  __device__ __forceinline__ bool is_whole(int) const { return true; }
  __device__ __forceinline__ bool has(int, int) const { return true; }
  __device__ __forceinline__ const u16* find(int member, int element) const { return start(member) + element; }
};

/**
 * Cells of SIZE tokens as one long vector, missing tokens as zeros: keys in their order, queries REVERSED,
 * so that one product is the sum along the cell's antidiagonal.
 */
template <int SIZE, int DIM, bool REVERSED> struct CellRows {
  TokenRows tokens;
  Line line;
  /** The token that is the part of a cell from `element` on. */
  __device__ __forceinline__ int token(int element) const {
    return REVERSED ? SIZE - 1 - element / DIM : element / DIM;
  }
  __device__ __forceinline__ const u16* start(int member) const { return tokens.start(member * SIZE); }
  __device__ __forceinline__ i64 offset(int element) const { return token(element) * tokens.row_stride + element % DIM; }
  __device__ __forceinline__ bool is_whole(int member) const {
    return member * SIZE >= line.start && (member + 1) * SIZE <= line.end;
  }
  __device__ __forceinline__ bool has(int member, int element) const {
    const int position = member * SIZE + token(element);
    return position >= line.start && position < line.end;
  }
  __device__ __forceinline__ const u16* find(int member, int element) const {
    return has(member, element) ? start(member) + offset(element) : nullptr;
  }
};
