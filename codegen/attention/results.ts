// What becomes of a row once its last key is summed: outputs, the log-sum, and the report of what is not a
// number.

import { logSumText } from './addresses.ts';
import type { KernelContext } from './backend.ts';

/**
 * Writes the log-sums of a lane's rows, and their outputs in pairs to `place`: the address of row `r` of the
 * tile, columns `8 * j + column` and the next. A row without a key gives 0 and -inf. Needs `task.start`, the
 * lane's `row` and `column`, and what `absorb` has summed up.
 */
export function resultsText({ dtype, segments }: KernelContext, place: string): string {
  return `#pragma unroll
  for (int i = 0; i < row_blocks; ++i)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int r = row + 16 * i + 8 * half, output_row = task.start + r - u.offset;
      const float total = quad_sum(sum[i][half]);
      const float inverse = total > 0.f ? 1.f / total : total == 0.f ? 0.f : total;  // NaN stays
      bool good = total < POSITIVE_INFINITY;
#pragma unroll
      for (int j = 0; j < value_blocks; ++j) {
        const float a = out[i][j][2 * half] * inverse, b = out[i][j][2 * half + 1] * inverse;
        good = good && a == a && b == b;
        *(u32*)(${place}) = pack_${dtype}(a, b);
      }
      if (output_row < 0 || output_row >= u.q_len) continue;
      if (column == 0)
        ${logSumText(segments)} =
            total > 0.f ? highest[i][half] * scale * 0.6931471805599453f + __logf(total) : total == 0.f ? NEGATIVE_INFINITY : total;
      if (!good) atomicMin(p.error, (u64)(u.batch * p.heads + u.head) << 32 | (u32)output_row);
    }`;
}
