// Tensors: what goes in comes out, in every dtype and layout, and what does not fit is refused.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ShapeError } from '../../dsl/diagnostic.ts';
import type { DType, Layout } from '../../runtime/dtype.ts';
import { roundTo } from '../../runtime/half.ts';
import { Tensor, tensor } from '../../runtime/tensor.ts';

const floats = fc.constantFrom('fp32' as const, 'fp16' as const, 'bf16' as const);
const layouts = fc.constantFrom<Layout>('bhsd', 'bshd');
const size = fc.integer({ min: 0, max: 5 });
const shapes = fc.tuple(size, size, size, fc.constantFrom(1, 3, 40));

function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof ShapeError) return error.code;
    throw error;
  }
  return 'none';
}

describe('tensor', () => {
  it('rounds numbers once to the dtype and reads them back', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.double()), floats, async (numbers, dtype) => {
        const t = tensor(numbers, { dtype, shape: [numbers.length] });
        expect([...(await t.read())]).toEqual(numbers.map((x) => roundTo(dtype, x)));
      }),
    );
  });

  it('holds every element in memory that workers share', () => {
    for (const t of [tensor([1]), tensor.zeros([2, 2]), tensor.random([3]).to('fp16').slice(1)]) {
      expect(t.data.buffer).toBeInstanceOf(SharedArrayBuffer);
    }
    const foreign = new Tensor({ data: Float32Array.of(1, 2), shape: [2], dtype: 'fp32' });
    expect(foreign.data.buffer).toBeInstanceOf(SharedArrayBuffer);
    const { data, shape, dtype, layout } = tensor.random([1, 2, 3, 4]);
    expect(new Tensor({ data, shape, dtype, layout }).data).toBe(data);
  });

  it('takes a Uint16Array as bits and a Float32Array as values', () => {
    expect(tensor(Uint16Array.of(0x3c00), { dtype: 'fp16' }).at(0)).toBe(1);
    expect(tensor(Uint16Array.of(0x3f80), { dtype: 'bf16' }).at(0)).toBe(1);
    expect([...tensor(Float32Array.of(1, -2), { dtype: 'fp16' }).data]).toEqual([0x3c00, 0xc000]);
    expect(tensor(Int32Array.of(7)).dtype).toBe('i32');
  });

  it('infers the shape of nested arrays, in the memory order of the layout', () => {
    const nested = [[[[1, 2]], [[3, 4]], [[5, 6]]]];
    expect(tensor(nested).shape).toEqual([1, 3, 1, 2]);
    const moved = tensor(nested, { layout: 'bshd' });
    expect(moved.shape).toEqual([1, 1, 3, 2]);
    expect(moved.at(0, 0, 2, 1)).toBe(6);
    expect(tensor([Float32Array.of(1, 2), Float32Array.of(3, 4)]).shape).toEqual([2, 2]);
  });

  it('keeps its values in every layout, and strides find them', async () => {
    await fc.assert(
      fc.asyncProperty(shapes, layouts, layouts, floats, async (shape, from, to, dtype) => {
        const t = tensor.random(shape, { layout: from, dtype, seed: 3 });
        const other = t.withLayout(to);
        expect(other.layout).toBe(to);
        expect(await other.read()).toEqual(await t.read());
        expect(other.data).toEqual(tensor.random(shape, { layout: to, dtype, seed: 3 }).data);
        const values = await t.read();
        const last = shape.map((n) => n - 1);
        if (values.length > 0) expect(other.at(...last)).toBe(values.at(-1));
      }),
      { numRuns: 60 },
    );
  });

  it('slices positions of the sequence, whatever the layout', async () => {
    const plain = tensor.random([2, 3, 7, 4], { dtype: 'bf16' });
    for (const t of [plain, plain.withLayout('bshd')]) {
      const part = t.slice(2, 5);
      expect(part.shape).toEqual([2, 3, 3, 4]);
      expect(part.layout).toBe(t.layout);
      for (let b = 0; b < 2; b++) {
        for (let h = 0; h < 3; h++) {
          for (let s = 0; s < 3; s++) expect(part.at(b, h, s, 3)).toBe(t.at(b, h, s + 2, 3));
        }
      }
      expect(t.slice(-1).at(1, 2, 0, 0)).toBe(t.at(1, 2, 6, 0));
      expect(t.slice(1, 2, 1).at(1, 0, 5, 0)).toBe(t.at(1, 1, 5, 0));
      expect(await t.slice(0).read()).toEqual(await t.read());
    }
    expect(tensor([5, 6, 7]).slice(1).at(0)).toBe(6);
  });

  it('converts between dtypes with one rounding', async () => {
    const t = tensor.random([100_000], { seed: 9, scale: 3 });
    const half = await t.to('fp16').read();
    expect(half).toEqual((await t.read()).map((x) => roundTo('fp16', x)));
    // Just above a tie of bf16; rounded to fp32 first, it would be that tie and go down.
    const above = tensor([2 ** 24 + 2 ** 16 + 1], { dtype: 'i32' });
    expect(above.to('bf16').at(0)).toBe(2 ** 24 + 2 ** 17);
    expect(
      tensor([3, -(2 ** 31)])
        .to('i32')
        .at(1),
    ).toBe(-(2 ** 31));
    expect(t.to('fp32')).toBe(t);
  });

  it('is random by seed, with the values of fp32 rounded in other dtypes', async () => {
    const a = tensor.random([4, 33], { seed: 7 });
    expect(tensor.random([4, 33], { seed: 7 }).data).toEqual(a.data);
    expect(tensor.random([4, 33], { seed: 8 }).data).not.toEqual(a.data);
    const scaled = await tensor.random([4, 33], { seed: 7, scale: 0.5 }).read();
    expect(scaled).toEqual((await a.read()).map((x) => x / 2));
  });

  it('fills and shows itself', () => {
    expect([...tensor.full([3], 2.5, { dtype: 'fp16' }).data]).toEqual([0x4100, 0x4100, 0x4100]);
    expect(String(tensor.zeros([1, 2, 3, 4], { dtype: 'bf16', layout: 'bshd' }))).toBe(
      'Tensor bf16 [1, 2, 3, 4] bshd',
    );
    expect(tensor([4], { shape: [] }).at()).toBe(4);
  });

  it('lets dropped tensors be collected', () => {
    // 2.7 GB in all; V8 does not count shared memory by itself.
    for (let i = 0; i < 40; i++) tensor.zeros([2 ** 24]).data.fill(1);
    expect(process.memoryUsage().rss).toBeLessThan(1.5e9);
  });
});

