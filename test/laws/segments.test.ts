// Packed sequences: each is an attention call of its own, on the oracle, the CPU device and emulated kernels.

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { afterAll } from 'vitest';
import { count, i32 } from '../../dsl/given.ts';
import { byHead } from '../../dsl/heads.ts';
import { type AnyPattern, pattern } from '../../dsl/pattern.ts';
import { compile } from '../../runtime/attend.ts';
import { type Device, openDevice } from '../../runtime/device.ts';
import { draw } from '../../runtime/draw.ts';
import type { FloatType } from '../../runtime/dtype.ts';
import { explain } from '../../runtime/explain.ts';
import { reference } from '../../runtime/reference/attention.ts';
import { tensor } from '../../runtime/tensor.ts';
import { compareWithOracle, showDisagreements } from '../../runtime/testing/agree.ts';
import { inline } from './attention.ts';
import {
  aloneOf,
  callOf,
  checkPacked,
  counted,
  curious,
  type Packed,
  packable,
  packed,
  pairOf,
} from './properties/segments.ts';
import { law, runs } from './settings.ts';

const emulated = await openDevice('emulated:sm_80');
const threaded = await openDevice('cpu', { threads: 2 });
afterAll(async () => {
  await emulated.dispose();
  await threaded.dispose();
});

const packedAre = (device: Device, ...dtypes: readonly FloatType[]) =>
  fc.asyncProperty(packed(...dtypes), fc.constantFrom(...packable), (sample, made) =>
    checkPacked(device, sample, made),
  );

law('a packed sequence is, to the bit, a call of its own: the CPU device', () =>
  fc.assert(packedAre(inline, 'fp32', 'bf16', 'fp16'), runs(150)),
);

law('a packed sequence is, to the bit, a call of its own: emulated kernels', () =>
  fc.assert(packedAre(emulated, 'bf16', 'fp16'), runs(25)),
);

law('a packed sequence is, to the bit, a call of its own: the oracle', () =>
  fc.assert(
    fc.property(packed('fp32', 'bf16'), fc.constantFrom(...packable), (sample, made) => {
      const call = callOf(sample);
      const { heads: _, segments, ...tensors } = call;
      const params = { window: sample.window };
      const whole = reference(made as AnyPattern, { ...tensors, segments }, params as never);
      for (const i of sample.lengths.keys()) {
        const own = reference(made as AnyPattern, aloneOf(call, i), params as never);
        assert.deepEqual(...pairOf(whole.out, own.out, call, i, sample.valueDim));
        assert.deepEqual(...pairOf(whole.lse, own.lse, call, i, 1));
      }
    }),
    runs(60),
  ),
);

/** 2 KV heads of 2 query heads; sequences with fewer, as many, no and more queries than keys. */
const usual: Packed = {
  lengths: [
    [9, 40],
    [33, 33],
    [0, 7],
    [20, 11],
    [1, 1],
    [5, 0],
  ],
  kvHeads: 2,
  group: 2,
  headDim: 16,
  valueDim: 8,
  dtype: 'bf16',
  layouts: ['bshd', 'bhsd', 'bshd'],
  window: 20,
  seed: 5,
};

law('heads with patterns of their own see their sequences', async () => {
  const { heads, segments, ...tensors } = callOf(usual);
  const { kvHeads, headDim, valueDim, dtype } = usual;
  for (const device of [inline, emulated]) {
    const sizes = { heads, kvHeads, headDim, valueDim, dtype, device };
    const mixed = await compile(byHead([curious, counted, counted, curious]), sizes);
    const result = await mixed({ ...tensors, segments });
    const [out, lse] = [await result.out.read(), await result.lse.read()];
    for (const [which, made] of packable.entries()) {
      const attend = await compile(made as AnyPattern, sizes);
      const own = await attend({ ...tensors, segments });
      const [ownOut, ownLse] = [await own.out.read(), await own.lse.read()];
      for (const head of which === 0 ? [0, 3] : [1, 2]) {
        const part = (all: ArrayLike<number>): number[] => {
          const size = all.length / heads;
          return Array.from(all).slice(head * size, (head + 1) * size);
        };
        assert.deepEqual(part(out), part(ownOut));
        assert.deepEqual(part(lse), part(ownLse));
      }
    }
  }
});

law('keys are packed as queries are, unless stated otherwise', async () => {
  const same = {
    ...usual,
    lengths: [
      [12, 12],
      [0, 0],
      [40, 40],
    ] as const,
  };
  const { heads, segments, ...tensors } = callOf(same);
  const { kvHeads, headDim, valueDim, dtype } = same;
  for (const device of [inline, emulated]) {
    const sizes = { heads, kvHeads, headDim, valueDim, dtype, device };
    const attend = await compile(curious as AnyPattern, sizes);
    const stated = await attend({ ...tensors, segments });
    for (const q of [segments.q, Int32Array.from(segments.q)]) {
      const { out } = await attend({ ...tensors, segments: { q } });
      assert.deepEqual(await out.read(), await stated.out.read());
    }
  }
});

