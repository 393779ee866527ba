// The laws of results as they are tried on a device: each takes a seed, makes a pattern with one kernel, and
// runs many calls of it, since compiling costs more than running. What a law says is in test/laws/properties.

import fc from 'fast-check';
import { sharedBytes, type TileKnobs } from '../../codegen/attention/tiles.ts';
import { isFixed } from '../../dsl/given.ts';
import type { Knobs } from '../../dsl/schedule.ts';
import { patterns } from '../../patterns/index.ts';
import type { Device } from '../../runtime/device.ts';
import { tensorsOfCall } from '../../runtime/testing/calls.ts';
import { arbitraryShape } from '../arbitraries.ts';
import {
  arbitraryCallData,
  arbitraryPattern,
  type CallData,
  type PatternOptions,
  type RandomCall,
  type RandomPattern,
} from '../laws/arbitraries.ts';
import { type BuiltInCall, builtInCalls, checkBuiltIn } from '../laws/properties/built-ins.ts';
import { checkCall } from '../laws/properties/devices.ts';
import { checkFallback, openPatterns } from '../laws/properties/fallback.ts';
import {
  checkGivenSets,
  type GivenSets,
  givenPatterns,
  givenSets,
} from '../laws/properties/given-sets.ts';
import { checkHeads } from '../laws/properties/heads.ts';
import { checkSpoiled, checkUnseen } from '../laws/properties/poison.ts';
import { checkRamp, type Ramped, ramped, rampPatterns } from '../laws/properties/ramps.ts';
import { checkEmptyRows, checkLinear, checkOnes, checkShift } from '../laws/properties/rows.ts';
import { checkPacked, type Packed, packable, packed } from '../laws/properties/segments.ts';
import { checkSpikes, type Spiky, spiky, spikyPatterns } from '../laws/properties/spikes.ts';
import { checkSplit } from '../laws/properties/splitting.ts';
import { checkConstantBlocks, checkSinglePools } from '../laws/properties/stand-ins.ts';
import { checkKnobs, checkSameBits } from '../laws/properties/tuning.ts';

/** Tries one law: the cases it ran. Throws with what is wrong. */
export type Trial = (device: Device, seed: number) => Promise<number>;

const dims: readonly (readonly [headDim: number, valueDim: number])[] = [
  [64, 64], [128, 128], [96, 96], [32, 32], [256, 256], [192, 128],
  [8, 8], [24, 40], [80, 80], [16, 120], [72, 64], [248, 8], [112, 200],
]; // biome-ignore format: a table

type Tile = Required<Pick<TileKnobs, 'qTile' | 'kTile' | 'warps' | 'stages'>>;

/** Tiles that every chip takes, those of whole warpgroups by the kernels that are made for them. */
const tiles: readonly Tile[] = [
  { qTile: 16, kTile: 16, warps: 1, stages: 3 },
  { qTile: 64, kTile: 32, warps: 4, stages: 2 },
  { qTile: 128, kTile: 32, warps: 4, stages: 1 },
  { qTile: 32, kTile: 48, warps: 2, stages: 2 },
  { qTile: 128, kTile: 64, warps: 8, stages: 3 },
  { qTile: 128, kTile: 96, warps: 8, stages: 2 },
  { qTile: 128, kTile: 128, warps: 8, stages: 2 },
  { qTile: 192, kTile: 80, warps: 12, stages: 2 },
  { qTile: 192, kTile: 112, warps: 12, stages: 2 },
];

/** Bytes that a block may have for its tiles: without what a kernel declares beside them. */
const roomOf = (device: Device): number =>
  'machine' in device ? device.machine.blockSharedBytes - 1024 : Number.POSITIVE_INFINITY;

type Dims = Pick<Setting, 'headDim' | 'valueDim'>;

const fits = (tile: Tile, { headDim, valueDim }: Dims, room: number): boolean =>
  sharedBytes({ ...tile, blocks: 1 }, headDim, valueDim) <= room;

