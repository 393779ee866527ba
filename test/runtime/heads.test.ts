// Whose numbers, whose pattern, whose spans: what a call has per head or per tile reaches the right one.

import { describe, expect, it } from 'vitest';
import {
  type AnyPattern,
  type AttendResult,
  aShape,
  blockSparse,
  byHead,
  compile,
  count,
  flashPrefill,
  flexPrefill,
  fromMInference,
  openDevice,
  pattern,
  readChosen,
  type Tensor,
  tensor,
  verticalSlash,
} from '../../index.ts';
import { attend, refused, takenByBoth } from '../diagnostics/cases.ts';

const causal = pattern('causal').mask(({ q, k }) => k <= q);
const window = pattern('window', { window: count.default(2) }).mask(
  ({ q, k }, { window }) => k <= q && q - k < window,
);

it('a head with its own number gives what that number gives to all heads', async () => {
  const own = [1, 2, 3, 7];
  const mixed = await (await attend(window, {}, { window: own })).out.read();
  for (const [head, one] of own.entries()) {
    const all = await (await attend(window, {}, { window: one })).out.read();
    const of = (values: typeof all) => [...values.subarray(head * 40, (head + 1) * 40)];
    expect(of(mixed)).toEqual(of(all));
  }
});

it('numbers of heads whose pattern does not have them are not looked at', async () => {
  const strict = pattern('strict', { step: count.min(2) }).mask(
    ({ q, k }, { step }) => k <= q && (q - k) % step === 0,
  );
  const heads = byHead([causal, strict, strict, causal]) as never;
  const step = { step: [0, 2, 3, 0] };
  const [own, all] = [
    await attend(heads, {}, step),
    await attend(heads, {}, { step: [9, 2, 3, 9] }),
  ];
  expect(await own.out.read()).toEqual(await all.out.read());
  await takenByBoth(heads, {}, step);
  await takenByBoth(heads, {}, { step: Float32Array.of(0, 2, 3, 0) });
  expect(await refused('T006', () => attend(heads, {}, { step: [0, 2, 1, 0] }))).toContain(
    "'step' is 1",
  );
  expect(await refused('T006', () => attend(heads, {}, { step: () => 3 }))).toContain(
    "'step' is a function",
  );
});

it('every head runs its own pattern of byHead', async () => {
  await takenByBoth(byHead([window, causal, causal, window]) as never);
});

it('a stated schedule is asked tile by tile, from the first query on', async () => {
  const stated = causal
    .visit(({ tile, span }) => span(0, tile.q1 + 1))
    .schedule({ qTile: 2, kTile: 2 });
  await takenByBoth(stated);
});

describe.each(['cpu', 'emulated:sm_80'])('budgets of heads, on %s', (name) => {
  const [q, k, v] = [4, 2, 2].map((heads, seed) =>
    tensor.random([1, heads, 300, 16], { seed, dtype: 'bf16', scale: 1.5 }),
  ) as [Tensor, Tensor, Tensor];
  const sizes = { heads: 4, kvHeads: 2, headDim: 16, dtype: 'bf16' as const };

  /** Bits and outputs of one head, of sets that are one per head or one per KV head. */
  async function headOf(result: AttendResult, head: number) {
    const sets = Object.values(await readChosen(result.chosen));
    const bits = sets.map(({ perGroup, units }) => units[perGroup ? head >> 1 : head]!.bits);
    const out = (await result.out.read()).subarray(head * 300 * 16, (head + 1) * 300 * 16);
    return { bits: bits.map((words) => [...words]), out: [...out] };
  }

  it.each<[string, AnyPattern, Record<string, number[]>]>([
    [
      'vertical-slash',
      verticalSlash,
      { verticals: [30, 50, 80, 120], slashes: [100, 120, 101, 200] },
    ],
    ['block-sparse', blockSparse, { blocksPerRow: [1, 2, 3, 4] }],
    ['flash-prefill', flashPrefill, { share: [0.1, 0.1, 0.9, 0.9], tail: [0, 64, 128, 300] }],
    ['flex-prefill', flexPrefill, { mass: [0.2, 0.5, 0.8, 1], tau: [0, 0.1, 0.3, 1] }],
  ])(
    '%s gives a head with its own numbers what they give to all heads',
    async (_, pattern, own) => {
      await using device = await openDevice(name);
      const attend = await compile(pattern, { ...sizes, device });
      const mixed = await attend({ q, k, v }, own);
      for (let head = 0; head < 4; head += 1) {
        const numbers = Object.entries(own).map(([key, values]) => [key, values[head]!] as const);
        const alone = await attend({ q, k, v }, Object.fromEntries(numbers));
        const [a, b] = [await headOf(mixed, head), await headOf(alone, head)];
        expect(a.out).toEqual(b.out);
        // Rows that matter for another head's numbers only may be there as well.
        if (!own.tail) expect(a.bits).toEqual(b.bits);
      }
    },
  );

  it('a layer of heads with patterns and numbers of their own is each head alone', async () => {
    const [layer] = fromMInference([
      {
        0: ['vertical_and_slash', 40, 110, 1],
        1: ['stream_llm', 20, 50, 1],
        2: ['block_sparse', 0, 0, null],
        3: ['vertical_and_slash', 90, 150, 1],
      },
    ]);
    await using device = await openDevice(name);
    const mixed = await (await compile(layer!.pattern, { ...sizes, device }))(
      { q, k, v },
      layer!.params,
    );
    const alone: readonly (readonly [AnyPattern, Record<string, number>])[] = [
      [verticalSlash, { verticals: 40, slashes: 110 }],
      [aShape, { sinks: 20, window: 50 }],
      [blockSparse, {}],
      [verticalSlash, { verticals: 90, slashes: 150 }],
    ];
    const all = await mixed.out.read();
    for (const [head, [pattern, params]] of alone.entries()) {
      const { out } = await (await compile(pattern, { ...sizes, device }))({ q, k, v }, params);
      const of = (values: typeof all) => [...values.subarray(head * 4800, (head + 1) * 4800)];
      expect(of(all)).toEqual(of(await out.read()));
    }
  });
});