law('the oracle gives the rows that are asked for, counted through all sequences', () => {
  const { heads, segments, ...tensors } = callOf(usual);
  const rows = [61, 0, 9, 41, 8];
  const whole = reference(curious as AnyPattern, { ...tensors, segments });
  const some = reference(curious as AnyPattern, { ...tensors, segments }, {}, { rows });
  const total = segments.q.at(-1)!;
  for (let head = 0; head < heads; head += 1)
    for (const [j, row] of rows.entries())
      assert.equal(some.lse[head * rows.length + j], whole.lse[head * total + row]);
});

law('worker threads see packed sequences', () => checkPacked(threaded, usual, counted));

law('a call without sequences, queries or keys gives nothing', async () => {
  for (const device of [inline, emulated])
    for (const lengths of [[], [[0, 0]], [[0, 9]], [[9, 0]]] as const)
      for (const made of packable) await checkPacked(device, { ...usual, lengths }, made);
});

law('the integers of every sequence are proved with its own length', async () => {
  const large = pattern('large').mask(({ k }) => k * 2 ** 30 >= 0);
  const call = async (device: Device, lengths: readonly [number, number][]) => {
    const { heads, segments, bias: _, ...tensors } = callOf({ ...usual, lengths });
    const { kvHeads, headDim, valueDim, dtype } = usual;
    const attend = await compile(large, { heads, kvHeads, headDim, valueDim, dtype, device });
    return attend({ ...tensors, segments });
  };
  for (const device of [inline, emulated]) {
    await call(device, [
      [2, 2],
      [1, 2],
      [2, 2],
    ]);
    await assert.rejects(
      call(device, [
        [2, 2],
        [1, 3],
        [2, 2],
      ]),
      { code: 'T009' },
    );
  }
});

law('a stated schedule is proved and followed for every sequence', async () => {
  const made = pattern('stated', { window: count.default(20) })
    .mask(({ q, k }, { window }) => k <= q && q - k < window)
    .visit(({ tile, span }, { window }) => span(tile.q0 - window + 1, tile.q1 + 1));
  const { heads, segments, bias: _, ...tensors } = callOf(usual);
  const { kvHeads, headDim, valueDim, dtype } = usual;
  for (const device of [inline, emulated]) {
    const attend = await compile(made, { heads, kvHeads, headDim, valueDim, dtype, device });
    const inputs = { ...tensors, segments };
    const { disagreements } = await compareWithOracle(made, inputs, {}, await attend(inputs));
    assert.equal(showDisagreements(disagreements), '');
  }
});

law('an explanation and a picture show the sequences', async () => {
  const { heads, bias: _, segments, ...tensors } = callOf(usual);
  const made = pattern('causal-segments').mask(({ q, k }) => k <= q);
  const explained = await explain(made, { ...tensors, segments });
  const groups = explained.parts[0]!.launch.groups.map(({ units, summary: { shape } }) => [
    units.length / heads,
    shape.qLen,
    shape.kLen,
  ]);
  assert.deepEqual(
    groups,
    usual.lengths.map(([qLen, kLen]) => [1, qLen, kLen]),
  );
  assert.match(String(explained), /lengths of their own/);
  assert.match(String(explained), /batch 1 heads 0-3 \(33 queries x 33 keys\)/);
  const { headDim, valueDim, kvHeads } = usual;
  const [qLen, kLen] = [segments.q.at(-1)!, segments.k.at(-1)!];
  const shape = { batch: 1, heads, kvHeads, qLen, kLen, headDim, valueDim };
  const bySizes = await explain(made, { shape, dtype: 'bf16', segments });
  assert.equal(String(bySizes), String(explained));
  const alone = { ...tensors, q: tensors.q.slice(9, 42), k: tensors.k.slice(40, 73) };
  const picture = await draw(made, { ...tensors, segments }, {}, { batch: 1, title: 'one' });
  const own = { ...alone, v: tensors.v.slice(40, 73) };
  assert.equal(picture, await draw(made, own, {}, { title: 'one' }));
});

law('a captured tensor has a row for every sequence', async () => {
  const made = pattern('rows', { starts: i32('batch') }).mask(
    ({ q, k, batch }, { starts }) => k <= q && k >= starts.at(batch),
  );
  const { heads, segments, bias: _, ...tensors } = callOf(usual);
  const { kvHeads, headDim, valueDim, dtype } = usual;
  const starts = tensor(Int32Array.of(39, 33, 0, 5, 0, 0), { shape: [6] });
  for (const device of [inline, emulated]) {
    const attend = await compile(made, { heads, kvHeads, headDim, valueDim, dtype, device });
    const inputs = { ...tensors, segments, starts };
    const { disagreements } = await compareWithOracle(made, inputs, {}, await attend(inputs));
    assert.equal(showDisagreements(disagreements), '');
  }
});
