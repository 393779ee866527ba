// Packed sequences: each is an attention call of its own. Random packed calls, and the check of one.

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { count, f32 } from '../../../dsl/given.ts';
import { type AnyPattern, pattern } from '../../../dsl/pattern.ts';
import { compile } from '../../../runtime/attend.ts';
import type { Device } from '../../../runtime/device.ts';
import type { FloatType, Layout } from '../../../runtime/dtype.ts';
import { type Tensor, tensor } from '../../../runtime/tensor.ts';
import { compareWithOracle, showDisagreements } from '../../../runtime/testing/agree.ts';

const tiles = { qTile: 32, kTile: 16, warps: 2, stages: 2 };

/** A mask of everything that a pair tells, so that every size and index matters; a bias per sequence. */
export const curious = pattern('curious', { window: count.default(20), bias: f32('batch', 'head') })
  .mask(
    ({ q, k, row, qLen, kLen, head }, { window }) =>
      k <= q && (q - k < window + head || k * 3 < kLen || row * 2 >= qLen),
  )
  .score(({ s, batch, head }, { bias }) => s + bias.at(batch, head))
  .schedule(tiles);

/** Whether a query sees anything depends on the number of its sequence; queries need not be among the keys. */
export const counted = pattern('counted', { window: count.default(20), bias: f32('batch', 'head') })
  .mask(
    ({ q, k, batch, kLen }, { window, bias }) =>
      (q - k < window && k - q < 9 + batch && k < kLen - batch) || bias.at(batch, 0) > 1,
  )
  .schedule(tiles);

export const packable = [curious, counted];

export interface Packed {
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

export const packed = (...dtypes: readonly FloatType[]): fc.Arbitrary<Packed> =>
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
export function callOf({
  lengths,
  kvHeads,
  group,
  headDim,
  valueDim,
  dtype,
  layouts,
  seed,
}: Packed) {
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

export type PackedCall = ReturnType<typeof callOf>;

/**
 * The call of sequence `i` alone. Its number is its batch index, so it is there `i + 1` times; the last
 * batch entry counts.
 */
export function aloneOf({ q, k, v, bias, segments }: PackedCall, i: number) {
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
export function pairOf(
  whole: ArrayLike<number>,
  own: ArrayLike<number>,
  { heads, segments: { q } }: PackedCall,
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
export async function checkPacked(
  device: Device,
  sample: Packed,
  made: (typeof packable)[number],
): Promise<void> {
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
}
