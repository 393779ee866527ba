// What flash-prefill has to do whoever runs it: its stand-ins, its threshold, its chunks, its groups of heads.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { foundBy } from '../../examples/planted/found.ts';
import { plantHeads } from '../../examples/planted/heads.ts';
import { plantedTensors } from '../../examples/planted/rows.ts';
import {
  causal,
  compile,
  type Device,
  explain,
  flashPrefill,
  openDevice,
  outputError,
  readChosen,
  recall,
  tensor,
} from '../../index.ts';
import { compareWithOracle, showDisagreements } from '../../runtime/testing/agree.ts';
import { builtInsAgree } from '../laws/properties/built-ins.ts';
import { law, runs } from '../laws/settings.ts';

const device: Device = await openDevice('cpu', { threads: 0 });

/** A call with random tensors, sliced to the queries of a chunk. */
async function run(
  sizes: { heads: number; kvHeads?: number; length: number; chunk?: readonly [number, number] },
  params: Record<string, number>,
  on = device,
) {
  const { heads, kvHeads = heads, length } = sizes;
  const [from, to] = sizes.chunk ?? [0, length];
  const dtype = on.kind === 'cpu' ? 'fp32' : 'bf16';
  const rows = (units: number, seed: number, first: number, end: number) => {
    const all = tensor.random([1, units, length, 16], { seed, scale: 2 });
    const kept = Array.from({ length: units }, (_, u) =>
      all.data.subarray((u * length + first) * 16, (u * length + end) * 16),
    );
    const data = new Float32Array(kept.flatMap((part) => [...part]));
    return tensor(data, { shape: [1, units, end - first, 16] }).to(dtype);
  };
  const inputs = {
    q: rows(heads, 1, from, to),
    k: rows(kvHeads, 2, 0, to),
    v: rows(kvHeads, 3, 0, to),
  };
  const attend = await compile(flashPrefill, { heads, kvHeads, headDim: 16, dtype, device: on });
  return { inputs, result: await attend(inputs, params) };
}

it('with pools of one key is dense attention, whatever is chosen', async () => {
  for (const share of [0, 0.5, 1]) {
    const { inputs, result } = await run(
      { heads: 2, length: 90 },
      { block: 1, tile: 8, share, tail: 7 },
    );
    const dense = await compile(causal, { heads: 2, headDim: 16, dtype: 'fp32', device });
    const [a, b] = [await result.out.read(), await (await dense(inputs)).out.read()];
    for (const [i, x] of a.entries()) expect(Math.abs(x - b[i]!)).toBeLessThan(1e-5);
  }
});

describe('the threshold', () => {
  const sizes = { heads: 4, kvHeads: 2, length: 203 };
  const numbers = { block: 16, tile: 8, tail: 0 };

  it('0 keeps every block that a query sees whole', async () => {
    const { blocks } = (await run(sizes, { ...numbers, share: 0 })).result.chosen;
    for (const set of blocks!.units) {
      for (let row = 0; row < 26; row += 1) {
        const last = Math.min(203, (row + 1) * 8) - 1;
        // Blocks that end by the last query of the row, and the forced ones around it.
        const seen = last >= 202 ? 13 : Math.floor((last + 1) / 16);
        const members = [...set.members(row)];
        for (let block = 0; block < seen; block += 1) expect(members).toContain(block);
        expect(Math.max(...members)).toBe(Math.max(1, Math.floor(last / 16)));
      }
    }
  });

  it('1 keeps the largest and the forced: the first two, and four up to the own', async () => {
    const { blocks } = (await run(sizes, { ...numbers, share: 1 })).result.chosen;
    for (const set of blocks!.units) {
      for (let row = 0; row < 26; row += 1) {
        const own = Math.floor((row * 8) / 16);
        const forced = new Set([0, 1, own - 3, own - 2, own - 1, own].filter((b) => b >= 0));
        const others = [...set.members(row)].filter((block) => !forced.has(block));
        expect(others.length).toBeLessThanOrEqual(1);
      }
    }
  });

  it('takes away, as it rises, density and then mass', async () => {
    const planted = plantHeads({ heads: 4, kvHeads: 2, length: 4096, headDim: 64, density: 0.3 });
    const inputs = plantedTensors(planted, 'fp32');
    const sizes = { heads: 4, kvHeads: 2, headDim: 64, dtype: 'fp32' as const };
    await using threads = await openDevice('cpu');
    const dense = await (await compile(causal, { ...sizes, device: threads }))(inputs);
    const attend = await compile(flashPrefill, { ...sizes, device: threads });
    let before = { density: 1, mass: 2, needles: 1 };
    for (const share of [0.05, 0.1, 0.2]) {
      const { lse, chosen } = await attend(inputs, { share });
      const { parts } = await explain(flashPrefill, { ...inputs, chosen }, { share });
      const own = {
        density: Math.max(...parts[0]!.launch.groups.map(({ summary }) => summary.density)),
        mass: Math.min(...(await recall(lse, dense.lse)).map(({ mean }) => mean)),
        needles: Math.min(
          ...foundBy(flashPrefill, planted, chosen, { share }).map((f) => f.needles),
        ),
      };
      expect(own.density).toBeLessThan(before.density);
      expect(own.mass).toBeLessThanOrEqual(before.mass);
      expect(own.mass).toBeGreaterThan(0.85);
      expect(own.needles).toBe(1);
      before = own;
    }
  });
});

