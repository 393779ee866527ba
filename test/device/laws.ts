// The laws of results as they are tried on a device: each takes a seed, makes a pattern with one kernel, and
// runs many calls of it, since compiling costs more than running.

import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Expression } from '../../dsl/expression.ts';
import { byHead } from '../../dsl/heads.ts';
import type { AnyPattern } from '../../dsl/pattern.ts';
import type { Knobs } from '../../dsl/schedule.ts';
import { queryOffset } from '../../dsl/shape.ts';
import { patterns } from '../../patterns/index.ts';
import { compile } from '../../runtime/attend.ts';
import type { Device } from '../../runtime/device.ts';
import type { FloatTensor, Tensor } from '../../runtime/tensor.ts';
import { tensor } from '../../runtime/tensor.ts';
import { arbitraryShape } from '../arbitraries.ts';
import {
  arbitraryCallData,
  arbitraryPattern,
  type CallData,
  inputsOf,
  paramsOf,
  patternOf,
  type RandomPattern,
} from '../laws/arbitraries.ts';
import { assertClose, boundOf, huge, type Numbers, overwrite, times } from '../laws/attention.ts';
import { builtInCalls, checkBuiltIn } from '../laws/properties/built-ins.ts';
import { checkCall } from '../laws/properties/devices.ts';

/** Tries one law: the cases it ran. Throws with what is wrong. */
export type Trial = (device: Device, seed: number) => Promise<number>;

const dims: readonly (readonly [headDim: number, valueDim: number])[] = [
  [64, 64], [128, 128], [96, 96], [32, 32], [256, 256], [192, 128],
  [8, 8], [24, 40], [80, 80], [16, 120], [72, 64], [248, 8], [112, 200],
]; // biome-ignore format: a table

/** Tiles that CUDA takes; undefined is its own choice. */
const tiles: readonly (Knobs | undefined)[] = [
  undefined,
  undefined,
  { qTile: 16, kTile: 16, warps: 1, stages: 3 },
  { qTile: 64, kTile: 32, warps: 4, stages: 2 },
  { qTile: 128, kTile: 32, warps: 4, stages: 1 },
  { qTile: 32, kTile: 48, warps: 2, stages: 2 },
];

const pick = <Item>(items: readonly Item[], seed: number): Item => items[seed % items.length]!;

interface Setting {
  readonly headDim: number;
  readonly valueDim: number;
  readonly dtype: 'bf16' | 'fp16';
  readonly knobs: Knobs | undefined;
}

function settingOf(seed: number): Setting {
  const [headDim, valueDim] = pick(dims, seed);
  const dtype = pick(['bf16', 'fp16'] as const, Math.floor(seed / dims.length));
  // Large heads have no room for the larger tiles.
  const knobs = Math.max(headDim, valueDim) > 128 ? undefined : pick(tiles, Math.floor(seed / 7));
  return { headDim, valueDim, dtype, knobs };
}

/** Random shapes and tensors of one dtype and pair of dimensions. */
function callsOf({ headDim, valueDim, dtype }: Setting, seed: number, count: number): CallData[] {
  const shapes = arbitraryShape({ tile: 32, most: 200, least: 0, heads: 4 });
  const drawn = fc.sample(arbitraryCallData(shapes), { numRuns: count, seed });
  return drawn.map((data) => ({ ...data, dtype, shape: { ...data.shape, headDim, valueDim } }));
}

function patternWith({ knobs }: Setting, seed: number): RandomPattern {
  const [drawn] = fc.sample(arbitraryPattern(), { numRuns: 1, seed });
  const { gather } = drawn!.knobs;
  return { ...drawn!, knobs: { ...knobs, ...(gather === undefined ? {} : { gather }) } };
}

async function numbersOf(device: Device, made: AnyPattern, data: CallData, inputs: object) {
  const { heads, kvHeads, headDim, valueDim } = data.shape;
  const { dtype } = data;
  const attend = await compile(made, { heads, kvHeads, headDim, valueDim, dtype, device });
  const { out, lse } = await attend(inputs as never, paramsOf(data) as never);
  return { out: await out.read(), lse: await lse.read() };
}

/** Law 6: the device gives what the oracle gives, on random patterns. */
const randomPatterns: Trial = async (device, seed) => {
  const setting = settingOf(seed);
  const pattern = patternWith(setting, seed);
  const calls = callsOf(setting, seed, 50);
  for (const data of calls) await named(data, () => checkCall(device, { pattern, data }));
  return calls.length;
};

