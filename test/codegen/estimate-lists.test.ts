// Launch lists of estimates as data: what compiles anew and what does not, how much memory they take, and
// grids that a device accepts.

import { expect, it } from 'vitest';
import { estimateLaunch } from '../../codegen/estimate/index.ts';
import { scoreBytes } from '../../codegen/estimate/waves.ts';
import { traceSets } from '../../dsl/definition.ts';
import type { LaunchShape } from '../../dsl/shape.ts';
import { patterns } from '../../patterns/index.ts';
import { builtIn, launchOf } from './estimate-calls.ts';

const names = [
  'vertical-slash',
  'block-sparse',
  'x-attention',
  'flash-prefill',
  'nsa-selection',
  'flex-prefill',
];

const defaults: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  'vertical-slash': { verticals: 1000, slashes: 6096, probe: 64, grain: 64 },
  'block-sparse': { block: 64, blocksPerRow: 100 },
  'x-attention': { block: 128, stride: 8, mass: 0.9 },
  'flash-prefill': { block: 128, tile: 32, share: 0.1, tail: 256 },
  'nsa-selection': { block: 64, blocksPerQuery: 16, window: 512 },
  'flex-prefill': { block: 128, mass: 0.9, tau: 0.1 },
};

/** A list for lengths that no tensor is made for. */
function launchFor(name: string, sizes: Partial<LaunchShape>) {
  const shape = {
    batch: 1,
    heads: 32,
    kvHeads: 8,
    qLen: 131072,
    kLen: 131072,
    headDim: 128,
    valueDim: 128,
    ...sizes,
  };
  const { heads, kvHeads, qLen, kLen, headDim } = shape;
  const graph = traceSets(patterns.get(name)!.definition, defaults[name]!);
  return estimateLaunch({
    graphs: Array.from({ length: heads }, () => graph),
    shape,
    dtype: 'bf16',
    strides: {
      q: [heads * qLen * headDim, qLen * headDim, headDim],
      k: [kvHeads * kLen * headDim, kLen * headDim, headDim],
    },
  });
}

const textsOf = (launch: ReturnType<typeof launchFor>): string[] =>
  launch.kernels.map(({ source }) => source).sort();

it.each<[string, Record<string, number | number[]>, Record<string, number | number[]>]>([
  ['vertical-slash', { verticals: 10 }, { verticals: [1, 2, 3, 40], slashes: 7 }],
  ['block-sparse', { blocksPerRow: 1 }, { blocksPerRow: [5, 6, 7, 8] }],
  ['x-attention', { mass: 0.5 }, { mass: [0.1, 0.2, 0.9, 1] }],
  ['flash-prefill', { share: 0.5 }, { share: [0.1, 0.1, 0.2, 0.2] }],
  ['nsa-selection', { blocksPerQuery: 1 }, { blocksPerQuery: 9 }],
  ['flex-prefill', { tau: 0.1 }, { tau: [0, 0.1, 1, 1], mass: 0.5 }],
])('another budget of %s compiles nothing', (name, some, other) => {
  const [a, b] = [some, other].map((params) => textsOf(launchOf(builtIn(name, params))));
  expect(b).toEqual(a);
});

// A probe has a warpgroup for each query head of a KV head: how many there are is in its text.
it.each(names)('other lengths, batches and groups of heads of %s compile nothing', (name) => {
  const some = launchFor(name, { qLen: 4096, kLen: 5000, batch: 2 });
  expect(textsOf(launchFor(name, { qLen: 300, kLen: 4999, heads: 16, kvHeads: 4 }))).toEqual(
    textsOf(some),
  );
});

it.each(names)('%s holds bounded workspace at 128K and 256K keys', (name) => {
  for (const length of [2 ** 17, 2 ** 18]) {
    const { list } = launchFor(name, { qLen: length, kLen: length });
    const bytes = Object.fromEntries(list.workspace.map((buffer) => [buffer.name, buffer.bytes]));
    expect(bytes.scores ?? 0).toBeLessThanOrEqual(scoreBytes);
    const others = list.workspace.filter(({ name: own }) => own !== 'scores');
    const all = others.reduce((sum, buffer) => sum + buffer.bytes, 0);
    expect(all, JSON.stringify(bytes)).toBeLessThanOrEqual(2 * scoreBytes);
  }
});

it.each(names)('the grids of %s are none that a device refuses', (name) => {
  for (const sizes of [
    { qLen: 2 ** 18, kLen: 2 ** 18 },
    { qLen: 2 ** 10, kLen: 2 ** 20 },
    { batch: 64 },
  ]) {
    for (const step of launchFor(name, sizes).list.steps) {
      if (step.op !== 'launch') continue;
      const [x, y, z] = step.grid;
      expect(Math.max(y, z), step.kernel.name).toBeLessThan(2 ** 16);
      expect(x).toBeLessThan(2 ** 31);
      expect(Math.min(x, y, z)).toBeGreaterThan(0);
      step.kernel.params.pack({
        ...step.args,
        ...Object.fromEntries(Object.keys(step.buffers).map((field) => [field, 0])),
      });
    }
  }
});

it.each<[string, Record<string, number>, number]>([
  ['vertical-slash', { verticals: 30, slashes: 100 }, 1],
  ['block-sparse', { blocksPerRow: 2 }, 1],
  ['x-attention', { mass: 0.5 }, 0.01],
  ['flex-prefill', { mass: 0.5 }, 0.01],
])(
  '32 heads with budgets of their own are as many launches as equal ones: %s',
  (name, one, step) => {
    const sizes = { heads: 32, kvHeads: 8, qLen: 300, kLen: 300 };
    const own = Object.fromEntries(
      Object.entries(one).map(([key, n]) => [
        key,
        Array.from({ length: 32 }, (_, i) => n + i * step),
      ]),
    );
    const stepsOf = (params: typeof own | typeof one) =>
      launchOf(builtIn(name, params, sizes)).list.steps.map((own) =>
        own.op === 'launch' ? own.kernel.name : own.op,
      );
    expect(stepsOf(own)).toEqual(stepsOf(one));
  },
);