describe('of captured heads, as the share rises', async () => {
  // Density and output error at shares of 0.05, 0.1 and 0.2: what was seen, with room for the products of other machines.
  it.each<[string, readonly number[], readonly number[]]>([
    ['sink', [0.62, 0.54, 0.48], [0.015, 0.02, 0.028]],
    ['local', [0.59, 0.55, 0.5], [0.004, 0.005, 0.006]],
    ['vertical', [0.94, 0.77, 0.57], [0.04, 0.1, 0.2]],
    ['slash', [0.69, 0.58, 0.51], [0.025, 0.04, 0.065]],
    ['diffuse', [1, 1, 0.98], [0.001, 0.001, 0.006]],
  ])('%s keeps its outputs', async (name, densities, errors) => {
    const file = new URL(`../../examples/data/${name}.safetensors`, import.meta.url).pathname;
    const [q, k, v] = await Promise.all(['q', 'k', 'v'].map((part) => tensor.load(file, part)));
    const inputs = { q: q!, k: k!, v: v! };
    const sizes = { heads: 1, headDim: 64, dtype: 'fp16' as const, device };
    const dense = await (await compile(causal, sizes))(inputs);
    const attend = await compile(flashPrefill, sizes);
    for (const [i, share] of [0.05, 0.1, 0.2].entries()) {
      const { out, chosen } = await attend(inputs, { share });
      const { parts } = await explain(flashPrefill, { ...inputs, chosen }, { share });
      expect(parts[0]!.launch.groups[0]!.summary.density).toBeLessThanOrEqual(densities[i]!);
      expect((await outputError(out, dense.out))[0]!.relative).toBeLessThan(errors[i]!);
    }
  });
});

it.each(['cpu', 'emulated:sm_80'])(
  'does not score queries of the dense tail, on %s',
  async (name) => {
    await using on = await openDevice(name);
    const params = { block: 16, tile: 8, tail: 40 };
    const { inputs, result } = await run({ heads: 4, kvHeads: 2, length: 200 }, params, on);
    const { blocks } = await readChosen(result.chosen);
    const { dtype, shape } = inputs.q;
    const values = (await inputs.q.read()) as Float32Array;
    // A score that is not a number is an error (E004): nobody looks at these.
    for (let head = 0; head < 4; head += 1)
      values.fill(Number.NaN, (head * 200 + 160) * 16, (head + 1) * 200 * 16);
    const q = tensor(values, { shape, dtype: 'fp32' }).to(dtype as 'fp32');
    const sizes = { heads: 4, kvHeads: 2, headDim: 16, dtype: dtype as 'fp32', device: on };
    const attend = await compile(flashPrefill, sizes);
    const again = (await attend.estimate({ ...inputs, q }, params)).blocks!;
    expect(again.units.map((set) => set.bits)).toEqual(blocks!.units.map((set) => set.bits));
    expect(again.units.map((set) => set.count(20))).toEqual([0, 0]);
    await expect(attend.estimate({ ...inputs, q }, { ...params, tail: 39 })).rejects.toThrow(
      'E004',
    );
  },
);

describe.each(['cpu', 'emulated:sm_80'])('chunks of a prompt, on %s', (name) => {
  it('have the sets of the whole prompt in their whole tiles, the tail apart', async () => {
    await using on = await openDevice(name);
    const params = { block: 16, tile: 8, share: 0.3, tail: 10 };
    const whole = (await run({ heads: 4, kvHeads: 2, length: 200 }, params, on)).result.chosen;
    const { blocks } = await readChosen(whole);
    for (const [from, to] of [
      [0, 96],
      [96, 200],
      [50, 131],
    ] as const) {
      // biome-ignore format: a table
      const sizes = { heads: 4, kvHeads: 2, length: 200, chunk: [from, to] as const };
      const part = await readChosen((await run(sizes, params, on)).result.chosen);
      for (const [unit, set] of part.blocks!.units.entries()) {
        for (let row = Math.ceil(from / 8); row < Math.floor((to - 10) / 8); row += 1) {
          // The last block of the chunk is cut: its mean is another one there.
          const below = (members: Int32Array) => [...members].filter((b) => (b + 1) * 16 <= to);
          expect(below(set.members(row))).toEqual(below(blocks!.units[unit]!.members(row)));
        }
      }
    }
  });
});

it.each([1, 4, 7, 8])(
  '%i query heads choose together, at lengths that no tile divides',
  async (group) => {
    const params = { block: 16, tile: 8, share: 0.3, tail: 5 };
    const sizes = { heads: 2 * group, kvHeads: 2, length: 77 };
    const { inputs, result } = await run(sizes, params);
    expect(result.chosen.blocks!.units).toHaveLength(2);
    const { disagreements } = await compareWithOracle(flashPrefill, inputs, params, result);
    expect(showDisagreements(disagreements)).toBe('');
  },
);

law('selections differ from float64 within rounding of the threshold alone', () =>
  fc.assert(builtInsAgree(device, ['flash-prefill']), runs(30)),
);
