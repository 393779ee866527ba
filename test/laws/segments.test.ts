// Packed sequences: each is an attention call of its own, on the oracle, the CPU device and emulated kernels.

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { afterAll } from 'vitest';
import { count, f32 } from '../../dsl/given.ts';
import { byHead } from '../../dsl/heads.ts';
import { type AnyPattern, pattern } from '../../dsl/pattern.ts';
import { compile } from '../../runtime/attend.ts';
import { type Device, openDevice } from '../../runtime/device.ts';
import type { FloatType, Layout } from '../../runtime/dtype.ts';
import { reference } from '../../runtime/reference/attention.ts';
import { type Tensor, tensor } from '../../runtime/tensor.ts';
import { compareWithOracle, showDisagreements } from '../../runtime/testing/agree.ts';
import { inline } from './attention.ts';
import { law, runs } from './settings.ts';

const emulated = await openDevice('emulated:sm_80');
afterAll(() => emulated.dispose());

const tiles = { qTile: 32, kTile: 16, warps: 2, stages: 2 };

/** A mask of everything that a pair tells, so that every size and index matters; a bias per sequence. */
const curious = pattern('curious', { window: count.default(20), bias: f32('batch', 'head') })
  .mask(
    ({ q, k, row, qLen, kLen, head }, { window }) =>
      k <= q && (q - k < window + head || k * 3 < kLen || row * 2 >= qLen),
  )
  .score(({ s, batch, head }, { bias }) => s + bias.at(batch, head))
  .schedule(tiles);

/** Whether a query sees anything depends on the number of its sequence; queries need not be among the keys. */
const counted = pattern('counted', { window: count.default(20), bias: f32('batch', 'head') })
  .mask(
    ({ q, k, batch, kLen }, { window, bias }) =>
      (q - k < window && k - q < 9 + batch && k < kLen - batch) || bias.at(batch, 0) > 1,
  )
  .schedule(tiles);

const both = [curious, counted];

interface Packed {
  readonly lengths: readonly (readonly [q: number, k: number])[];
  readonly kvHeads: number;
  readonly group: number;
  readonly headDim: number;
  readonly valueDim: number;
  readonly dtype: FloatType;
  readonly layouts: readonly Layout[];
  readonly window: number;
  readonly seed: number;
}

const length = fc.oneof(fc.constantFrom(0, 1, 15, 16, 31, 33), fc.nat(75));
const layout = fc.constantFrom<Layout>('bhsd', 'bshd');

const packed = (...dtypes: readonly FloatType[]): fc.Arbitrary<Packed> =>
  fc.record({
    lengths: fc.array(
      fc.oneof(
        fc.tuple(length, length),
        length.map((n) => [n, n] as [number, number]),
      ),
      { maxLength: 5 },
    ),
    kvHeads: fc.integer({ min: 1, max: 2 }),
    group: fc.integer({ min: 1, max: 3 }),
    headDim: fc.constantFrom(16, 8, 24),
    valueDim: fc.constantFrom(16, 8, 24),
    dtype: fc.constantFrom(...dtypes),
    layouts: fc.tuple(layout, layout, layout),
    window: fc.constantFrom(0, 1, 20, 1000),
    seed: fc.nat(2 ** 20),
  });

const startsOf = (lengths: readonly number[]): number[] => {
  const starts = [0];
  for (const one of lengths) starts.push(starts.at(-1)! + one);
  return starts;
};

/** The tensors of a packed call. */
function callOf({ lengths, kvHeads, group, headDim, valueDim, dtype, layouts, seed }: Packed) {
  const segments = {
    q: startsOf(lengths.map(([q]) => q)),
    k: startsOf(lengths.map(([, k]) => k)),
  };
  const heads = kvHeads * group;
  const [rows, keys] = [segments.q.at(-1)!, segments.k.at(-1)!];
  const random = (shape: number[], i: number): Tensor =>
    tensor.random(shape, { dtype, seed: seed + i, layout: layouts[i]! });
  return {
    heads,
    segments,
    q: random([1, heads, rows, headDim], 0),
    k: random([1, kvHeads, keys, headDim], 1),
    v: random([1, kvHeads, keys, valueDim], 2),
    bias: tensor.random([lengths.length, heads], { seed: seed + 3 }),
  };
}

type Call = ReturnType<typeof callOf>;

/**
 * The call of sequence `i` alone. Its number is its batch index, so it is there `i + 1` times; the last
 * batch entry counts.
 */
function aloneOf({ q, k, v, bias, segments }: Call, i: number) {
  const repeated = (one: Tensor, starts: readonly number[]): Tensor => {
    const own = one.slice(starts[i]!, starts[i + 1]!);
    const { length: size } = own.data;
    const { shape, dtype, layout: order } = own;
    const data = new (own.data.constructor as Float32ArrayConstructor)(size * (i + 1));
    for (let at = 0; at <= i; at += 1) data.set(own.data as Float32Array, at * size);
    return tensor(data, { shape: shape.with(0, i + 1), dtype, layout: order });
  };
  return {
    q: repeated(q, segments.q),
    k: repeated(k, segments.k),
    v: repeated(v, segments.k),
    bias: bias.slice(0, i + 1),
  };
}

/** The rows of sequence `i` of a packed result, and of its own call: [heads, rows, size] each. */
function pairOf(
  whole: ArrayLike<number>,
  own: ArrayLike<number>,
  { heads, segments: { q } }: Call,
  i: number,
  size: number,
): [number[], number[]] {
  const rows = q[i + 1]! - q[i]!;
  const total = q.at(-1)!;
  const part = Array.from({ length: heads * rows * size }, (_, at) => {
    const head = Math.floor(at / (rows * size));
    return whole[(head * total + q[i]!) * size + (at % (rows * size))]!;
  });
  return [part, Array.from(own).slice(i * heads * rows * size)];
}