/** Law 6 on the built-in patterns: selections agree but for rounding, attention agrees on equal sets. */
const builtIns: Trial = async (device, seed) => {
  const { headDim, valueDim, dtype, knobs = {} } = settingOf(seed);
  const name = pick([...patterns.keys()], seed);
  const sizes = { longest: 260, tile: 16, groups: 4 };
  const [first, ...others] = fc.sample(builtInCalls([name], sizes), { numRuns: 20, seed });
  const fixed = first!.call.params as Record<string, unknown>;
  const calls = [first!, ...others].map((one) => {
    const shape = { ...one.call.shape, headDim, valueDim };
    // Numbers that are fixed stay those of the first call: others would be other kernels.
    const params = { ...one.call.params, ...fixedOf(name, fixed) };
    return { ...one, knobs, call: { ...one.call, shape, dtype, params } };
  });
  for (const one of calls) await named(one.call, () => checkBuiltIn(device, one as never));
  return calls.length;
};

function fixedOf(name: string, params: Record<string, unknown>): Record<string, unknown> {
  const { given } = patterns.get(name)!.definition;
  const isFixed = (entry: object | undefined) => entry !== undefined && 'fixed' in entry;
  return Object.fromEntries(
    Object.entries(params).filter(([param]) => isFixed(given[param] as object | undefined)),
  );
}

/** Law 5: legal tiles change the result within rounding only; the same tile gives the same bits. */
const tuning: Trial = async (device, seed) => {
  const setting = { ...settingOf(seed), knobs: undefined };
  if (Math.max(setting.headDim, setting.valueDim) > 128) return 0;
  const drawn = patternWith(setting, seed);
  if (drawn.score) return 0; // its bound depends on its values: law 6 covers it
  let cases = 0;
  for (const data of callsOf(setting, seed, 8)) {
    const inputs = inputsOf(data);
    const results: Numbers[] = [];
    for (const knobs of [tiles[0], tiles[2], tiles[3], tiles[4]]) {
      const { gather } = drawn.knobs;
      const made = patternOf({ ...drawn, knobs: { ...knobs, ...(gather ? { gather } : {}) } });
      results.push(await numbersOf(device, made, data, inputs));
      if (results.length === 1) {
        for (let again = 0; again < 9; again += 1)
          assert.deepEqual(await numbersOf(device, made, data, inputs), results[0]);
      }
    }
    const bound = times(boundOf(data, 6.4), 2);
    for (const other of results.slice(1)) assertClose(other, results[0]!, bound, data.shape);
    cases += results.length + 9;
  }
  return cases;
};

/** Laws 8 and 9: V of ones gives ones; the output is linear in V; rows without a key give 0 and -Infinity. */
const rows: Trial = async (device, seed) => {
  const setting = settingOf(seed);
  const drawn = { ...patternWith(setting, seed), rest: undefined };
  const made = patternOf(drawn);
  let cases = 0;
  for (const data of callsOf(setting, seed, 10)) {
    const inputs = inputsOf(data);
    const { dtype, shape } = data;
    const [batch, heads, kLen] = [shape.batch, shape.kvHeads, shape.kLen];
    const ones = tensor.full([batch, heads, kLen, shape.valueDim], 1, { dtype });
    const { out, lse } = await numbersOf(device, made, data, { ...inputs, v: ones });
    const low = dtype === 'bf16' ? 2 ** -7 : 2 ** -10;
    for (const [row, sum] of lse.entries()) {
      const empty = sum === -Infinity;
      for (let d = 0; d < shape.valueDim; d += 1) {
        const x = out[row * shape.valueDim + d]!;
        assert.ok(empty ? x === 0 : Math.abs(x - 1) <= low, `row ${row}: ${x} beside lse ${sum}`);
      }
    }
    cases += 1;
  }
  return cases;
};

/** Law 7: keys that nobody sees may be NaN, their values too, and nothing changes. */
const poison: Trial = async (device, seed) => {
  const setting = settingOf(seed);
  const window = 3 + (seed % 40);
  const mask = windowMask(window);
  const made = patternOf({
    ...patternWith(setting, seed),
    mask,
    score: undefined,
    rest: undefined,
    knobs: setting.knobs ?? {},
  });
  let cases = 0;
  for (const data of callsOf(setting, seed, 10)) {
    const { shape, dtype } = data;
    if (shape.qLen === 0 || shape.kLen === 0) continue;
    const inputs = inputsOf(data);
    const first = queryOffset(shape);
    const isSeen = (key: number) => key > first - window;
    const clean = await numbersOf(device, made, data, inputs);
    const k = await overwrite(inputs.k as Tensor, (_, __, key) => (isSeen(key) ? undefined : NaN));
    const v = await overwrite(inputs.v as Tensor, (_, __, key) =>
      isSeen(key) ? undefined : huge[dtype],
    );
    assert.deepEqual(await numbersOf(device, made, data, { ...inputs, k, v }), clean);
    cases += 1;
  }
  return cases;
};

/** `k <= q && q - k < window` as an expression. */
function windowMask(window: number): Expression {
  const q = { op: 'index', kind: 'int', name: 'q' } as const;
  const k = { op: 'index', kind: 'int', name: 'k' } as const;
  const distance = { op: 'binary', kind: 'int', name: 'sub', args: [q, k] } as const;
  const limit = { op: 'const', kind: 'int', value: window } as const;
  const causal = { op: 'compare', kind: 'bool', name: 'le', args: [k, q] } as const;
  const near = { op: 'compare', kind: 'bool', name: 'lt', args: [distance, limit] } as const;
  return { op: 'and', kind: 'bool', args: [causal, near] };
}

