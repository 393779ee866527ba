// Law 6 for the Hopper kernels, executed on the CPU: built-in patterns, random patterns, scores that are far apart, and
// biases that products have a part of, each on one kernel and several calls, against the float64 oracle.

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe } from 'vitest';
import { splitLoads } from '../../codegen/attention/masks/loads.ts';
import { isQuick } from '../../codegen/expression.ts';
import type { LaunchList } from '../../codegen/kernel.ts';
import * as x from '../../dsl/expression.ts';
import { isFixed } from '../../dsl/given.ts';
import { splitColumns } from '../../dsl/plan/split.ts';
import type { Knobs } from '../../dsl/schedule.ts';
import { patterns } from '../../patterns/index.ts';
import { GpuDevice } from '../../runtime/cuda/device.ts';
import type { Device } from '../../runtime/device.ts';
import { EmulatedMachine } from '../../runtime/emulator/machine.ts';
import { arbitraryShape } from '../arbitraries.ts';
import { isFusedHere } from '../runtime/fusing.ts';
import { arbitraryCallData, arbitraryPattern, type RandomPattern } from './arbitraries.ts';
import { builtInCalls, checkBuiltIn } from './properties/built-ins.ts';
import { checkCall } from './properties/devices.ts';
import { checkGivenSets, givenPatterns, givenSets } from './properties/given-sets.ts';
import { checkRamp, ramped, rampPatterns } from './properties/ramps.ts';
import { checkSpikes, type Spiky, spiky } from './properties/spikes.ts';
import { law, runs } from './settings.ts';

/** Emulated, and counts the launches whose text has some mark: other kernels would pass as well. */
class CountingMachine extends EmulatedMachine {
  launches = 0;
  readonly #mark: string;

  constructor(mark: string, seed: number) {
    // Not by what dtypes, dimensions or tiles are chosen by.
    super('sm_90a', { seed, fma: (isFusedHere && seed % 3 === 0) || undefined });
    this.#mark = mark;
  }

  override async prepare(list: LaunchList) {
    const isCounted = list.steps.some(
      (step) => step.op === 'launch' && step.kernel.source.includes(this.#mark),
    );
    if (isCounted) this.launches += 1;
    return super.prepare(list);
  }
}

const { numRuns, seed = Math.floor(Math.random() * 2 ** 30) } = runs(3);

/**
 * A law on a device of its own, whose threads run in an order of their own; on a third, products are fused where this
 * processor can. Some random patterns have no kernel of Hopper that can be, and so the law goes on to other seeds.
 */
const hopperLaw = (
  claim: string,
  own: number,
  check: (device: Device, own: number) => Promise<void>,
  mark = 'wgmma.mma_async',
): void =>
  law(claim, async () => {
    const machine = new CountingMachine(mark, own);
    const device = new GpuDevice(machine);
    for (let other = 0; other < 20 && machine.launches === 0; other += 1)
      await check(device, own + 1000 * other);
    await device.dispose();
    assert.ok(machine.launches > 0, `seed ${own}: no kernel of Hopper, with ${mark}, was run`);
  });

const dims = [
  [64, 64],
  [128, 128],
  [96, 96],
  [32, 32],
  [40, 24],
  [192, 128],
  [256, 256],
] as const;
const dtypes = ['bf16', 'fp16'] as const;
const sampleOf = <Value>(one: fc.Arbitrary<Value>, own: number): Value[] =>
  fc.sample(one, { numRuns, seed: own });

/** Says of which seed and call an error is. */
async function named(own: number, data: object, check: () => Promise<void>): Promise<void> {
  try {
    await check();
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error);
    throw new Error(`seed ${own}: ${what}\n${JSON.stringify(data)}`, { cause: error });
  }
}

/** Masks and scores that are drawn may be too large for tiles that are stated. */
const isTooLarge = (error: unknown): boolean =>
  /mask is too large for tiles|compiles for minutes/.test(String(error));

