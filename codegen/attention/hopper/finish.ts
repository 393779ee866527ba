// The end of a tile of queries: sums become outputs and log-sums, what left the range of floats is told, and the
// outputs leave through shared memory.

import { when } from '../../text.ts';
import { firstRowText, logSumText } from '../addresses.ts';
import type { KernelContext } from '../backend.ts';
import { copiesOf } from './copier.ts';
import { type HopperKnobs, isApart, type SharedLayout } from './knobs.ts';

const log2 = '0.6931471805599453f';

/** `finish` of a consumer. */
export function finishText(
  { knobs, valueDim, dtype }: KernelContext<HopperKnobs>,
  { outReplacesQ }: SharedLayout,
): string {
  const { speculative } = knobs;
  return `  // Sums become outputs, and leave through shared memory.
  auto finish = [&](int number, bool alone) {
    Task& done = task_of(number);
    const Unit& u = done.unit;
    const float total[2] = {quad_sum(softmax.sum[0][0] + softmax.sum[0][1]), quad_sum(softmax.sum[1][0] + softmax.sum[1][1])};
${when(
  speculative,
  `    bool failed = false;
    const bool speculated = !alone && !done.careful;
`,
)}#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int output_row = done.start + query_of(row) + 8 * half - u.offset;
      const bool inside = output_row >= 0 && output_row < u.q_len;
      const float inverse = total[half] > 0.f ? __fdividef(1.f, total[half]) : total[half] == 0.f ? 0.f : total[half];  // NaN stays
      float largest = 0.f;  // NaN where an output is
#pragma unroll
      for (int j = 0; j < value_blocks; ++j)
#pragma unroll
        for (int e = 2 * half; e < 2 * half + 2; ++e) {
          out[0][j][e] *= inverse;
          largest = max_or_nan(largest, fabsf(out[0][j][e]));
        }
      bool good = total[half] < POSITIVE_INFINITY && largest <= POSITIVE_INFINITY;
${when(
  speculative,
  `      if (speculated) {
        failed = failed || (inside && !(good && largest < POSITIVE_INFINITY && total[half] < MOST_SUM && total[half] > LEAST_SUM));
        good = true;
      }
`,
)}      if (!inside) continue;
      if (column == 0)
        ${logSumText(false, 'head_of(u, row)')} =
            total[half] > 0.f ? (softmax.reference[half] + __log2f(total[half])) * ${log2} : total[half] == 0.f ? NEGATIVE_INFINITY : total[half];
      if (!good) atomicMin(p.error, (u64)(u.batch * p.heads + head_of(u, row)) << 32 | (u32)output_row);
    }
${when(
  speculative,
  `    if (__any_sync(FULL_WARP, failed) && lane == 0) atomicOr(&done.failed, 1);
`,
)}    const u32 staged = tiles.out + group * out_group_bytes;
    if (elected) {
${when(!outReplacesQ, '      store_wait_read();  // what was staged before has left\n')}${when(speculative, '      if (done.careful) store_wait();  // the first attempt must not be stored after this one\n')}    }
    threads_wait(4 + group, 128);
    const int matrix = lane >> 3, matrix_row = warp * 16 + (matrix & 1) * 8 + (lane & 7);
#pragma unroll
    for (int j = 0; j < value_blocks; j += 2) {
      const int chunk = (j & 7) + (matrix >> 1);
      store_matrices(staged + matrix_row * 128 + (j >> 3) * 8192 + ((chunk ^ (matrix_row & 7)) << 4),
                     pack_${dtype}(out[0][j][0], out[0][j][1]),
                     pack_${dtype}(out[0][j][2], out[0][j][3]),
                     pack_${dtype}(out[0][j + 1][0], out[0][j + 1][1]),
                     pack_${dtype}(out[0][j + 1][2], out[0][j + 1][3]));
    }
    const int first = done.start + query_of(group * 64) - u.offset;  // of the tile; the task may be gone when its outputs are stored
    shared_written();
    threads_wait(4 + group, 128);
    if (first < 0) {
      // A box must not begin before its tensor.
      u16* to = ${firstRowText('out', false, 'head_of(u, group * 64)')};
#pragma unroll 1
      for (int at = threadIdx.x & 127; at < 64 * (value_dim / 8); at += 128) {
        const int r = at / (value_dim / 8), chunk = at % (value_dim / 8);
        const int output_row = first + query_of(r);
        if (output_row >= 0 && output_row < u.q_len)
          *(uint4*)(to + (i64)(head_of(u, r) - u.head) * p.out_head + (i64)output_row * p.out_row + chunk * 8) =
              shared_load(staged + r * 128 + (chunk >> 3) * 8192 + (((chunk & 7) ^ (r & 7)) << 4));
      }
${when(outReplacesQ || isApart(knobs), '      threads_wait(4 + group, 128);  // nobody reads the task or the staged rows any more\n')}    }
    if (elected) {
${storesText(valueDim)}
      store_commit();
${when(outReplacesQ, '      store_wait_read();\n      barrier_arrive(c.q_empty[0][group]);\n')}${when(speculative, '      barrier_arrive(c.done[number % task_count]);\n')}    }
    __syncwarp();
  };`;
}

/** The boxes that the outputs of a warpgroup are stored by. */
function storesText(dim: number): string {
  const stores = Array.from({ length: copiesOf(dim) }, (_, slab) => {
    const offset = slab === 0 ? '' : ` + ${slab * 8192}`;
    return `store_box(p.out_map, staged${offset}, ${slab * 64}, first, head_of(u, group * 64), 0, u.batch);`;
  });
  return `      if (first >= 0 && first < u.q_len) {
${stores.map((store) => `        ${store}`).join('\n')}
      }`;
}
