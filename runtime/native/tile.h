// The tile products over any vector type: the register-blocked kernel, after the micro-kernels of
// GotoBLAS (Goto and van de Geijn, 2008) and BLIS, without their outer cache levels: a tile fits
// L2. Included once by each file that is compiled for one instruction set. All of it has internal
// linkage: the linker must never merge one set's functions with another's.
//
// A vector type V has `lanes`; the block size in registers, `blockRows` by `blockVectors`; and
// zero, all (one number in each lane), load, store, multiply, fma, zip. load and store take the
// number of lanes to touch when it is not all of them.
#pragma once

#include "products.h"

#include <cstddef>

namespace warploom {
namespace {

inline int smaller(int x, int y) { return x < y ? x : y; }

/// c = scale * (a b), or c += scale * (a b): all that a kernel needs to know.
struct Block {
  const float *a;
  std::ptrdiff_t aStride;
  const float *b;
  std::ptrdiff_t bStride;
  float *c;
  std::ptrdiff_t cStride;
  int steps;
  int tail; // columns in the last vector, 1..lanes
  float scale;
  bool add;
};

/// R rows by C vectors of c, kept in registers over all steps. `Padded`: b may be read beyond tail.
template <class V, int R, int C, bool Padded> void runBlock(const Block &block) {
  const float *a = block.a;
  const float *b = block.b;
  const std::ptrdiff_t aStride = block.aStride;
  const int tail = block.tail;
  const bool whole = Padded || tail == V::lanes;
  V sum[R][C];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int c = 0; c < C; ++c)
      sum[r][c] = V::zero();
  }
  for (int step = 0; step < block.steps; ++step, b += block.bStride) {
    V right[C];
#pragma GCC unroll 16
    for (int c = 0; c < C - 1; ++c)
      right[c] = V::load(b + c * V::lanes);
    right[C - 1] = whole ? V::load(b + (C - 1) * V::lanes) : V::load(b + (C - 1) * V::lanes, tail);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const V left = V::all(a[r * aStride + step]);
#pragma GCC unroll 16
      for (int c = 0; c < C; ++c)
        sum[r][c] = V::fma(left, right[c], sum[r][c]);
    }
  }
  const V scale = V::all(block.scale);
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int c = 0; c < C; ++c) {
      float *to = block.c + r * block.cStride + c * V::lanes;
      if (c < C - 1 || tail == V::lanes) {
        V::store(to,
                 block.add ? V::fma(sum[r][c], scale, V::load(to)) : V::multiply(sum[r][c], scale));
      } else {
        V::store(to, tail,
                 block.add ? V::fma(sum[r][c], scale, V::load(to, tail))
                           : V::multiply(sum[r][c], scale));
      }
    }
  }
}

/// Finds the kernel of `rows` by `vectors`: one instance for each size up to R by C.
template <class V, int R, int C, bool Padded>
void dispatch(const Block &block, int rows, int vectors) {
  if constexpr (R > 1) {
    if (rows < R)
      return dispatch<V, R - 1, C, Padded>(block, rows, vectors);
  }
  if constexpr (C > 1) {
    if (vectors < C)
      return dispatch<V, R, C - 1, Padded>(block, rows, vectors);
  }
  runBlock<V, R, C, Padded>(block);
}

/// All rows of one column panel; columns <= V::blockVectors * V::lanes.
template <class V, bool Padded> void multiply(Block block, int rows, int columns) {
  const int vectors = (columns + V::lanes - 1) / V::lanes;
  block.tail = columns - (vectors - 1) * V::lanes;
  for (int row = 0; row < rows; row += V::blockRows) {
    dispatch<V, V::blockRows, V::blockVectors, Padded>(block, smaller(rows - row, V::blockRows),
                                                       vectors);
    block.a += V::blockRows * block.aStride;
    block.c += V::blockRows * block.cStride;
  }
}

/// panel[d, j] = k[j, d] for d < depth, j < count; columns up to whole vectors become zero.
template <class V>
void transpose(const float *k, std::ptrdiff_t stride, int count, int depth, float *panel,
               int width) {
  constexpr int lanes = V::lanes;
  for (int j = 0; j < count; j += lanes) {
    for (int d = 0; d < depth; d += lanes) {
      const int rows = smaller(lanes, count - j);
      const int columns = smaller(lanes, depth - d);
      const float *from = k + j * stride + d;
      V square[lanes];
      if (rows == lanes && columns == lanes) {
#pragma GCC unroll 16
        for (int r = 0; r < lanes; ++r)
          square[r] = V::load(from + r * stride);
      } else {
        for (int r = 0; r < lanes; ++r)
          square[r] = r < rows ? V::load(from + r * stride, columns) : V::zero();
      }
      // Zipping row r with row r + lanes / 2 rotates the bits of (row, column) by one place; as
      // many rotations as a column has bits exchange the two.
#pragma GCC unroll 4
      for (int round = 1; round < lanes; round *= 2) {
        V zipped[lanes];
#pragma GCC unroll 16
        for (int r = 0; r < lanes / 2; ++r)
          V::zip(square[r], square[r + lanes / 2], zipped[2 * r], zipped[2 * r + 1]);
#pragma GCC unroll 16
        for (int r = 0; r < lanes; ++r)
          square[r] = zipped[r];
      }
      float *to = panel + static_cast<std::ptrdiff_t>(d) * width + j;
      if (columns == lanes) {
#pragma GCC unroll 16
        for (int r = 0; r < lanes; ++r)
          V::store(to + r * width, square[r]);
      } else {
        for (int r = 0; r < columns; ++r)
          V::store(to + r * width, square[r]);
      }
    }
  }
}

/// Keys become columns by a transposed copy of a panel of them, on the stack and at most 32 KiB.
template <class V>
void scoresOver(const float *q, const float *k, float *scores, int rows, int keys, int dim,
                float scale, int scoreStride) {
  constexpr int width = V::lanes * V::blockVectors;
  constexpr int depth = 8192 / width;
  alignas(64) float panel[depth * width];
  for (int j = 0; j < keys; j += width) {
    const int columns = smaller(width, keys - j);
    for (int d = 0; d < dim; d += depth) {
      const int steps = smaller(depth, dim - d);
      transpose<V>(k + static_cast<std::ptrdiff_t>(j) * dim + d, dim, columns, steps, panel, width);
      multiply<V, true>({q + d, dim, panel, width, scores + j, scoreStride, steps, 0, scale, d > 0},
                        rows, columns);
    }
  }
}

template <class V>
void accumulateOver(const float *p, const float *v, float *out, int rows, int keys, int dim,
                    int pStride) {
  constexpr int width = V::lanes * V::blockVectors;
  for (int d = 0; d < dim; d += width) {
    multiply<V, false>({p, pStride, v + d, dim, out + d, dim, keys, 0, 1.0f, true}, rows,
                       smaller(width, dim - d));
  }
}

} // namespace
} // namespace warploom
