// Chunks of a prompt: fewer queries than keys. An estimate looks at the last queries of the chunk.

import { describe, expect, it } from 'vitest';
import type { ChosenSetsData } from '../../dsl/chosen.ts';
import {
  type AnyPattern,
  compile,
  flexPrefill,
  openDevice,
  type ParameterValues,
  readChosen,
  type Tensor,
  tensor,
  verticalSlash,
} from '../../index.ts';
import { compareWithOracle, showDisagreements } from '../../runtime/testing/agree.ts';

const [heads, kvHeads, length, dim] = [4, 2, 230, 16];
const make = (units: number, seed: number): Tensor =>
  tensor.random([1, units, length, dim], { seed, scale: 1.5, dtype: 'bf16' });
const all = { q: make(heads, 1), k: make(kvHeads, 2), v: make(kvHeads, 3) };

/** Rows `[from, to)` of the sequence axis. */
function rows(of: Tensor, from: number, to: number): Tensor {
  const units = of.shape[1]!;
  const data = new Uint16Array(units * (to - from) * dim);
  for (let unit = 0; unit < units; unit += 1) {
    const part = of.data.subarray((unit * length + from) * dim, (unit * length + to) * dim);
    data.set(part as Uint16Array, unit * (to - from) * dim);
  }
  return tensor(data, { shape: [1, units, to - from, dim], dtype: 'bf16' });
}

/** Queries `[from, to)` after all keys before `to`. */
const chunk = (from: number, to: number) => ({
  q: rows(all.q, from, to),
  k: rows(all.k, 0, to),
  v: rows(all.v, 0, to),
});

const membersOf = (sets: ChosenSetsData) =>
  Object.entries(sets).flatMap(([name, { units, axes }]) =>
    axes.length > 1 ? [] : units.map((set, unit) => `${name} ${unit}: ${set.members().join(' ')}`),
  );

const patterns: readonly (readonly [string, AnyPattern, ParameterValues])[] = [
  [
    'vertical-slash',
    verticalSlash,
    { verticals: [31, 35, 40, 50], slashes: 110, probe: 16 } as never,
  ],
  ['flex-prefill', flexPrefill, { block: 16, mass: [0.3, 0.5, 0.7, 0.9], tau: 0 } as never],
];

describe.each(['cpu', 'emulated:sm_80'])('on %s', (name) => {
  it.each(patterns)(
    '%s chooses for a chunk what it chooses for the prompt up to there',
    async (_, pattern, params) => {
      await using device = await openDevice(name);
      const attend = await compile(pattern, {
        heads,
        kvHeads,
        headDim: dim,
        dtype: 'bf16',
        device,
      });
      for (const [from, to] of [
        [130, 230],
        [64, 128],
        [37, 95],
        [199, 230],
      ] as const) {
        // biome-ignore format: a table
        const part = await readChosen(await attend.estimate(chunk(from, to), params));
        const whole = await readChosen(await attend.estimate(chunk(0, to), params));
        expect(membersOf(part).length).toBeGreaterThan(0);
        expect(membersOf(part)).toEqual(membersOf(whole));
      }
    },
  );

  it.each(patterns)('%s attends within a chunk as the oracle does', async (_, pattern, params) => {
    await using device = await openDevice(name);
    const attend = await compile(pattern, { heads, kvHeads, headDim: dim, dtype: 'bf16', device });
    const inputs = chunk(37, 95);
    const result = await attend(inputs, params);
    const { disagreements } = await compareWithOracle(pattern, inputs, params as never, result);
    expect(showDisagreements(disagreements)).toBe('');
  });
});