interface Setting {
  readonly headDim: number;
  readonly valueDim: number;
  readonly dtype: 'bf16' | 'fp16';
  /** Undefined: the device chooses. */
  readonly tile: Tile | undefined;
}

const settingsFor = (device: Device): fc.Arbitrary<Setting> =>
  fc
    .record({
      dims: fc.constantFrom(...dims),
      dtype: fc.constantFrom('bf16' as const, 'fp16' as const),
      tile: fc.option(fc.constantFrom(...tiles), { freq: 2, nil: undefined }),
    })
    .map(({ dims: [headDim, valueDim], dtype, tile }) => {
      const own = { headDim, valueDim, dtype };
      return { ...own, tile: tile && fits(tile, own, roomOf(device)) ? tile : undefined };
    });

/** Random shapes and tensors of one dtype and pair of dimensions. */
const callsOf = (
  { headDim, valueDim, dtype }: Setting,
  { longest = 200, tile = 32, heads: most = 4 }: Size,
): fc.Arbitrary<CallData> =>
  arbitraryCallData(arbitraryShape({ tile, most: longest, heads: most })).map((data) => ({
    ...data,
    dtype,
    shape: { ...data.shape, headDim, valueDim },
  }));

const patternsOf = ({ tile }: Setting, options: PatternOptions): fc.Arbitrary<RandomPattern> =>
  arbitraryPattern(options).map((one) => ({ ...one, knobs: { ...tile, ...gatherOf(one) } }));

const gatherOf = ({ knobs: { gather } }: RandomPattern): Knobs =>
  gather === undefined ? {} : { gather };

interface Size {
  readonly calls: number;
  /** Most queries and keys; 200 unless stated. */
  readonly longest?: number;
  /** Lengths crowd around multiples of it; 32 unless stated. */
  readonly tile?: number;
  /** Most query heads; 4 unless stated. */
  readonly heads?: number;
}

const times = <Value>(count: number, one: fc.Arbitrary<Value>): fc.Arbitrary<Value[]> =>
  fc.array(one, { minLength: count, maxLength: count });

/** Runs a check on calls that share what `made` draws for a setting; what decides the kernel is all there. */
function trialOf<Made>(
  size: Size,
  made: (setting: Setting) => fc.Arbitrary<Made>,
  check: (device: Device, made: Made, data: CallData) => Promise<void>,
): Trial {
  return async (device, seed) => {
    const drawn = settingsFor(device).chain((setting) =>
      fc.tuple(made(setting), times(size.calls, callsOf(setting, size))),
    );
    const [[one, data]] = fc.sample(drawn, { numRuns: 1, seed }) as [[Made, CallData[]]];
    for (const own of data) await named(own, () => check(device, one, own));
    return data.length;
  };
}

/** The usual case: one random pattern, and a number that the check asks for. */
const randomTrial = (
  size: Size,
  options: PatternOptions,
  check: (device: Device, call: RandomCall, number: number) => Promise<void>,
): Trial =>
  trialOf(
    size,
    (setting) => fc.tuple(patternsOf(setting, options), fc.nat(1000)),
    (device, [pattern, number], data) => check(device, { pattern, data }, number),
  );

const plain = { score: false, rest: false } as const;

/** Law 5: another tile, and the same again. */
const tuning: Trial = trialOf(
  { calls: 8 },
  (setting) =>
    fc.tuple(
      patternsOf(setting, { score: false }),
      fc.shuffledSubarray([...tiles], { minLength: 2, maxLength: 4 }),
    ),
  async (device, [pattern, others], data) => {
    for (const tile of others.filter((one) => fits(one, data.shape, roomOf(device))))
      await checkKnobs(device, { pattern, data }, { ...tile, ...gatherOf(pattern) });
    await checkSameBits(device, { pattern, data }, 10);
  },
);

/** Law 10. */
const heads: Trial = trialOf(
  { calls: 6 },
  (setting) => {
    const one = patternsOf(setting, {});
    return fc.tuple(fc.tuple(one, one), fc.array(fc.boolean(), { minLength: 3, maxLength: 4 }));
  },
  (device, [pair, isSecond], data) => checkHeads(device, pair, data, isSecond),
);