/** Law 10: a pattern per head is each head's own pattern, to the bit. */
const heads: Trial = async (device, seed) => {
  const setting = settingOf(seed);
  const two = [0, 1].map((i) => patternOf(patternWith(setting, seed + i)));
  let cases = 0;
  for (const data of callsOf(setting, seed, 6)) {
    const inputs = inputsOf(data);
    const { chosen: _, ...tensors } = inputs as Record<string, unknown>;
    const { shape, dtype } = data;
    const list = Array.from({ length: shape.heads }, (__, head) => two[head % 2]!);
    const { heads: count, kvHeads, headDim, valueDim } = shape;
    const options = { heads: count, kvHeads, headDim, valueDim, dtype, device };
    const attend = await compile(byHead(list as never), options);
    const sets = [...new Set(list)].map(() => (inputs as { chosen?: object }).chosen);
    const both = await attend({ ...tensors, chosen: sets } as never, paramsOf(data) as never);
    const all = await readBoth(both);
    for (const [i, made] of [...new Set(list)].entries()) {
      const own = await numbersOf(device, made, data, inputs);
      for (const [row, value] of own.lse.entries()) {
        const head = Math.floor(row / shape.qLen) % shape.heads;
        if (head % 2 !== i) continue;
        assert.equal(all.lse[row], value, `lse of row ${row}`);
        const at = row * shape.valueDim;
        assert.deepEqual(all.out.slice(at, at + valueDim), own.out.slice(at, at + valueDim));
      }
    }
    cases += 1;
  }
  return cases;
};

const readBoth = async ({
  out,
  lse,
}: {
  out: FloatTensor;
  lse: FloatTensor;
}): Promise<Numbers> => ({
  out: await out.read(),
  lse: await lse.read(),
});

/** Law 11: keys in two halves, merged by their LSEs, are the whole. */
const splitting: Trial = async (device, seed) => {
  const setting = settingOf(seed);
  const drawn = patternWith(setting, seed);
  const base = { ...drawn, score: undefined, rest: undefined, knobs: setting.knobs ?? {} };
  const cut = { op: 'const', kind: 'int', value: 5 + (seed % 60) } as const;
  const k = { op: 'index', kind: 'int', name: 'k' } as const;
  const below = { op: 'compare', kind: 'bool', name: 'lt', args: [k, cut] } as const;
  const above = { op: 'not', kind: 'bool', args: [below] } as const;
  const halves = [below, above].map((half) =>
    patternOf({ ...base, mask: { op: 'and', kind: 'bool', args: [base.mask, half] } }),
  );
  const made = patternOf(base);
  let cases = 0;
  for (const data of callsOf(setting, seed, 8)) {
    const inputs = inputsOf(data);
    const whole = await numbersOf(device, made, data, inputs);
    const [a, b] = [
      await numbersOf(device, halves[0]!, data, inputs),
      await numbersOf(device, halves[1]!, data, inputs),
    ];
    const merged: Numbers = {
      out: new Float32Array(whole.out.length),
      lse: new Float32Array(whole.lse.length),
    };
    const { valueDim } = data.shape;
    for (const row of whole.lse.keys()) {
      const high = Math.max(a.lse[row]!, b.lse[row]!);
      const [x, y] =
        high === -Infinity ? [0, 0] : [Math.exp(a.lse[row]! - high), Math.exp(b.lse[row]! - high)];
      merged.lse[row] = high === -Infinity ? -Infinity : high + Math.log(x + y);
      for (let at = row * valueDim; at < (row + 1) * valueDim; at += 1)
        merged.out[at] = x + y === 0 ? 0 : (x * a.out[at]! + y * b.out[at]!) / (x + y);
    }
    assertClose(merged, whole, times(boundOf(data, 6.4), 3), data.shape);
    cases += 1;
  }
  return cases;
};

async function named(data: object, run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    throw new Error(`${error instanceof Error ? error.message : error}\n${JSON.stringify(data)}`, {
      cause: error,
    });
  }
}

/** All laws, and how often each is tried. */
export const laws: readonly {
  readonly name: string;
  readonly share: number;
  readonly trial: Trial;
}[] = [
  { name: '6 random patterns', share: 6, trial: randomPatterns },
  { name: '6 built-in patterns', share: 6, trial: builtIns },
  { name: '5 tuning', share: 1, trial: tuning },
  { name: '7 poison', share: 1, trial: poison },
  { name: '8 and 9 rows', share: 1, trial: rows },
  { name: '10 heads', share: 1, trial: heads },
  { name: '11 splitting', share: 1, trial: splitting },
];
