// Heads that attend to the hull of their mask: those whose budgets leave nothing out, always; those whose budgets cost
// no less than dense attention, where a fallback is asked for. Before them comes the proof that it makes no difference.

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import {
  blockSparse,
  byHead,
  causal,
  compile,
  type Device,
  flashPrefill,
  nsaSelection,
  openDevice,
  pattern,
  patterns,
  reference,
  tensor,
  verticalSlash,
  xAttention,
} from '../../index.ts';
import { splitHulls } from '../../runtime/hulls.ts';
import { checkAllInputs } from '../../runtime/inputs.ts';
import { partsOf } from '../../runtime/parts.ts';
import { compareWithOracle, showDisagreements } from '../../runtime/testing/agree.ts';
import { tensorsOfCall } from '../../runtime/testing/calls.ts';
import { builtInCalls } from '../laws/properties/built-ins.ts';

const cpu = await openDevice('cpu', { threads: 0 });
afterAll(() => cpu.dispose());

const [heads, kvHeads, headDim] = [4, 2, 16];
const tensorsOf = (length: number, qLen = length, seed = 1) => ({
  q: tensor.random([1, heads, qLen, headDim], { seed }),
  k: tensor.random([1, kvHeads, length, headDim], { seed: seed + 1 }),
  v: tensor.random([1, kvHeads, length, headDim], { seed: seed + 2 }),
});
const sizes = { heads, kvHeads, headDim, dtype: 'fp32' as const, device: cpu };

/** The heads that attend to their hull. */
function hullHeads(
  one: Parameters<typeof partsOf>[0],
  { q, k, v }: ReturnType<typeof tensorsOf>,
  params: Readonly<Record<string, unknown>> = {},
  fallback: 'dense' | 'none' = 'none',
): number[] {
  const parts = partsOf(one, heads);
  const definitions = parts.map(({ definition }) => definition);
  const call = checkAllInputs(definitions, { q, k, v }, params);
  const split = splitHulls(parts, call, fallback);
  const asked = split?.call({ given: call.given } as never).parts ?? [];
  return asked.flatMap((part) => (part.definition.estimates.length === 0 ? part.heads : []));
}
const all = [0, 1, 2, 3];

describe('a head whose budgets leave nothing out', () => {
  it.each([
    ['distances that are all chosen', verticalSlash, { slashes: 200 }, 200, all],
    ['one distance too few', verticalSlash, { verticals: 9, slashes: 199 }, 200, []],
    ['columns that are all chosen', verticalSlash, { verticals: 200, slashes: 3 }, 200, all],
    [
      'one head that leaves something out',
      verticalSlash,
      { slashes: [300, 300, 300, 9], verticals: 9 },
      200,
      [],
    ],
    ['blocks that are all chosen', blockSparse, { blocksPerRow: 4 }, 256, all],
    ['one block too few', blockSparse, { blocksPerRow: 3 }, 256, []],
    ['a last block that begins late', blockSparse, { blocksPerRow: 5 }, 257, all],
    ['blocks that queries choose', nsaSelection, { blocksPerQuery: 4, window: 3 }, 256, all],
    ['a window beyond all keys', nsaSelection, { blocksPerQuery: 1, window: 256 }, 256, all],
    ['a tail of all rows', flashPrefill, { tail: 256 }, 256, all],
    ['scores that decide how many', xAttention, { mass: 1 }, 256, []],
  ] as const)('%s', (_, one, params, length, wanted) => {
    expect(hullHeads(one, tensorsOf(length), params)).toEqual(wanted);
  });

  it('is none where a mask asks for what is outside of the set, or for what is not in it', () => {
    const ahead = pattern('ahead', {})
      .estimate(({ q, k }) => ({ keys: q.last(8).dot(k).causal().softmax().sumPerKey().topk(300) }))
      .mask(({ q, k }, { keys }) => k <= q && keys.has(k + 1));
    expect(hullHeads(ahead, tensorsOf(200))).toEqual([]);
    const without = pattern('without', {})
      .estimate(({ q, k }) => ({ keys: q.last(8).dot(k).causal().softmax().sumPerKey().topk(9) }))
      .mask(({ q, k }, { keys }) => k <= q && !keys.has(k));
    expect(hullHeads(without, tensorsOf(200))).toEqual([]);
  });

  it('is none where a row chooses among blocks that end by it, and nothing is forced', () => {
    const early = pattern('early', {})
      .estimate(({ q, k }) => ({ blocks: q.dot(k.pool(16)).causal().softmax().topk(100) }))
      .mask(({ q, k }, { blocks }) => k <= q && blocks.has(q, Math.floor(k / 16)));
    expect(hullHeads(early, tensorsOf(64))).toEqual([]);
  });

  it('gives what it gives with the sets that its estimate chooses', async () => {
    const names = ['vertical-slash', 'block-sparse', 'nsa-selection', 'flash-prefill'];
    let settled = 0;
    await fc.assert(
      fc.asyncProperty(
        builtInCalls(names, { longest: 70, tile: 16, groups: 4, dtype: 'fp32' }),
        async ({ name, call }) => {
          const one = patterns.get(name)!;
          const inputs = tensorsOfCall(one.definition, call);
          const attend = await compile(one, { ...call.shape, dtype: call.dtype, device: cpu });
          const result = await attend(inputs, call.params);
          const chosen = await attend.estimate(inputs, call.params);
          const asked = await attend({ ...inputs, chosen } as never, call.params);
          if (Object.values(result.chosen).every(({ dense }) => dense.every(Boolean))) settled += 1;
          for (const [got, wanted] of [
            [result.out, asked.out],
            [result.lse, asked.lse],
          ] as const) {
            const [a, b] = [await got.read(), await wanted.read()];
            for (const [i, value] of a.entries())
              assert.ok(
                Object.is(value, b[i]) || Math.abs(value - b[i]!) < 1e-4,
                `${value} ${b[i]}`,
              );
          }
        },
      ),
      { numRuns: 150 },
    );
    expect(settled).toBeGreaterThan(10);
  });
});

