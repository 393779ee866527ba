// Planted heads: the same wherever they are made, as dense as they say, and found by the estimates.

import { describe, expect, it } from 'vitest';
import { foundBy } from '../../examples/planted/found.ts';
import { type PlantOptions, plantHeads } from '../../examples/planted/heads.ts';
import { PlantedRows, plantedTensors } from '../../examples/planted/rows.ts';
import {
  type AnyPattern,
  blockSparse,
  causal,
  compile,
  explain,
  flashPrefill,
  flexPrefill,
  openDevice,
  type ParameterValues,
  recall,
  verticalSlash,
  xAttention,
} from '../../index.ts';
import { allocate } from '../../runtime/dtype.ts';
import { plantedOn } from '../bench/planted.ts';

const small = { heads: 4, kvHeads: 2, length: 4096, headDim: 64, density: 0.3 };

/** What a pattern finds and keeps of planted heads: the least over the heads, and the densities. */
async function run(pattern: AnyPattern, options: PlantOptions, own?: ParameterValues) {
  const planted = plantHeads(options);
  const params = own ?? planted.params;
  const { q, k, v } = plantedTensors(planted, 'fp32');
  const { heads, kvHeads, headDim } = options;
  await using device = await openDevice('cpu');
  const sizes = { heads, kvHeads, headDim, dtype: 'fp32' as const, device };
  const { lse, chosen } = await (await compile(pattern, sizes))({ q, k, v }, params);
  const dense = await (await compile(causal, sizes))({ q, k, v });
  const { parts } = await explain(pattern, { q, k, v, chosen }, params);
  const densities = planted.planted.map(
    (_, head) => parts[0]!.launch.groups.find(({ units }) => units.includes(head))!.summary.density,
  );
  const found = foundBy(pattern, planted, chosen, params);
  const least = (name: keyof (typeof found)[number]) => Math.min(...found.map((one) => one[name]));
  const mass = Math.min(...(await recall(lse, dense.lse)).map(({ mean }) => mean));
  return { planted, densities, least, mass };
}

describe('what is planted', () => {
  it('is the same for the same options, and differs by seed and head', () => {
    expect(plantHeads(small)).toEqual(plantHeads(small));
    const other = plantHeads({ ...small, seed: 1 });
    expect(other.planted).not.toEqual(plantHeads(small).planted);
    const sets = plantHeads(small).planted.map(
      ({ verticals, bands }) => `${verticals} ${JSON.stringify(bands)}`,
    );
    expect(new Set(sets).size).toBe(4);
  });

  it('has the wanted density at 131072 tokens, with other budgets for all 32 heads', () => {
    for (const density of [0.05, 0.1, 0.2]) {
      const { planted, params } = plantHeads({
        heads: 32,
        kvHeads: 8,
        length: 131072,
        headDim: 128,
        density,
      });
      const mean = planted.reduce((sum, head) => sum + head.density, 0) / 32;
      expect(mean).toBeGreaterThan(0.97 * density);
      expect(mean).toBeLessThan(1.03 * density);
      expect(new Set(params.slashes).size).toBe(32);
    }
  });

  it('is the same row by row in every dtype, for all queries and for the last', () => {
    const all = plantHeads({ ...small, length: 512 });
    const last = plantHeads({ ...small, length: 512, qLen: 100 });
    const one = (planted: typeof all, dtype: 'fp32' | 'bf16', count: number) => {
      const data = allocate(dtype, count * 64);
      new PlantedRows(planted).keys(1, dtype, data);
      return data;
    };
    const { k } = plantedTensors(all, 'fp32');
    expect(one(all, 'fp32', 512)).toEqual(k.data.slice(512 * 64));
    expect(one(all, 'bf16', 512)).toEqual(k.to('bf16').data.slice(512 * 64));
    const { q } = plantedTensors(last, 'fp32');
    expect(q.shape).toEqual([1, 4, 100, 64]);
  });
});

it('lies on a device as it is made there, head by head', async () => {
  await using device = await openDevice('emulated:sm_80');
  const planted = plantHeads({ ...small, length: 300, qLen: 200 });
  const [there, here] = [await plantedOn(device, planted, 'bf16'), plantedTensors(planted, 'bf16')];
  for (const name of ['q', 'k', 'v'] as const)
    expect((await there[name].host()).data).toEqual(here[name].data);
});

describe('the estimates find it', () => {
  it('vertical-slash: single keys and bands, and most of the mass', async () => {
    const { least, mass } = await run(verticalSlash, small);
    expect(least('sinks')).toBe(1);
    expect(least('verticals')).toBeGreaterThan(0.94);
    expect(least('bands')).toBeGreaterThan(0.94);
    expect(mass).toBeGreaterThan(0.87);
  });

  it('vertical-slash at 32768 tokens, as dense as was planted', async () => {
    const options = { heads: 2, kvHeads: 1, length: 32768, qLen: 1024, headDim: 128, needles: 0 };
    const { least, mass, planted, densities } = await run(verticalSlash, options);
    expect(least('verticals')).toBeGreaterThan(0.99);
    expect(least('bands')).toBeGreaterThan(0.98);
    expect(mass).toBeGreaterThan(0.92);
    for (const [head, density] of densities.entries()) {
      expect(density).toBeGreaterThan(0.95 * planted.planted[head]!.density);
      expect(density).toBeLessThan(1.15 * planted.planted[head]!.density);
    }
  });

  it.each<[string, AnyPattern, ParameterValues, number]>([
    ['block-sparse', blockSparse, { blocksPerRow: 20 } as ParameterValues, 0.96],
    ['x-attention', xAttention, {}, 0.85],
    ['flash-prefill', flashPrefill, {}, 0.8],
  ])(
    '%s: the bands and the needles, which are wider than its blocks',
    async (_, pattern, params, bands) => {
      const { least, mass } = await run(pattern, { ...small, needles: 2 }, params);
      expect(least('bands')).toBeGreaterThan(bands);
      expect(least('needles')).toBeGreaterThan(0.9);
      expect(mass).toBeGreaterThan(0.8);
    },
  );

  it('flex-prefill: the bands, by whichever family a head chooses', async () => {
    const { least, densities } = await run(flexPrefill, small, { mass: 0.6 });
    expect(least('bands')).toBeGreaterThan(0.65);
    expect(Math.max(...densities)).toBeLessThan(0.4);
  });
});