describe('the built-in pattern', () => {
  for (const [i, name] of [...patterns.keys()].entries())
    hopperLaw(`${name} agrees with the oracle`, seed + i, async (device, own) => {
      const [headDim, valueDim] = dims[own % dims.length]!;
      const dtype = dtypes[own % 2]!;
      const { given } = patterns.get(name)!.definition;
      let fixed: Readonly<Record<string, unknown>> | undefined;
      const calls = builtInCalls([name], { longest: 200, tile: 64, groups: 2, kvHeads: 1 });
      for (const { call } of sampleOf(calls, own)) {
        // Other fixed numbers, or dimensions, would be other kernels.
        fixed ??= Object.fromEntries(
          Object.entries(call.params).filter(([param]) => isFixed(given[param])),
        );
        // A call without keys or queries has no such kernel.
        const [qLen, kLen] = [Math.max(1, call.shape.qLen), Math.max(1, call.shape.kLen)];
        const shape = { ...call.shape, qLen, kLen, headDim, valueDim };
        const params = { ...call.params, ...fixed } as typeof call.params;
        const whole = { name, knobs: {}, call: { ...call, shape, dtype, params } };
        await named(own, whole, () => checkBuiltIn(device, whole));
      }
    });
});

const tiles: readonly Knobs[] = [
  { qTile: 128, kTile: 64, warps: 8, stages: 2 },
  { qTile: 192, kTile: 80, warps: 12, stages: 2 },
  { qTile: 128, kTile: 48, warps: 8, stages: 3 },
  { qTile: 64, kTile: 64, work: 'head' },
  { qTile: 128, kTile: 64, softmax: 'classic', pingPong: true, work: 'longest' },
  { kTile: 64, qBuffers: 2, work: 'heads' },
  {},
];

/** Does a mask ask a tensor of keys alone, and leave pairs no more than numbers at hand? */
function loadsOfKeys({ mask }: RandomPattern): boolean {
  const loads = splitLoads([mask]);
  const isAsked = loads?.ofKey.some(({ expression }) => x.mentions(expression, 'at'));
  return isAsked === true && loads?.masks.every(isQuick) === true;
}

/** Every query has another number than the next one, and pairs are left a division. */
const restOf = (of: x.Expression, by: number): x.Expression => x.binary('rem', of, x.int(by));
const ofQueries = x.and(
  x.compare('le', restOf(x.index('q'), 5), restOf(x.index('k'), 7)),
  x.compare('lt', restOf(x.binary('add', x.index('q'), x.index('k')), 3), x.int(2)),
);

/** Keys at distances of whole steps, and one before some. */
const distance = x.binary('sub', x.index('q'), x.index('k'));
const ofDistances = x.and(
  x.compare('le', x.index('k'), x.index('q')),
  x.or(
    x.compare('eq', restOf(distance, 5), x.int(0)),
    x.compare('eq', restOf(x.binary('sub', distance, x.int(1)), 7), x.int(0)),
  ),
);

