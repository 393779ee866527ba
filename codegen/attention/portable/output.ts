// The end of the portable kernel: outputs go through shared memory, so that a thread stores 16 bytes of a row.

import { firstRowText } from '../addresses.ts';
import type { KernelContext } from '../backend.ts';
import { resultsText } from '../results.ts';

/** The last lines of `attention`: from the sums of rows to the tensors. */
export function outputText(context: KernelContext): string {
  return `  // Rows without a key give 0 and -inf. The output is staged where Q was, each warp its own rows.
${resultsText(context, 'shared + r * out_pitch + j * 16 + column * 2')}
  __syncthreads();
  u16* to = ${firstRowText('out', context.segments)};
#pragma unroll 4
  for (int first = 0; first < q_tile * (value_dim / 8); first += threads) {
    const int at = first + (int)threadIdx.x, r = at / (value_dim / 8), chunk = at % (value_dim / 8);
    const int output_row = task.start + r - u.offset;
    if (r < q_tile && output_row >= 0 && output_row < u.q_len)
      *(uint4*)(to + (i64)output_row * p.out_row + chunk * 8) = *(const uint4*)(shared + r * out_pitch + chunk * 16);
  }`;
}
