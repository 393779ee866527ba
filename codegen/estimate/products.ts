// Products of tiles for a chip: by mma.sync everywhere, by the asynchronous products of a warpgroup on Hopper,
// whose text depends on the columns of a tile. Device side: device/estimate-tile.cuh, device/estimate-products.cuh.

import { productText } from '../wgmma.ts';
import type { ProductParts } from './text.ts';
import type { HalfType } from './vectors.ts';

/** What products are made by. */
export type ProductBackend = 'portable' | 'hopper';

/** `columns`: of the tiles that the kernel multiplies, each once; `of`: how these lie in shared memory. */
export function productParts(
  backend: ProductBackend,
  dtype: HalfType,
  columns: readonly number[],
  of: keyof typeof texts = 'tiles',
): ProductParts {
  if (backend === 'portable') return { primitives: ['matrix', 'estimate-products'], functions: '' };
  // One loop has the first step and the others: whether a step adds is known as it runs.
  const step = { name: 'multiply_step', dtype, from: 'shared', result: 'either' } as const;
  const steps = [...new Set(columns)].map((count) => productText({ ...step, columns: count }));
  return {
    primitives: ['tensor-copy', 'warpgroup'],
    functions: [...steps, writtenText, texts[of]].join('\n\n'),
  };
}

const writtenText = 'WARPLOOM_DEVICE void tile_written() { shared_written(); }';

const multiplyText = `// As device/estimate-tile.cuh says.
template <bool BF16, int LEFT, int RIGHT, int STEPS, int BLOCKS, typename Meanwhile>
WARPLOOM_DEVICE void multiply_tiles(float (&sums)[BLOCKS][4], u32 left, int row, u32 right, bool adds,
                                    Meanwhile meanwhile) {
  const u64 a = matrix_descriptor(left + row * LINE_BYTES, 16, 1024), b = matrix_descriptor(right, 16, 1024);
  float (&d)[1][BLOCKS][4] = reinterpret_cast<float (&)[1][BLOCKS][4]>(sums);
  pin(d);
  products_begin();
#pragma unroll
  for (int step = 0; step < STEPS; ++step)
    multiply_step(d, a + ((step / 4 * LEFT * LINE_BYTES + step % 4 * 32) >> 4),
                  b + ((step / 4 * RIGHT * LINE_BYTES + step % 4 * 32) >> 4), step > 0 || adds);
  products_commit();
  meanwhile();
  products_wait<0>();
  pin(d);
}`;

const multiplyBoxesText = `// As device/estimate-probe-boxes.cuh says.
template <int LEFT_LINE, int LEFT_ROWS, int RIGHT_LINE, int STEPS, int BLOCKS, typename Halfway, typename Meanwhile>
WARPLOOM_DEVICE void multiply_boxes(float (&sums)[BLOCKS][4], u32 left, u32 right, Halfway halfway, Meanwhile meanwhile) {
  const u64 a = matrix_descriptor(left, 16, LEFT_ROWS), b = matrix_descriptor(right, 16, 1024);
  float (&d)[1][BLOCKS][4] = reinterpret_cast<float (&)[1][BLOCKS][4]>(sums);
  pin(d);
  products_begin();
#pragma unroll
  for (int step = 0; step < STEPS; ++step) {
    multiply_step(d, a + ((step / 4 * LEFT_LINE + step % 4 * 32) >> 4), b + ((step / 4 * RIGHT_LINE + step % 4 * 32) >> 4), step > 0);
    if (step + 1 == STEPS / 2) products_commit();
  }
  products_commit();
  products_wait<1>();
  halfway();
  meanwhile();
  products_wait<0>();
  pin(d);
}`;

const multiplyLinesText = `// As device/estimate-cell-boxes.cuh says.
template <int BLOCKS> WARPLOOM_DEVICE void multiply_line(float (&sums)[BLOCKS][4], u32 left, u32 right, bool adds) {
  const u64 a = matrix_descriptor(left, 16, 1024), b = matrix_descriptor(right, 16, 1024);
  // Halves, since no product of 256 columns fits the registers of three warpgroups.
  constexpr int half = BLOCKS / 2;
  float (&low)[1][half][4] = reinterpret_cast<float (&)[1][half][4]>(sums[0]);
  float (&high)[1][half][4] = reinterpret_cast<float (&)[1][half][4]>(sums[half]);
  products_begin();
#pragma unroll
  for (int step = 0; step < 4; ++step) {
    multiply_step(low, a + 2 * step, b + 2 * step, step > 0 || adds);
    multiply_step(high, a + 2 * step, b + (half * 8 * LINE_BYTES >> 4) + 2 * step, step > 0 || adds);
  }
  products_commit();
}
template <int pending, int BLOCKS> WARPLOOM_DEVICE void lines_wait(float (&sums)[BLOCKS][4]) {
  products_wait<pending>();
  // Only when nothing is under way may anything else look at them.
  if (pending == 0) pin(reinterpret_cast<float (&)[1][BLOCKS][4]>(sums));
}`;

const texts = { tiles: multiplyText, boxes: multiplyBoxesText, lines: multiplyLinesText } as const;
