// The tensor maps of a Hopper kernel, for random tensors: what the driver takes, and boxes whose elements are
// those of their rows.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { slabsOf } from '../../codegen/attention/hopper/knobs.ts';
import { type RowTensor, rowMap } from '../../codegen/attention/hopper/maps.ts';
import type { BoxMap } from '../../codegen/kernel.ts';
import { stridesOf } from '../../runtime/dtype.ts';
import { runs } from '../laws/settings.ts';

const tensors: fc.Arbitrary<RowTensor> = fc
  .record({
    dtype: fc.constantFrom('fp16' as const, 'bf16' as const),
    batch: fc.integer({ min: 1, max: 4 }),
    heads: fc.integer({ min: 1, max: 64 }),
    rows: fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 2 ** 20 })),
    dim: fc.integer({ min: 1, max: 32 }).map((n) => 8 * n),
    layout: fc.constantFrom('bhsd' as const, 'bshd' as const),
    boxRows: fc.oneof(
      fc.constant(64),
      fc.integer({ min: 1, max: 16 }).map((n) => 16 * n),
    ),
    boxHeads: fc.constantFrom(1, 2, 4),
  })
  .map(({ layout, ...tensor }) => {
    const { batch, heads, rows, dim } = tensor;
    const [first = 0, second = 0, third = 0] = stridesOf([batch, heads, rows, dim], layout);
    return { ...tensor, strides: { batch: first, head: second, row: third } };
  });

/** The byte that an element of a box comes from; undefined where it is outside the tensor, and so 0. */
function byteOf({ sizes, strides }: BoxMap, at: readonly number[]): number | undefined {
  if (at.some((index, axis) => index < 0 || index >= sizes[axis]!)) return undefined;
  return at.reduce((sum, index, axis) => sum + index * (axis === 0 ? 2 : strides[axis - 1]!), 0);
}

describe('the map of a tensor', () => {
  // CUDA driver API, cuTensorMapEncodeTiled.
  it('is one that the driver takes', () => {
    fc.assert(
      fc.property(tensors, (tensor) => {
        const { sizes, strides, box, swizzle } = rowMap(tensor);
        expect([sizes.length, strides.length, box.length]).toEqual([5, 4, 5]);
        for (const size of sizes) expect(size >= 1 && size <= 2 ** 32).toBe(true);
        for (const stride of strides)
          expect(stride >= 16 && stride % 16 === 0 && stride < 2 ** 40).toBe(true);
        for (const extent of box) expect(extent >= 1 && extent <= 256).toBe(true);
        expect(box[0]! * 2).toBe(swizzle);
      }),
      runs(1000),
    );
  });

  it('lets copies bring whole rows, and zeros after them', () => {
    const where = fc.record({
      at: fc.double({ min: 0, max: 0.999, noNaN: true }),
      past: fc.nat(40),
    });
    fc.assert(
      fc.property(tensors, fc.array(where, { minLength: 4, maxLength: 4 }), (tensor, drawn) => {
        const { batch, heads, rows, dim, strides, boxRows, boxHeads } = tensor;
        const map = rowMap(tensor);
        const pick = (i: number, size: number): number => Math.floor(drawn[i]!.at * size);
        const [b, h, row] = [pick(0, batch), pick(1, heads), pick(2, rows) + drawn[2]!.past];
        // Whole rows in one copy, or a copy for each slab of 64 columns (copier.ts).
        const copies =
          dim % 64 === 0 ? [0] : Array.from({ length: slabsOf(dim) }, (_, i) => 64 * i);
        const r = pick(3, boxRows);
        // A box may have rows of several heads, one after another.
        const head = h + Math.floor(drawn[0]!.at * boxHeads!);
        const bytes = copies.flatMap((column) =>
          Array.from({ length: map.box[3]! }, (_, slab) =>
            Array.from({ length: 64 }, (_, c) => byteOf(map, [column + c, row + r, head, slab, b])),
          ).flat(),
        );
        const from = 2 * (b * strides.batch + head * strides.head + (row + r) * strides.row);
        expect(bytes).toEqual(
          Array.from({ length: slabsOf(dim) * 64 }, (_, c) =>
            c < dim && row + r < rows && head < heads ? from + 2 * c : undefined,
          ),
        );
      }),
      runs(500),
    );
  });
});