describe('a random pattern', () => {
  const drawn = arbitraryPattern();
  /** Any other parts of one, none of which asks something of every pair, with a mask. */
  const withMask = (mask: x.Expression) =>
    drawn.map((one) => ({ ...one, score: undefined, rest: undefined, mask }));
  /** Patterns that have it, and what is in the text of its kernels alone. */
  type Feature = readonly [patterns: fc.Arbitrary<RandomPattern>, mark?: string];
  const features: Readonly<Record<string, Feature>> = {
    plain: [drawn.filter(({ score, rest }) => !score && rest === undefined)],
    score: [drawn.filter(({ score }) => score !== undefined)],
    rest: [drawn.filter(({ rest, mask }) => rest !== undefined && x.mentions(mask, 'has'))],
    columns: [drawn.filter(({ mask }) => splitColumns(mask, 'columns') !== undefined)],
    'values that lanes load of keys': [drawn.filter(loadsOfKeys), 'loads_of_lane(of_keys'],
    'values that lanes load of queries': [withMask(ofQueries), 'loads_of_lane(of_own'],
    'steps between keys': [withMask(ofDistances), 'of_query.value_0 == of_key.value_0'],
  };
  for (const [i, [feature, [patterns, mark]]] of Object.entries(features).entries()) {
    const check = async (device: Device, own: number) => {
      const [one] = fc.sample(patterns, { numRuns: 1, seed: own });
      const gather = feature === 'columns' ? ({ gather: 'columns' } as const) : {};
      const pattern = { ...one!, knobs: { ...tiles[(own + i) % tiles.length], ...gather } };
      const [headDim, valueDim] = dims[own % 5]!;
      const shapes = arbitraryShape({ tile: 64, most: 200, least: 1, heads: 2 });
      for (const data of sampleOf(arbitraryCallData(shapes), own)) {
        const call = {
          pattern,
          data: { ...data, shape: { ...data.shape, headDim, valueDim }, dtype: dtypes[own % 2]! },
        };
        await named(own, call, () => checkCall(device, call)).catch((error: unknown) => {
          if (!isTooLarge(error)) throw error;
        });
      }
    };
    hopperLaw(`with ${feature} agrees with the oracle`, seed + i, check, mark);
  }
});

describe('scores that are far apart', () => {
  for (const [i, name] of (
    ['causal', 'hidden', 'gap', 'capped', 'leaning', 'bent'] as const
  ).entries())
    hopperLaw(`agree with the oracle: ${name}`, seed + i, async (device, own) => {
      const [headDim, valueDim] = dims[own % 4]!;
      const options = { longest: 300, tile: 128, dims: { headDim, valueDim } };
      for (const sample of sampleOf(spiky([dtypes[own % 2]!], options), own))
        await named(own, sample, () => checkSpikes(device, sample, name));
    });
});

describe('scores that climb from step to step', () => {
  // By 78 powers of two: sums grow large once and stay in the range of floats, so references follow within a task.
  const climbing: Omit<Spiky, 'seed'> = {
    dtype: 'bf16',
    shape: { batch: 1, heads: 2, kvHeads: 1, qLen: 300, kLen: 300, headDim: 64, valueDim: 64 },
    layouts: ['bhsd', 'bhsd', 'bhsd'],
    profile: 'ramp',
    level: -60,
    params: { head: 0, tail: 0, period: 1, cap: 100 },
  };
  for (const [i, name] of (['causal', 'hidden', 'capped'] as const).entries())
    hopperLaw(`agree with the oracle: ${name}`, seed + i, async (device, own) => {
      const sample = { ...climbing, seed: own };
      await named(own, sample, () => checkSpikes(device, sample, name, { qTile: 64, kTile: 32 }));
    });
});

describe('a bias that is linear in the key', () => {
  for (const [i, name] of [...rampPatterns.keys()].entries())
    hopperLaw(
      `agrees with the oracle as a ramp of the products: ${name}`,
      seed + i,
      async (device, own) => {
        const [headDim, valueDim] = dims[own % 5]!;
        const tile = tiles[(own + i) % tiles.length]!;
        const options = { longest: 300, tile: 128, dims: { headDim, valueDim } };
        const calls = ramped({ ...options, dtype: dtypes[own % 2]! });
        for (const sample of sampleOf(calls, own))
          await named(own, { ...sample, tile }, () => checkRamp(device, sample, name, tile));
      },
      'add_ramp(s, ',
    );
});

describe('sets that a call is given', () => {
  for (const [i, name] of [...givenPatterns.keys()].entries())
    hopperLaw(`${name} agrees with the oracle`, seed + i, async (device, own) => {
      const [headDim, valueDim] = dims[own % dims.length]!;
      const options = { longest: 1300, dims: { headDim, valueDim }, dtype: dtypes[own % 2]! };
      for (const call of sampleOf(givenSets(options), own))
        await named(own, call, () => checkGivenSets(device, call, name));
    });
});