/** Law 6 on a built-in pattern: selections agree but for rounding, attention agrees on equal sets. */
const builtIns: Trial = async (device, seed) => {
  const names = fc.constantFrom(...patterns.keys());
  const drawn = fc
    .tuple(settingsFor(device), names)
    .chain(([setting, name]) =>
      fc.tuple(
        fc.constant(setting),
        times(20, builtInCalls([name], { longest: 260, tile: 16, groups: 4 })),
      ),
    );
  const [[setting, calls]] = fc.sample(drawn, { numRuns: 1, seed }) as [[Setting, BuiltInCall[]]];
  const { headDim, valueDim, dtype, tile = {} } = setting;
  const fixed = fixedOf(calls[0]!);
  for (const { name, call } of calls) {
    const shape = { ...call.shape, headDim, valueDim };
    const own = { ...call, shape, dtype, params: { ...call.params, ...fixed } };
    await named(own, () => checkBuiltIn(device, { name, knobs: tile, call: own }));
  }
  return calls.length;
};

/** Law 6 on built-in patterns whose heads may fall back after they have chosen. */
const fallback: Trial = async (device, seed) => {
  const sizes = { longest: 600, tile: 64, groups: 4 };
  const drawn = fc
    .tuple(settingsFor(device), fc.constantFrom(...openPatterns))
    .chain(([setting, name]) =>
      fc.tuple(fc.constant(setting), times(8, builtInCalls([name], sizes))),
    );
  const [[setting, calls]] = fc.sample(drawn, { numRuns: 1, seed }) as [[Setting, BuiltInCall[]]];
  const { headDim, valueDim, dtype } = setting;
  const fixed = fixedOf(calls[0]!);
  for (const { name, call } of calls) {
    const shape = { ...call.shape, headDim, valueDim };
    const own = { ...call, shape, dtype, params: { ...call.params, ...fixed } };
    const one = patterns.get(name)!;
    const inputs = tensorsOfCall(one.definition, own);
    await named({ name, ...own }, async () => {
      await checkFallback(device, one, own, inputs);
    });
  }
  return calls.length;
};

/** The fixed numbers of a call: with others the kernel would be another. */
function fixedOf({ name, call }: BuiltInCall): typeof call.params {
  const { given } = patterns.get(name)!.definition;
  return Object.fromEntries(Object.entries(call.params).filter(([param]) => isFixed(given[param])));
}

/** Law 6 on packed sequences, which are their own calls to the bit. */
const packedSequences: Trial = async (device, seed) => {
  const drawn = fc
    .tuple(settingsFor(device), fc.constantFrom(...packable))
    .chain(([{ headDim, valueDim, dtype }, made]) => {
      const sample = packed(dtype).map((one) => ({ ...one, headDim, valueDim }));
      return fc.tuple(fc.constant(made), times(12, sample));
    });
  const [[made, samples]] = fc.sample(drawn, { numRuns: 1, seed }) as [
    [(typeof packable)[number], Packed[]],
  ];
  for (const sample of samples) await named(sample, () => checkPacked(device, sample, made));
  return samples.length;
};

/** Law 6 where scores are far apart. */
const spikes: Trial = async (device, seed) => {
  const drawn = fc
    .tuple(settingsFor(device), fc.constantFrom(...spikyPatterns.keys()))
    .chain(([setting, name]) => {
      const { headDim, valueDim, dtype } = setting;
      const options = { longest: 520, tile: 128, dims: { headDim, valueDim } };
      return fc.tuple(fc.constant({ setting, name }), times(12, spiky([dtype], options)));
    });
  const [[{ setting, name }, samples]] = fc.sample(drawn, { numRuns: 1, seed }) as [
    [{ setting: Setting; name: string }, Spiky[]],
  ];
  for (const sample of samples)
    await named({ name, ...sample }, () => checkSpikes(device, sample, name, setting.tile));
  return samples.length;
};