/** Every sequence of a packed call on a device is, to the bit, its own call there; and the oracle's. */
const sequencesAreCalls = (device: Device, ...dtypes: readonly FloatType[]) =>
  fc.asyncProperty(packed(...dtypes), fc.constantFrom(...both), async (sample, made) => {
    const call = callOf(sample);
    const { heads, segments, ...tensors } = call;
    const { kvHeads, headDim, valueDim, dtype, window } = sample;
    const sizes = { heads, kvHeads, headDim, valueDim, dtype, device };
    const attend = await compile(made as AnyPattern, sizes);
    const result = await attend({ ...tensors, segments }, { window } as never);
    assert.deepEqual(result.out.shape, [1, heads, segments.q.at(-1), valueDim]);
    assert.deepEqual(result.lse.shape, [1, heads, segments.q.at(-1)]);
    assert.equal(result.out.layout, tensors.q.layout);
    const [out, lse] = [await result.out.read(), await result.lse.read()];
    for (const i of sample.lengths.keys()) {
      const own = await attend(aloneOf(call, i), { window } as never);
      const [ownOut, ownLse] = [await own.out.read(), await own.lse.read()];
      assert.deepEqual(...pairOf(out, ownOut, call, i, valueDim));
      assert.deepEqual(...pairOf(lse, ownLse, call, i, 1));
    }
    const inputs = { ...tensors, segments };
    const { disagreements } = await compareWithOracle(made, inputs, { window }, result);
    assert.equal(showDisagreements(disagreements), '');
  });

law('a packed sequence is, to the bit, a call of its own: the CPU device', () =>
  fc.assert(sequencesAreCalls(inline, 'fp32', 'bf16', 'fp16'), runs(150)),
);

law('a packed sequence is, to the bit, a call of its own: emulated kernels', () =>
  fc.assert(sequencesAreCalls(emulated, 'bf16', 'fp16'), runs(25)),
);

law('a packed sequence is, to the bit, a call of its own: the oracle', () =>
  fc.assert(
    fc.property(packed('fp32', 'bf16'), fc.constantFrom(...both), (sample, made) => {
      const call = callOf(sample);
      const { heads: _, segments, ...tensors } = call;
      const params = { window: sample.window };
      const whole = reference(made as AnyPattern, { ...tensors, segments }, params as never);
      for (const i of sample.lengths.keys()) {
        const own = reference(made as AnyPattern, aloneOf(call, i), params as never);
        assert.deepEqual(...pairOf(whole.out, own.out, call, i, sample.valueDim));
        assert.deepEqual(...pairOf(whole.lse, own.lse, call, i, 1));
      }
    }),
    runs(60),
  ),
);

/** 2 KV heads of 2 query heads; sequences with fewer, as many, no and more queries than keys. */
const usual: Packed = {
  lengths: [
    [9, 40],
    [33, 33],
    [0, 7],
    [20, 11],
    [1, 1],
    [5, 0],
  ],
  kvHeads: 2,
  group: 2,
  headDim: 16,
  valueDim: 8,
  dtype: 'bf16',
  layouts: ['bshd', 'bhsd', 'bshd'],
  window: 20,
  seed: 5,
};

law('heads with patterns of their own see their sequences', async () => {
  const { heads, segments, ...tensors } = callOf(usual);
  const { kvHeads, headDim, valueDim, dtype } = usual;
  for (const device of [inline, emulated]) {
    const sizes = { heads, kvHeads, headDim, valueDim, dtype, device };
    const mixed = await compile(byHead([curious, counted, counted, curious]), sizes);
    const result = await mixed({ ...tensors, segments });
    const [out, lse] = [await result.out.read(), await result.lse.read()];
    for (const [which, made] of both.entries()) {
      const attend = await compile(made as AnyPattern, sizes);
      const own = await attend({ ...tensors, segments });
      const [ownOut, ownLse] = [await own.out.read(), await own.lse.read()];
      for (const head of which === 0 ? [0, 3] : [1, 2]) {
        const part = (all: ArrayLike<number>): number[] => {
          const size = all.length / heads;
          return Array.from(all).slice(head * size, (head + 1) * size);
        };
        assert.deepEqual(part(out), part(ownOut));
        assert.deepEqual(part(lse), part(ownLse));
      }
    }
  }
});

law('keys are packed as queries are, unless stated otherwise', async () => {
  const same = {
    ...usual,
    lengths: [
      [12, 12],
      [0, 0],
      [40, 40],
    ] as const,
  };
  const { heads, segments, ...tensors } = callOf(same);
  const { kvHeads, headDim, valueDim, dtype } = same;
  for (const device of [inline, emulated]) {
    const sizes = { heads, kvHeads, headDim, valueDim, dtype, device };
    const attend = await compile(curious as AnyPattern, sizes);
    const stated = await attend({ ...tensors, segments });
    for (const q of [segments.q, Int32Array.from(segments.q)]) {
      const { out } = await attend({ ...tensors, segments: { q } });
      assert.deepEqual(await out.read(), await stated.out.read());
    }
  }
});

law('the oracle gives the rows that are asked for, counted through all sequences', () => {
  const { heads, segments, ...tensors } = callOf(usual);
  const rows = [61, 0, 9, 41, 8];
  const whole = reference(curious as AnyPattern, { ...tensors, segments });
  const some = reference(curious as AnyPattern, { ...tensors, segments }, {}, { rows });
  const total = segments.q.at(-1)!;
  for (let head = 0; head < heads; head += 1)
    for (const [j, row] of rows.entries())
      assert.equal(some.lse[head * rows.length + j], whole.lse[head * total + row]);
});
