// Law 6 where a score has a bias that is linear in the key, with a slope for each head: what products may have a part
// of. Gentle slopes and steep ones, up, down and level, under masks that see much, little, and what is ahead. Random
// calls, and the check of one.

import fc from 'fast-check';
import { count, f32 } from '../../../dsl/given.ts';

import { type AnyPattern, pattern } from '../../../dsl/pattern.ts';
import type { Knobs } from '../../../dsl/schedule.ts';
import type { LaunchShape } from '../../../dsl/shape.ts';
import type { Device } from '../../../runtime/device.ts';
import type { FloatType } from '../../../runtime/dtype.ts';
import { tensor } from '../../../runtime/tensor.ts';
import { arbitraryShape } from '../../arbitraries.ts';
import { checkInputs, randomInputs } from './devices.ts';

const given = { slopes: f32('head'), near: count.default(40) };

const patterns = [
  pattern('penalty', given)
    .mask(({ q, k }) => k <= q)
    .score(({ s, q, k, head }, { slopes }) => s - slopes.at(head) * (q - k)),
  pattern('window', given)
    .mask(({ q, k }, { near }) => k <= q && q - k <= near)
    .score(({ s, q, k, head }, { slopes }) => s + (k - q) * slopes.at(head)),
  pattern('ahead', given)
    .mask(({ q, k }, { near }) => k - q <= near && k % 7 !== 3)
    .score(({ s, q, k, head }, { slopes }) => (2 * s - (q - k) * slopes.at(head)) / 3),
  pattern('sum', given)
    .mask(({ k }) => k >= 0)
    .score(({ s, q, k, head, kLen }, { slopes }) => slopes.at(head) * (k - kLen) + (s + q / 4 - k / 8) * 2),
] as readonly AnyPattern[]; // biome-ignore format: a table
export const rampPatterns: ReadonlyMap<string, AnyPattern> = new Map(
  patterns.map((one) => [one.name, one]),
);

export interface Ramped {
  readonly shape: LaunchShape;
  readonly dtype: FloatType;
  /** Of each head. */
  readonly slopes: readonly number[];
  readonly near: number;
  readonly seed: number;
}

export interface RampedOptions {
  readonly longest: number;
  /** Lengths crowd around multiples of it. */
  readonly tile: number;
  readonly dims: Pick<LaunchShape, 'headDim' | 'valueDim'>;
  readonly dtype: FloatType;
}

const slope = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(0, 2 ** -8, 0.5, 1, 8, -8, -0.25, 100, -1000) },
  { weight: 2, arbitrary: fc.double({ min: -2, max: 2, noNaN: true }) },
);

export const ramped = ({ longest, tile, dims, dtype }: RampedOptions): fc.Arbitrary<Ramped> =>
  arbitraryShape({ tile, most: longest, least: 1, heads: 4 }).chain((shape) =>
    fc.record({
      shape: fc.constant({ ...shape, ...dims }),
      dtype: fc.constant(dtype),
      slopes: fc.array(slope, { minLength: shape.heads, maxLength: shape.heads }),
      near: fc.constantFrom(0, 1, 40, 200),
      seed: fc.nat(2 ** 20),
    }),
  );

/** A device gives what the oracle gives. */
export function checkRamp(
  device: Device,
  ramp: Ramped,
  name: string,
  tile: Knobs = {},
): Promise<void> {
  const { definition } = rampPatterns.get(name)!;
  const knobs = { ...definition.knobs, ...tile };
  const own = { name, definition: { ...definition, knobs } } as AnyPattern;
  const { slopes, near, shape } = ramp;
  const inputs = {
    ...randomInputs(ramp),
    slopes: tensor(Float32Array.from(slopes), { shape: [shape.heads] }),
  };
  return checkInputs(device, own, ramp, inputs, { near });
}