describe('a fallback', () => {
  const params = { verticals: [2, 200, 2, 2], slashes: [100, 900, 900, 100] };
  const inputs = tensorsOf(1000);

  it('is taken by heads whose budgets cost no less than dense attention, and by no other', () => {
    expect(hullHeads(verticalSlash, inputs, params)).toEqual([]);
    expect(hullHeads(verticalSlash, inputs, params, 'dense')).toEqual([1, 2]);
    expect(
      hullHeads(verticalSlash, tensorsOf(4000), { slashes: 100, verticals: 5 }, 'dense'),
    ).toEqual([]);
    // Nothing is predicted where scores decide how much is chosen.
    expect(hullHeads(xAttention, inputs, { mass: 1 }, 'dense')).toEqual([]);
    const mixed = byHead([blockSparse, verticalSlash, blockSparse, verticalSlash]);
    const own = { blocksPerRow: 14, slashes: 110, verticals: 1 };
    expect(hullHeads(mixed, inputs, own, 'dense')).toEqual([0, 2]);
  });

  it('is for whole KV heads where heads share what they choose', () => {
    const taken = hullHeads(
      nsaSelection,
      inputs,
      { blocksPerQuery: [15, 15, 1, 1], window: 3 },
      'dense',
    );
    expect(taken).toEqual([0, 1]);
  });

  it.each(['cpu', 'emulated:sm_80'] as const)(
    'says what it did in the sets of the call, which give the same again and are the oracle’s, on %s',
    async (name) => {
      const device: Device = name === 'cpu' ? cpu : await openDevice(name);
      try {
        const dtype = name === 'cpu' ? 'fp32' : 'bf16';
        const made = Object.fromEntries(
          Object.entries(inputs).map(([key, value]) => [key, value.to(dtype)]),
        ) as typeof inputs;
        const options = { ...sizes, dtype, device } as const;
        const attend = await compile(verticalSlash, { ...options, fallback: 'dense' });
        const result = await attend(made, params);
        const { disagreements } = await compareWithOracle(verticalSlash, made, params, result);
        expect(showDisagreements(disagreements)).toBe('');
        const { columns, distances } = result.chosen;
        for (const set of [columns!, distances!])
          expect(set.dense).toEqual([false, true, true, false]);
        expect(distances!.units[1]!.count(0)).toBe(1000 + 63);
        expect(columns!.units[0]!.count(0)).toBe(30);
        const again = await attend({ ...made, chosen: result.chosen }, params);
        const [a, b] = [await result.out.read(), await again.out.read()];
        for (const [i, value] of a.entries()) expect(Math.abs(value - b[i]!)).toBeLessThan(0.02);
        // Heads that fall back see every key, others what they saw.
        const lse = await result.lse.read();
        for (const [other, own] of [
          [causal, [1, 2]],
          [verticalSlash, [0, 3]],
        ] as const) {
          const wanted = await (
            await (
              await compile(other, options)
            )(made, other === causal ? {} : params)
          ).lse.read();
          for (const head of own)
            for (let row = head * 1000; row < (head + 1) * 1000; row += 1)
              expect(Math.abs(lse[row]! - wanted[row]!)).toBeLessThan(0.01);
        }
      } finally {
        if (device !== cpu) await device.dispose();
      }
    },
  );

  it('is asked of the oracle by its sets', async () => {
    const attend = await compile(verticalSlash, { ...sizes, fallback: 'dense' });
    const { out, chosen } = await attend(inputs, { slashes: 900, verticals: 2 });
    const dense = await compile(causal, sizes);
    const { out: wanted } = await dense(inputs);
    expect(await out.read()).toEqual(await wanted.read());
    const oracle = reference(verticalSlash, { ...inputs, chosen }, { slashes: 900, verticals: 2 });
    expect(oracle.chosen).toBe(chosen);
  });
});
