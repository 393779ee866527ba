// Products of the portable kernel: fragments by ldmatrix, mma.sync m16n8k16.

import type { KernelContext } from '../backend.ts';
import { accumulatorsText } from '../softmax.ts';

/** `multiply_scores`, `multiply_values` and the addresses of fragments. Needs `Scores` before it. */
export function productsText({ dtype }: KernelContext): string {
  return `// ---- products: Q K^T and P V, fragments from shared memory ----

// Lane l loads row l % 16 of a fragment's 16 rows, and 16-byte chunk l / 16 of its two.
WARPLOOM_DEVICE u32 fragment_address(u32 tile, int pitch, int row) {
  const int lane = threadIdx.x & 31;
  return tile + (row + (lane & 15)) * pitch + (lane >> 4) * 16;
}

// K is the second operand as it lies: its 16 keys by two chunks in another order.
WARPLOOM_DEVICE u32 key_address(u32 tile) {
  const int lane = threadIdx.x & 31;
  return tile + ((lane & 7) + (lane >> 4) * 8) * k_pitch + (lane >> 3 & 1) * 16;
}

WARPLOOM_DEVICE void multiply_scores(u32 q_address, u32 k_address, Scores& s) {
#pragma unroll
  for (int i = 0; i < row_blocks; ++i)
#pragma unroll
    for (int j = 0; j < score_blocks; ++j) s[i][j][0] = s[i][j][1] = s[i][j][2] = s[i][j][3] = 0.f;
#pragma unroll
  for (int step = 0; step < head_steps; ++step) {
    u32 q[row_blocks][4];
#pragma unroll
    for (int i = 0; i < row_blocks; ++i) load_matrices(q[i], q_address + 16 * i * q_pitch + step * 32);
#pragma unroll
    for (int n = 0; n < score_blocks / 2; ++n) {
      u32 k[4];
      load_matrices(k, k_address + 16 * n * k_pitch + step * 32);
#pragma unroll
      for (int i = 0; i < row_blocks; ++i) {
        multiply_${dtype}(s[i][2 * n], q[i], k[0], k[1]);
        multiply_${dtype}(s[i][2 * n + 1], q[i], k[2], k[3]);
      }
    }
  }
}

${accumulatorsText}

WARPLOOM_DEVICE void multiply_values(const Weights& weights, u32 v_address, Output& out) {
#pragma unroll
  for (int step = 0; step < key_steps; ++step)
#pragma unroll
    for (int n = 0; n < value_blocks / 2; ++n) {
      u32 v[4];
      load_matrices_transposed(v, v_address + 16 * step * v_pitch + n * 32);
#pragma unroll
      for (int i = 0; i < row_blocks; ++i) {
        multiply_${dtype}(out[i][2 * n], weights[i][step], v[0], v[1]);
        multiply_${dtype}(out[i][2 * n + 1], weights[i][step], v[2], v[3]);
      }
    }
}`;
}
