// Law 6 where scores are far apart: rows whose highest score comes late, or first and by far; scores in their
// thousands; scores of -Infinity, of some rows and of all. What a softmax that does not look for the highest
// score in every step has to get right. Random calls, and the check of one.

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { z } from 'zod';
import { count } from '../../../dsl/given.ts';
import { type AnyPattern, pattern } from '../../../dsl/pattern.ts';
import type { Knobs } from '../../../dsl/schedule.ts';
import type { LaunchShape } from '../../../dsl/shape.ts';
import { compile } from '../../../runtime/attend.ts';
import type { Device } from '../../../runtime/device.ts';
import type { FloatType, Layout } from '../../../runtime/dtype.ts';
import { type Tensor, tensor } from '../../../runtime/tensor.ts';
import { compareWithOracle, showDisagreements } from '../../../runtime/testing/agree.ts';
import { arbitraryShape, numbersFrom } from '../../arbitraries.ts';

/** What one row in `period` does not see: the first `head` keys and the last `tail`. And what caps scores. */
const given = {
  head: count.default(0),
  tail: count.default(64),
  period: z.int().min(1).default(3),
  cap: z.number().min(1).max(100).default(30),
};

/** Every kind of mask and score that decides which step a row sees first, and how high it goes. */
const patterns = [
  pattern('causal', given).mask(({ q, k }) => k <= q),
  pattern('open', given).mask(({ k }) => k >= 0),
  pattern('gap', given).mask(
    ({ q, k, row, kLen }, { head, tail, period }) =>
      k <= q && ((k >= head && k < kLen - tail) || row % period !== 0),
  ),
  pattern('hidden', given)
    .mask(({ q, k }) => k <= q)
    .score(({ s, k, row, kLen }, { head, tail, period }) =>
      (k < head || k >= kLen - tail) && row % period === 0 ? -Infinity : s,
    ),
  pattern('dilated', given)
    .mask(({ k }) => k >= 0)
    .score(({ s, k, row }, { period }) => ((row + k) % period === 0 ? s : -Infinity)),
  pattern('capped', given)
    .mask(({ q, k }) => k <= q)
    .score(({ s }, { cap }) => cap * Math.tanh(s / cap)),
  pattern('leaning', given)
    .mask(({ q, k }) => k <= q)
    .score(({ s, q, k }, { cap }) => s - (q - k) * cap),
  pattern('bent', given)
    .mask(({ q, k }) => k <= q)
    .score(({ s, q, k }, { head, cap }) => cap * Math.tanh((s + (k - q) / (1 + head)) / cap)),
  pattern('sloped', given)
    .mask(({ q, k }) => k <= q)
    .score(({ s, q, k, kLen }, { head, tail, cap }) =>
      k < head || k >= kLen - tail ? -Infinity : s - (q - k) * cap,
    ),
] as readonly AnyPattern[];
export const spikyPatterns: ReadonlyMap<string, AnyPattern> = new Map(
  patterns.map((one) => [one.name, one]),
);

/** Scores by key, before a row mirrors or weakens them. */
const profiles = ['spikes', 'edge', 'ramp', 'steps', 'deep', 'low'] as const;

export interface Spiky {
  readonly shape: LaunchShape;
  readonly dtype: FloatType;
  readonly layouts: readonly [Layout, Layout, Layout];
  readonly profile: (typeof profiles)[number];
  /** The highest score of the profile, negative to turn it over. */
  readonly level: number;
  readonly params: Readonly<Record<'head' | 'tail' | 'period' | 'cap', number>>;
  readonly seed: number;
}

const layout = fc.constantFrom<Layout[]>('bhsd', 'bshd');

export interface SpikyOptions {
  readonly longest?: number;
  /** Lengths, and what rows do not see, crowd around multiples of it. */
  readonly tile?: number;
  /** Random, when left out. */
  readonly dims?: Pick<LaunchShape, 'headDim' | 'valueDim'>;
}

export function spiky(
  dtypes: readonly FloatType[],
  { longest = 120, tile = 16, dims }: SpikyOptions = {},
): fc.Arbitrary<Spiky> {
  const edge = fc.oneof(fc.constant(0), fc.constantFrom(1, tile, 2 * tile), fc.nat(longest));
  return fc.record({
    shape: arbitraryShape({ tile, most: longest, least: 1, heads: 3 }).map((shape) => ({
      ...shape,
      ...dims,
    })),
    dtype: fc.constantFrom(...dtypes),
    layouts: fc.tuple(layout, layout, layout),
    profile: fc.constantFrom(...profiles),
    level: fc
      .tuple(fc.constantFrom(8, 15, 25, 40, 60, 90, 300, 3000), fc.constantFrom(1, -1))
      .map(([level, sign]) => level * sign),
    params: fc.record({
      head: edge,
      tail: edge,
      period: fc.constantFrom(1, 2, 3, 5),
      cap: fc.constantFrom(1, 5, 30, 100),
    }),
    seed: fc.nat(2 ** 20),
  });
}

