// What the laws of results share: a call on a device, its numbers, and rows that agree within the
// bound of their values. No law is stated here.

import assert from 'node:assert/strict';
import type { HeadPatterns } from '../../dsl/heads.ts';
import type { AnyPattern } from '../../dsl/pattern.ts';
import type { LaunchShape } from '../../dsl/shape.ts';
import { compile } from '../../runtime/attend.ts';
import { type Bound, errorBound } from '../../runtime/bound.ts';
import { type Device, openDevice } from '../../runtime/device.ts';
import type { FloatType } from '../../runtime/dtype.ts';
import { type Tensor, tensor } from '../../runtime/tensor.ts';
import type { CallData } from './arbitraries.ts';

/** Works on the calling thread. */
export const inline: Device = await openDevice('cpu', { threads: 0 });

/** A result as numbers in the order [batch, head, q, dim]. */
export interface Numbers {
  readonly out: Float32Array;
  readonly lse: Float32Array;
}

/** One call of a pattern, or of a pattern per head. */
export async function attendWith(
  pattern: AnyPattern | HeadPatterns,
  { shape, dtype }: Pick<CallData, 'shape' | 'dtype'>,
  inputs: Readonly<Record<string, unknown>>,
  params: Readonly<Record<string, number | readonly number[]>> = {},
  device: Device = inline,
): Promise<Numbers> {
  const { heads, kvHeads, headDim, valueDim } = shape;
  const attend = await compile(pattern as AnyPattern, {
    heads,
    kvHeads,
    headDim,
    valueDim,
    dtype,
    device,
  });
  const { out, lse } = await attend(inputs as never, params as never);
  return { out: (await out.read()) as Float32Array, lse: (await lse.read()) as Float32Array };
}

/** How far results may be from the truth, with standard normal inputs of this scale. */
export function boundOf(
  { shape, dtype, scale }: Pick<CallData, 'shape' | 'dtype' | 'scale'>,
  value: number,
): Bound {
  const { kLen, headDim } = shape;
  // No row is longer than sqrt(dim) times the largest of its values, 6.4 (runtime/random.ts).
  const logit = 6.4 ** 2 * scale ** 2 * Math.sqrt(headDim);
  return errorBound(dtype, kLen, headDim, { value, logit });
}

/** Throws unless two results agree within so many bounds, row by row; rows that `only` refuses are not compared. */
export function assertClose(
  got: Numbers,
  expected: Numbers,
  bound: Bound,
  { valueDim }: Pick<LaunchShape, 'valueDim'>,
  only: (row: number) => boolean = () => true,
): void {
  for (const row of got.lse.keys()) {
    if (!only(row)) continue;
    const [a, b] = [got.lse[row]!, expected.lse[row]!];
    assert.ok(a === b || Math.abs(a - b) <= bound.lse, `lse of row ${row}: ${a} for ${b}`);
    for (let at = row * valueDim; at < (row + 1) * valueDim; at += 1) {
      const [x, y] = [got.out[at]!, expected.out[at]!];
      assert.ok(x === y || Math.abs(x - y) <= bound.out, `out of row ${row}: ${x} for ${y}`);
    }
  }
}

export const times = ({ out, lse }: Bound, factor: number): Bound => ({
  out: out * factor,
  lse: lse * factor,
});

/** The largest |x|. */
export const largest = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((most, x) => Math.max(most, Math.abs(x)), 0);

/** A tensor with some of its rows [batch, head, position] overwritten. */
export async function overwrite(
  from: Tensor,
  value: (batch: number, head: number, position: number) => number | undefined,
): Promise<Tensor> {
  const values = Float32Array.from(await from.read());
  const [, heads = 0, length = 0, dim = 0] = from.shape;
  for (let at = 0; at * dim < values.length; at += 1) {
    const unit = Math.floor(at / length);
    const other = value(Math.floor(unit / heads), unit % heads, at % length);
    if (other !== undefined) values.fill(other, at * dim, (at + 1) * dim);
  }
  const { shape, dtype, layout } = from;
  return tensor(values, { shape, dtype }).withLayout(layout);
}

/** Large and finite in every dtype. */
export const huge: Readonly<Record<FloatType, number>> = { fp32: 1e30, bf16: 1e30, fp16: 60_000 };
