// Products of tiles for a chip: by mma.sync everywhere, by the asynchronous products of a warpgroup on Hopper,
// whose instruction names every sum, so that its text depends on the columns of a tile.
// Source: PTX ISA, wgmma.mma_async. Device side: device/estimate-tile.cuh, device/estimate-products.cuh.

import type { HalfType } from './vectors.ts';

/** What products are made by. */
export type ProductBackend = 'portable' | 'hopper';

/** What a kernel with products needs before its own text: primitives, after all others, and functions. */
export interface ProductParts {
  readonly primitives: readonly string[];
  readonly functions: string;
}

/** `columns`: of the tiles that the kernel multiplies, each once. */
export function productParts(
  backend: ProductBackend,
  dtype: HalfType,
  columns: readonly number[],
): ProductParts {
  if (backend === 'portable') return { primitives: ['matrix', 'estimate-products'], functions: '' };
  const steps = [...new Set(columns)].map((count) => stepText(dtype, count));
  return {
    primitives: ['tensor-copy', 'warpgroup'],
    functions: [...steps, multiplyText].join('\n\n'),
  };
}

const perLine = (items: readonly string[], width: number): string[] =>
  Array.from({ length: Math.ceil(items.length / width) }, (_, i) =>
    items.slice(i * width, (i + 1) * width).join(', '),
  );

/** d (+)= a b^T: 64 rows, `columns` columns, 16 elements along the sum; both in shared memory. */
function stepText(dtype: HalfType, columns: number): string {
  const count = columns / 2;
  const type = dtype === 'bf16' ? 'bf16' : 'f16';
  const places = Array.from({ length: count }, (_, i) => `%${i}`);
  const sums = Array.from({ length: count }, (_, i) => `"+f"(d[${i >> 2}][${i & 3}])`);
  return [
    `WARPLOOM_DEVICE void multiply_step(float (&d)[${columns / 8}][4], u64 a, u64 b, int add) {`,
    '  asm volatile(',
    `      "{\\n.reg .pred p;\\nsetp.ne.b32 p, %${count + 2}, 0;\\n"`,
    `      "wgmma.mma_async.sync.aligned.m64n${columns}k16.f32.${type}.${type} {"`,
    ...perLine(places, 16).map(
      (line, i, { length }) => `      "${line}${i < length - 1 ? ', ' : ''}"`,
    ),
    `      "}, %${count}, %${count + 1}, p, 1, 1, 0, 0;\\n}\\n"`,
    `      : ${perLine(sums, 4).join(',\n        ')}`,
    '      : "l"(a), "l"(b), "r"(add));',
    '}',
  ].join('\n');
}

const multiplyText = `WARPLOOM_DEVICE void tile_written() { shared_written(); }

// As device/estimate-tile.cuh says.
template <bool BF16, int LEFT, int RIGHT, int STEPS, int BLOCKS, typename Meanwhile>
WARPLOOM_DEVICE void multiply_tiles(float (&sums)[BLOCKS][4], u32 left, int row, u32 right, bool adds,
                                    Meanwhile meanwhile) {
  const u64 a = matrix_descriptor(left + row * LINE_BYTES, 16, 1024), b = matrix_descriptor(right, 16, 1024);
  pin(reinterpret_cast<float (&)[1][BLOCKS][4]>(sums));
  products_begin();
#pragma unroll
  for (int step = 0; step < STEPS; ++step)
    multiply_step(sums, a + ((step / 4 * LEFT * LINE_BYTES + step % 4 * 32) >> 4),
                  b + ((step / 4 * RIGHT * LINE_BYTES + step % 4 * 32) >> 4), step > 0 || adds);
  products_commit();
  meanwhile();
  products_wait<0>();
  pin(reinterpret_cast<float (&)[1][BLOCKS][4]>(sums));
}`;