describe('what does not fit is refused', () => {
  const i32 = (x: number) => () => tensor([x], { dtype: 'i32' });
  it.each<[string, string, () => unknown]>([
    ['too few elements', 'T012', () => tensor([1, 2, 3], { shape: [2, 2] })],
    ['a negative size', 'T012', () => tensor.zeros([-1])],
    ['a size of NaN', 'T012', () => tensor.zeros([Number.NaN])],
    ['a fractional size', 'T012', () => tensor.zeros([1.5])],
    ['a product beyond numbers', 'T012', () => tensor.zeros([2 ** 40, 2 ** 40])],
    ['more than memory', 'T012', () => tensor.zeros([2 ** 46])],
    ['nine axes', 'T001', () => tensor.zeros([1, 1, 1, 1, 1, 1, 1, 1, 1])],
    ['a layout for rank 3', 'T001', () => tensor.zeros([1, 2, 3], { layout: 'bshd' })],
    ['an unknown layout', 'T001', () => tensor.zeros([1, 2, 3, 4], { layout: 'bsdh' as Layout })],
    ['ragged arrays', 'T012', () => tensor([[1, 2], [3]])],
    [
      'arrays nested otherwise',
      'T012',
      () =>
        tensor(
          [
            [1, 2],
            [3, 4],
          ],
          { shape: [4] },
        ),
    ],
    ['texts', 'T012', () => tensor(['1'] as unknown as number[])],
    ['numbers beside arrays', 'T012', () => tensor([[1], 2] as unknown as number[][])],
    ['holes', 'T012', () => tensor(new Array(2))],
    ['no array', 'T012', () => tensor(3 as unknown as number[])],
    ['bits without a dtype', 'T003', () => tensor(Uint16Array.of(1))],
    ['random integers', 'T003', () => tensor.random([2], { dtype: 'i32' as 'fp32' })],
    ['an infinite scale', 'T010', () => tensor.random([2], { scale: Number.POSITIVE_INFINITY })],
    ['a negative seed', 'T006', () => tensor.random([2], { seed: -1 })],
    ['NaN as i32', 'T010', i32(Number.NaN)],
    ['a fraction as i32', 'T012', i32(0.5)],
    ['2^31 as i32', 'T009', i32(2 ** 31)],
    ['floats to i32', 'T012', () => tensor([0.5]).to('i32')],
    ['too few indices', 'T001', () => tensor([[1]]).at(0)],
    ['an index outside', 'T002', () => tensor([1]).at(1)],
    ['positions outside', 'T002', () => tensor([1]).slice(0, 2)],
    ['a number for a shape', 'T001', () => tensor.random(5 as never)],
    ['no shape', 'T001', () => new Tensor({} as never)],
    ['a value that is no number', 'T012', () => tensor.full([2], 's' as never)],
    ['an axis that is not there', 'T001', () => tensor([1]).slice(0, 1, 3)],
    [
      'elements of another kind',
      'T003',
      () => new Tensor({ data: Float32Array.of(1), shape: [1], dtype: 'fp16' as DType }),
    ],
  ])('%s: %s', (_, code, action) => {
    expect(codeOf(action)).toBe(code);
  });

  it('says what and how to mend it', () => {
    expect(() => tensor([1, 2, 3], { shape: [2, 2] })).toThrowErrorMatchingInlineSnapshot(`
      [ShapeError: error[T012]: 3 elements
        = help: the shape [2, 2] takes 4]
    `);
    expect(i32(2 ** 31)).toThrowErrorMatchingInlineSnapshot(`
      [ShapeError: error[T009]: element 0 is 2147483648
        = help: an i32 is a whole number in [-2^31, 2^31); use a float dtype for others]
    `);
  });
});