/** Law 6 where a score has a bias that is linear in the key. */
const ramps: Trial = async (device, seed) => {
  const drawn = fc
    .tuple(settingsFor(device), fc.constantFrom(...rampPatterns.keys()))
    .chain(([setting, name]) => {
      const { headDim, valueDim, dtype } = setting;
      const options = { longest: 520, tile: 128, dims: { headDim, valueDim }, dtype };
      return fc.tuple(fc.constant({ setting, name }), times(12, ramped(options)));
    });
  const [[{ setting, name }, samples]] = fc.sample(drawn, { numRuns: 1, seed }) as [
    [{ setting: Setting; name: string }, Ramped[]],
  ];
  for (const sample of samples)
    await named({ name, ...sample }, () => checkRamp(device, sample, name, setting.tile));
  return samples.length;
};

/** Law 6 on sets that a call is given. */
const sets: Trial = async (device, seed) => {
  const drawn = fc
    .tuple(settingsFor(device), fc.constantFrom(...givenPatterns.keys()))
    .chain(([{ headDim, valueDim, dtype }, name]) => {
      const options = { longest: 2600, dims: { headDim, valueDim }, dtype };
      return fc.tuple(fc.constant(name), times(8, givenSets(options)));
    });
  const [[name, calls]] = fc.sample(drawn, { numRuns: 1, seed }) as [[string, GivenSets[]]];
  for (const call of calls)
    await named({ name, ...call }, () => checkGivenSets(device, call, name));
  return calls.length;
};

/** Says of which call an error is. */
async function named(data: object, run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error);
    throw new Error(`${what}\n${JSON.stringify(data)}`, { cause: error });
  }
}

export interface DeviceLaw {
  readonly name: string;
  /** How often it is tried, beside the others. */
  readonly share: number;
  readonly trial: Trial;
}

export const laws: readonly DeviceLaw[] = [
  { name: '6 random patterns', share: 12, trial: randomTrial({ calls: 50 }, {}, (device, call) => checkCall(device, call)) },
  { name: '6 built-in patterns', share: 12, trial: builtIns },
  { name: '6 fallback', share: 3, trial: fallback },
  { name: '6 long calls', share: 4, trial: randomTrial({ calls: 8, longest: 600, tile: 128, heads: 2 }, {}, (device, call) => checkCall(device, call)) },
  { name: '6 packed sequences', share: 2, trial: packedSequences },
  { name: '6 spikes', share: 4, trial: spikes },
  { name: '6 ramps', share: 3, trial: ramps },
  { name: '6 given sets', share: 3, trial: sets },
  { name: '5 tuning', share: 2, trial: tuning },
  { name: '7 unseen keys', share: 2, trial: randomTrial({ calls: 8, longest: 100 }, {}, checkUnseen) },
  { name: '7 spoiled values', share: 2, trial: randomTrial({ calls: 8, longest: 100 }, { rest: false }, checkSpoiled) },
  { name: '8 empty rows', share: 1, trial: randomTrial({ calls: 10 }, { rest: false }, (device, call, number) => checkEmptyRows(device, call, 2 + (number % 4))) },
  { name: '9 ones', share: 1, trial: randomTrial({ calls: 10 }, {}, checkOnes) },
  { name: '9 linear', share: 1, trial: randomTrial({ calls: 10 }, {}, checkLinear) },
  { name: '9 shift', share: 1, trial: randomTrial({ calls: 10 }, plain, (device, call, number) => checkShift(device, call, (number % 17) - 8)) },
  { name: '10 heads', share: 2, trial: heads },
  { name: '11 splitting', share: 2, trial: randomTrial({ calls: 8 }, plain, (device, call, number) => checkSplit(device, call, number % 71)) },
  { name: '13 single pools', share: 1, trial: randomTrial({ calls: 8 }, plain, (device, call) => checkSinglePools(device, call, call.pattern.knobs)) },
  { name: '13 constant blocks', share: 1, trial: randomTrial({ calls: 8 }, plain, (device, call, number) => checkConstantBlocks(device, call, 2 ** (number % 5))) },
]; // biome-ignore format: a table
