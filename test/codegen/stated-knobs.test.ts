// What a schedule states of a kernel's knobs, and what comes of it on chips that know them and on others.

import { describe, expect, test } from 'vitest';
import { choiceName } from '../../codegen/attention/choice.ts';
import { leftAside, statesTile } from '../../codegen/attention/stated.ts';
import type { Definition } from '../../dsl/definition.ts';
import { count, f32, pattern } from '../../dsl/index.ts';
import type { Knobs } from '../../dsl/schedule.ts';
import { defaultChoices, fits, legalChoices } from '../../runtime/cuda/candidates.ts';
import type { KernelRequest } from '../../runtime/cuda/kernel-request.ts';

const hopper = { name: 'H100', arch: 'sm_90a', blockSharedBytes: 232_448 };
const ada = { name: 'L4', arch: 'sm_89', blockSharedBytes: 99 * 1024 };
const window = pattern('window', { width: count.default(9) }).mask(
  ({ q, k }, { width }) => k <= q && q - k < width,
);
const sloped = pattern('sloped', { slope: f32('head') })
  .mask(({ q, k }) => k <= q)
  .score(({ s, q, k, head }, { slope }) => s - (q - k) * slope.at(head));

/** The pattern with a schedule of its own. */
const withKnobs = (one: typeof window | typeof sloped, knobs: Knobs): Definition =>
  (one as typeof window).schedule(knobs as never).definition;

const requestOf = (definition: Definition, dim = 128, group = 4): KernelRequest => ({
  ...{ definition, numbers: { width: 9 }, graph: {}, segments: false, group },
  shape: { headDim: dim, valueDim: dim, dtype: 'bf16' },
});
const firstOn = (chip: typeof hopper, knobs: Knobs, dim?: number): string =>
  choiceName(defaultChoices(requestOf(withKnobs(window, knobs), dim), chip)[0]!);

describe('on a Hopper chip', () => {
  test.each<[Knobs, string]>([
    [{}, 'hopper 128x128, 2 stages, 2 Q buffers, speculative'],
    [{ softmax: 'classic' }, 'hopper 128x128, 2 stages, 2 Q buffers, classic'],
    [{ qBuffers: [1, 2] }, 'hopper 128x128, 2 stages, 1 Q buffer, speculative'],
    [{ pingPong: true, stages: 2 }, 'hopper 128x128, 2 stages, 1 Q buffer, ping-pong, speculative'],
    [{ work: 'longest' }, 'hopper 128x128, 2 stages, 2 Q buffers, speculative, longest first'],
    [{ headsPerTile: 4 }, 'hopper 128x128, 2 stages, 2 Q buffers, 4 heads, speculative'],
    [{ qTile: 192, kTile: 80 }, 'hopper 192x80, 2 stages, 1 Q buffer, speculative'],
    [{ kTile: [160, 128] }, 'hopper 128x160, 2 stages, 1 Q buffer, speculative'],
    [{ qTile: 64 }, 'hopper 64x64, 2 stages, 1 Q buffer, speculative, 2 blocks'],
  ])('%j', (knobs, name) => {
    expect(firstOn(hopper, knobs)).toBe(name);
  });

  test('heads that a call does not have are not shared', () => {
    const definition = withKnobs(window, { headsPerTile: 4 });
    const [first] = defaultChoices(requestOf(definition, 128, 6), hopper);
    expect(choiceName(first!)).toBe('hopper 128x128, 2 stages, 2 Q buffers, speculative');
  });

  test.each<[Knobs, RegExp]>([
    [{ qTile: 64, pingPong: true }, /nobody to take turns/],
    [{ qTile: 80, softmax: 'classic' }, /whole warpgroups/],
    [{ kTile: 128, boxes: 2, headsPerTile: 2 }, /boxes by warpgroup/],
    [{ kTile: 256, qBuffers: 2 }, /registers/],
    [{ qTile: 192, kTile: 256 }, /does not fit/],
  ])('%j is impossible', (knobs, why) => {
    const definition = withKnobs(window, knobs);
    const choose = () => defaultChoices(requestOf(definition), hopper);
    expect(choose).toThrow(/S001/);
    expect(choose).toThrow(why);
  });

  test('heads that differ cannot share a tile', () => {
    const definition = withKnobs(sloped, { headsPerTile: 4 });
    expect(() => defaultChoices(requestOf(definition), hopper)).toThrow(/S001.*same keys/);
  });
});

test('what another chip does not know is left aside there', () => {
  const knobs: Knobs = { kTile: 64, softmax: 'classic', headsPerTile: 4, work: 'heads' };
  const [first] = defaultChoices(requestOf(withKnobs(window, knobs)), ada);
  expect(choiceName(first!)).toBe('portable 64x64, 4 warps, 1 stage, 1 block');
  expect(leftAside(knobs, first!)).toEqual(['headsPerTile', 'work', 'softmax']);
  expect(leftAside({ kTile: 64 }, first!)).toEqual([]);
});

test('a tile that only a better back-end has room for is no mistake', () => {
  const stated = withKnobs(window, { qTile: 128, kTile: 160 });
  const all = defaultChoices(requestOf(stated), hopper);
  expect(choiceName(all[0]!)).toBe('hopper 128x160, 2 stages, 1 Q buffer, speculative');
  expect(choiceName(all.at(-1)!)).toMatch(/^portable/);
  expect(() => defaultChoices(requestOf(stated), ada)).toThrow(/S001/);
});

test('blocks a multiprocessor are stated for portable tiles of the table too', () => {
  for (const { knobs } of defaultChoices(requestOf(withKnobs(window, { blocks: 1 })), ada))
    expect(knobs.blocks).toBe(1);
});

test('a tuner chooses within what is stated', () => {
  const knobs: Knobs = { softmax: 'classic', work: ['heads', 'longest'], headsPerTile: [1, 2] };
  const request = requestOf(withKnobs(window, knobs));
  const all = legalChoices(request, hopper);
  const seen = (name: string) =>
    new Set(
      all.flatMap((one) =>
        one.backend === 'hopper' ? [(one.knobs as unknown as Record<string, unknown>)[name]] : [],
      ),
    );
  expect(seen('speculative')).toEqual(new Set([false]));
  expect(seen('work')).toEqual(new Set(['heads', 'longest']));
  expect(seen('headsPerTile')).toEqual(new Set([1, 2]));
  expect(seen('qTile')).toEqual(new Set([128, 192, 64]));
  expect(all.every((choice) => fits(request, hopper, choice))).toBe(true);
  const others = legalChoices(requestOf(window.definition), hopper).filter(
    (choice) => !fits(request, hopper, choice),
  );
  expect(others.length).toBeGreaterThan(0);
});

test('the author has the last word where a tile is stated and nothing is left to choose', () => {
  expect(statesTile({ kTile: 64, softmax: 'classic' })).toBe(true);
  expect(statesTile({ softmax: 'classic' })).toBe(false);
  expect(statesTile({ kTile: 64, work: ['heads', 'longest'] })).toBe(false);
});