/** The score that the profile wants of each key. */
function scoresOf({ shape: { kLen }, profile, level, params, seed }: Spiky): Float64Array {
  const next = numbersFrom(seed + 7);
  let block = 0;
  return Float64Array.from({ length: kLen }, (_, k) => {
    const [chance, share] = [next(), next()];
    switch (profile) {
      case 'spikes':
        return chance < 0.04 ? level * share * (share < 0.2 ? -1 : 1) : 0;
      case 'edge':
        return k >= kLen - params.tail ? level : 0;
      case 'ramp':
        return (level * k) / kLen;
      case 'steps':
        if (k % 48 === 0) block = [0, level, -level, level / 40][Math.floor(share * 4)]!;
        return block;
      // All alike, far from 0; or so low that weights relative to 0 are none in fp16, and some in fp32.
      case 'deep':
        return level;
      case 'low':
        return -10 - (Math.abs(level) % 32);
    }
  });
}

/** A tensor [batch, heads, rows, dim] of small numbers whose first column is planted. */
async function planted(
  random: Tensor,
  first: (head: number, row: number) => number,
): Promise<Tensor> {
  const [, heads = 0, rows = 0, dim = 0] = random.shape;
  const values = Float32Array.from(await random.read());
  for (let at = 0; at * dim < values.length; at += 1)
    values[at * dim] = first(Math.floor(at / rows) % heads, at % rows);
  const { shape, dtype, layout: order } = random;
  return tensor(values, { shape, dtype }).withLayout(order);
}

/** Scores are products of a key's score and a row's factor, and a little noise. */
async function tensorsOf(sample: Spiky): Promise<{ q: Tensor; k: Tensor; v: Tensor }> {
  const { shape, dtype, layouts, seed } = sample;
  const { batch, heads, kvHeads, qLen, kLen, headDim, valueDim } = shape;
  const random = (sizes: number[], i: number, scale: number): Tensor =>
    tensor.random(sizes, { dtype, layout: layouts[i]!, seed: seed + i, scale });
  const scores = scoresOf(sample);
  const next = numbersFrom(seed + 11);
  const factors = Array.from(
    { length: heads * qLen },
    () => [1, 1, 1, -1, 0, 0.5, 0.02][Math.floor(next() * 7)]!,
  );
  // Small queries and large keys: the bound of a score is the product of their lengths.
  const [small, large] = [1 / 16, 8];
  return {
    q: await planted(
      random([batch, heads, qLen, headDim], 0, small),
      (head, row) => factors[head * qLen + row]!,
    ),
    k: await planted(
      random([batch, kvHeads, kLen, headDim], 1, large),
      (_, key) => scores[key]! * Math.sqrt(headDim),
    ),
    v: random([batch, kvHeads, kLen, valueDim], 2, 1),
  };
}

/** A device gives what the oracle gives, and the same bits again. */
export async function checkSpikes(
  device: Device,
  sample: Spiky,
  name: string,
  tile: Knobs = {},
): Promise<void> {
  const { definition } = spikyPatterns.get(name)!;
  const knobs = { ...definition.knobs, ...tile };
  const own = { name, definition: { ...definition, knobs } } as AnyPattern;
  const { heads, kvHeads, headDim, valueDim } = sample.shape;
  const { dtype, params } = sample;
  const attend = await compile(own, { heads, kvHeads, headDim, valueDim, dtype, device });
  const inputs = await tensorsOf(sample);
  const result = await attend(inputs as never, params as never);
  const again = await attend(inputs as never, params as never);
  const { disagreements } = await compareWithOracle(own, inputs, params, result);
  assert.equal(showDisagreements(disagreements), '');
  assert.deepEqual(await again.out.read(), await result.out.read());
  assert.deepEqual(await again.lse.read(), await result.lse.read());
}

/** Random calls of all patterns. */
export const spikesAgree = (
  device: Device,
  dtypes: readonly FloatType[],
  options: SpikyOptions = {},
  tile: Knobs = {},
) =>
  fc.asyncProperty(
    spiky(dtypes, options),
    fc.constantFrom(...spikyPatterns.keys()),
    (sample, name) => checkSpikes(device, sample, name, tile),
  );
