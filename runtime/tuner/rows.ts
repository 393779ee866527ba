// Rows of an output that stand for all of it: which they are, how they are read off a device, and how far those of
// two kernels may be apart.

import type { Definition } from '../../dsl/definition.ts';
import type { LaunchShape } from '../../dsl/shape.ts';
import { spread } from '../../dsl/spread.ts';
import type { AttendResult } from '../attend.ts';
import { errorBound, scoreError } from '../bound.ts';
import { BlockMemory } from '../cuda/block.ts';
import type { Machine } from '../cuda/machine.ts';
import { bytesPerElement, type FloatType } from '../dtype.ts';
import { decode } from '../half.ts';
import type { AttentionInputs } from '../inputs.ts';
import type { Tensor } from '../tensor.ts';
import type { Rows } from './bench.ts';

/** Of all heads, and of the rows of each. */
const mostUnits = 8;
const mostRows = 16;

/** [batch and head, row] of the sampled rows: the first and the last, and others between, not all in one place of a tile. */
export function sampledRows({ batch, heads, qLen }: LaunchShape): [unit: number, row: number][] {
  return spread(batch * heads, mostUnits).flatMap((unit, at) =>
    spread(qLen, mostRows).map((row, i): [number, number] => {
      if (i === 0) return [unit, 0];
      if (i === Math.min(qLen, mostRows) - 1) return [unit, qLen - 1];
      return [unit, qLen > 16 * mostRows ? row + ((5 * i + 3 * at) % 16) : row];
    }),
  );
}

/** Values and LSE of sampled rows. `out` and `lse` may be disposed of once this resolves. */
export async function readRows(
  machine: Machine,
  { out, lse }: Pick<AttendResult, 'out' | 'lse'>,
  shape: LaunchShape,
): Promise<Rows> {
  const { heads, qLen, valueDim } = shape;
  const sampled = sampledRows(shape);
  const rows = new Float32Array(sampled.length * (valueDim + 1));
  const [outAt, lseAt] = [addressOf(out), addressOf(lse)];
  const [batchStep = 0, headStep = 0, rowStep = 0] = out.strides;
  const size = bytesPerElement[out.dtype];
  await Promise.all(
    sampled.map(async ([unit, row], i) => {
      const place =
        Math.floor(unit / heads) * batchStep + (unit % heads) * headStep + row * rowStep;
      const values = new Uint16Array(valueDim);
      const sum = rows.subarray((i + 1) * (valueDim + 1) - 1, (i + 1) * (valueDim + 1));
      await Promise.all([
        machine.download(outAt + place * size, values),
        machine.download(lseAt + 4 * (unit * qLen + row), sum),
      ]);
      rows.set(decode(values, out.dtype as FloatType), i * (valueDim + 1));
    }),
  );
  return rows;
}

function addressOf({ memory }: Tensor): number {
  if (memory instanceof BlockMemory) return memory.address;
  throw new Error('warploom is at fault: a result is not on the device');
}

/** How far two kernels may be apart: each may be as far from the truth as the law allows. */
export interface Tolerance {
  readonly out: number;
  readonly lse: number;
}

/** Tolerance for these tensors: logits as large as sampled rows of q and k allow. */
export function toleranceOf(
  definition: Definition,
  { q, k, v }: AttentionInputs,
  { kLen, headDim }: LaunchShape,
  dtype: FloatType,
): Tolerance {
  const logit = (longest(q) * longest(k)) / Math.sqrt(headDim);
  const moved = scoreError(definition, kLen);
  const bound = errorBound(dtype, kLen, headDim, { value: largest(v), logit, moved });
  return { out: 2 * bound.out, lse: 2 * bound.lse };
}

/** Rows that are looked at to know how large the elements of a tensor are. */
const mostLookedAt = 4096;

function sampledElements(tensor: Tensor): readonly (Float32Array | Int32Array)[] {
  const dim = tensor.shape.at(-1)!;
  const { data, dtype } = tensor;
  return spread(data.length / dim, mostLookedAt).map((row) =>
    decode(data.subarray(row * dim, (row + 1) * dim), dtype as FloatType),
  );
}

/** The largest Euclidean length of a row, with room for those that were not looked at. */
const longest = (tensor: Tensor): number =>
  1.2 * Math.max(0, ...sampledElements(tensor).map((row) => Math.hypot(...row)));

function largest(tensor: Tensor): number {
  let most = 0;
  for (const row of sampledElements(tensor))
    for (const value of row) most = Math.max(most, Math.abs(value));
  return 1.2 * most;
}

/**
 * Why rows are not those of the reference within rounding, or undefined. Rows without a key are -inf in both; what is
 * no number is never right, the reference's own included.
 */
export function differenceOf(
  reference: Rows,
  rows: Rows,
  valueDim: number,
  { out, lse }: Tolerance,
): string | undefined {
  for (let i = 0; i < reference.length; i += 1) {
    const [theirs, ours] = [reference[i]!, rows[i]!];
    if (theirs === ours) continue;
    const row = Math.floor(i / (valueDim + 1));
    const isLse = i % (valueDim + 1) === valueDim;
    if (Number.isNaN(ours)) return `sampled row ${row} was not written, or is not a number`;
    const [far, most] = [Math.abs(ours - theirs), isLse ? lse : out];
    if (!(far <= most))
      return `${isLse ? 'lse' : 'out'} of sampled row ${row} is off by ${far.toExponential(1)} (bound ${most.toExponential(1)})`;
  }
  return undefined;
}
