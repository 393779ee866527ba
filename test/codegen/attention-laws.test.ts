// Laws 7 to 9 for the generated attention kernel, executed on the CPU; heads with patterns and numbers of
// their own; the built-in masks; and what is said of numbers that are not finite.

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { pointEnvironment } from '../../dsl/analysis/binding.ts';
import { lifted } from '../../dsl/definition.ts';
import { evaluate } from '../../dsl/evaluate.ts';
import { count, f32 } from '../../dsl/given.ts';
import { byHead } from '../../dsl/heads.ts';
import { type AnyPattern, pattern } from '../../dsl/pattern.ts';
import { queryOffset } from '../../dsl/shape.ts';
import { blockSparse, patterns } from '../../patterns/index.ts';
import { compile } from '../../runtime/attend.ts';
import { readChosen } from '../../runtime/cuda/sets.ts';
import { openDevice } from '../../runtime/device.ts';
import { tensor } from '../../runtime/tensor.ts';
import { compareWithOracle, showDisagreements } from '../../runtime/testing/agree.ts';
import { arbitraryCalls, tensorsOfCall } from '../../runtime/testing/calls.ts';
import type { CallData } from '../laws/arbitraries.ts';
import { tensorsOf } from '../laws/arbitraries.ts';
import { attendWith, boundOf, huge, type Numbers, overwrite } from '../laws/attention.ts';
import { runs } from '../laws/settings.ts';

const device = await openDevice('emulated:sm_80');
afterAll(() => device.dispose());

const knobs = { qTile: 32, kTile: 16, warps: 2, stages: 2 };
const layouts = ['bhsd', 'bshd', 'bhsd'] as const;
const sizes = { batch: 2, heads: 4, kvHeads: 2, headDim: 16, valueDim: 24 };
const dataOf = (qLen: number, kLen: number, seed = 1): CallData => ({
  shape: { ...sizes, qLen, kLen },
  dtype: 'bf16',
  layouts,
  seed,
  scale: 1,
});
const lengths = [
  [70, 130],
  [100, 100],
  [90, 41],
] as const;

const run = (
  made: AnyPattern,
  data: CallData,
  inputs: Readonly<Record<string, unknown>>,
  params: Readonly<Record<string, number | readonly number[]>> = {},
): Promise<Numbers> => attendWith(made, data, inputs, params, device);

/** Sinks and a window with a gap in between, and every fifth query sees nothing. */
const gappy = pattern('gappy', { window: count.default(20) })
  .mask(({ q, k }, { window }) => k <= q && (k < 5 || q - k < window) && q % 5 !== 0)
  .schedule(knobs);

describe('poison', () => {
  const { mask } = lifted(gappy.definition);
  const isSeen = ({ shape }: CallData, key: number): boolean => {
    const binding = { shape, unit: { batch: 0, head: 0, kvHead: 0 }, captured: {}, sets: {} };
    for (let q = queryOffset(shape); q < shape.kLen; q += 1)
      if (evaluate(mask, pointEnvironment({ ...binding, params: { window: 20 } }, q, key)))
        return true;
    return false;
  };

  it.each(lengths)(
    'in keys and values that no query sees changes no bit: %d x %d',
    async (...of) => {
      const data = dataOf(...of);
      const inputs = tensorsOf(data);
      const k = await overwrite(inputs.k, (_, __, key) => (isSeen(data, key) ? undefined : NaN));
      const v = await overwrite(inputs.v, (_, __, key) =>
        isSeen(data, key) ? undefined : huge[data.dtype],
      );
      const clean = await run(gappy, data, inputs);
      expect(await run(gappy, data, { ...inputs, k, v })).toEqual(clean);
    },
  );

  it('in values of tiles that nobody visits changes no bit', async () => {
    // Queries 160 to 191 see keys up to 4, and from 141 on: tiles of 16 from 16 to 127 are left out.
    const data = dataOf(32, 192);
    const inputs = tensorsOf(data);
    const v = await overwrite(inputs.v, (_, __, key) => (key >= 16 && key < 128 ? NaN : undefined));
    expect(await run(gappy, data, { ...inputs, v })).toEqual(await run(gappy, data, inputs));
  });

  it('in seen values stays with the queries that see them', async () => {
    const data = dataOf(100, 100);
    const { valueDim, heads } = data.shape;
    const inputs = tensorsOf(data);
    const v = await overwrite(inputs.v, (batch, head, key) =>
      batch === 1 && head === 1 && key === 50 ? huge.bf16 : undefined,
    );
    const [clean, other] = [
      await run(gappy, data, inputs),
      await run(gappy, data, { ...inputs, v }),
    ];
    expect(other.lse).toEqual(clean.lse);
    for (const row of clean.lse.keys()) {
      const [unit, q] = [Math.floor(row / 100), row % 100];
      const sees = unit >= heads + 2 && q >= 50 && q < 70 && q % 5 !== 0;
      const part = ({ out }: Numbers) => out.slice(row * valueDim, (row + 1) * valueDim);
      if (sees) expect(part(other)).not.toEqual(part(clean));
      else expect(part(other)).toEqual(part(clean));
    }
  });
});

it.each(lengths)('rows without a key give 0 and -Infinity: %d x %d', async (...of) => {
  const data = dataOf(...of);
  const { qLen, kLen, valueDim } = data.shape;
  const { out, lse } = await run(gappy, data, tensorsOf(data));
  for (const [row, value] of lse.entries()) {
    const q = (row % qLen) + kLen - qLen;
    const isEmpty = q < 0 || q % 5 === 0;
    expect(value === -Infinity, `row ${row}`).toBe(isEmpty);
    const values = out.subarray(row * valueDim, (row + 1) * valueDim);
    if (isEmpty) expect(values.every((x) => x === 0)).toBe(true);
    else expect(values.every(Number.isFinite)).toBe(true);
  }
});

describe('scores', () => {
  const moved = pattern('moved', { window: count.default(20), by: f32('head') })
    .mask(({ q, k }, { window }) => k <= q && (k < 5 || q - k < window) && q % 5 !== 0)
    .score(({ s, head }, { by }) => s + by.at(head))
    .schedule(knobs);

  it('moved by a constant of the head move its log-sums alone', async () => {
    const data = dataOf(70, 130);
    const inputs = tensorsOf(data);
    const by = Float32Array.of(0, 3, -7.5, 100);
    const plain = await run(gappy, data, inputs);
    const other = await run(moved, data, { ...inputs, by: tensor(by, { shape: [4] }) });
    const bound = boundOf(data, 6.4);
    for (const [row, value] of plain.lse.entries()) {
      const constant = by[Math.floor(row / 70) % 4]!;
      const off = value === -Infinity ? 0 : Math.abs(other.lse[row]! - value - constant);
      // A sum near 100 has fewer digits.
      expect(off).toBeLessThanOrEqual(2 * bound.lse + constant * 2 ** -22);
    }
    for (const [at, value] of plain.out.entries())
      expect(Math.abs(other.out[at]! - value)).toBeLessThanOrEqual(2 * bound.out);
  });

  it('of -Infinity leave rows empty', async () => {
    const cut = pattern('cut')
      .mask(({ q, k }) => k <= q)
      .score(({ s, row }) => (row % 3 === 0 ? -Infinity : s))
      .schedule(knobs);
    const data = dataOf(70, 130);
    const { out, lse } = await run(cut, data, tensorsOf(data));
    for (const [row, value] of lse.entries())
      expect(value === -Infinity).toBe((row % 70) % 3 === 0);
    expect(out.every(Number.isFinite)).toBe(true);
  });
});

it('stand-ins weigh as many keys as they stand for', async () => {
  const standing = pattern('standing')
    .estimate(({ q, k }) => ({
      blocks: q
        .pool(16)
        .dot(k.pool(16))
        .causal()
        .topk(1, { always: { last: 1 } }),
    }))
    .mask(({ q, k }, { blocks }) => k <= q && blocks.has(Math.floor(q / 16), Math.floor(k / 16)))
    .rest(({ k, v }) => ({ keys: k.pool(8), values: v.pool(8) }))
    .schedule(knobs);
  for (const [qLen, kLen] of lengths) {
    const data = dataOf(qLen, kLen);
    const inputs = tensorsOf(data);
    const { headDim, valueDim, heads, kvHeads } = data.shape;
    const options = { heads, kvHeads, headDim, valueDim, dtype: 'bf16', device } as const;
    const outcome = await (await compile(standing, options))(inputs);
    await readChosen(outcome.chosen);
    const { disagreements } = await compareWithOracle(standing, inputs, {}, outcome);
    expect(showDisagreements(disagreements)).toBe('');
  }
});

it('values of one give one', async () => {
  const data = dataOf(70, 130);
  const { batch, kvHeads, kLen, valueDim } = data.shape;
  const v = tensor.full([batch, kvHeads, kLen, valueDim], 1, { dtype: 'bf16' });
  const { out, lse } = await run(gappy, data, { ...tensorsOf(data), v });
  for (const [at, value] of out.entries())
    expect(value).toBe(lse[Math.floor(at / valueDim)] === -Infinity ? 0 : 1);
});

describe('heads', () => {
  /** The rows of one head of each batch entry. */
  const rowsOf = ({ out, lse }: Numbers, { shape }: CallData, head: number) => {
    const { batch, heads, qLen, valueDim } = shape;
    return Array.from({ length: batch }, (_, b) => {
      const from = (b * heads + head) * qLen;
      return [
        lse.slice(from, from + qLen),
        out.slice(from * valueDim, (from + qLen) * valueDim),
      ] as const;
    });
  };
  const data = dataOf(70, 130);
  const inputs = tensorsOf(data);

  it('with numbers of their own are those of calls with these numbers, to the bit', async () => {
    const windows = [0, 3, 64, 1000];
    const all = await run(gappy, data, inputs, { window: windows });
    for (const [head, window] of windows.entries()) {
      const own = await run(gappy, data, inputs, { window });
      expect(rowsOf(all, data, head)).toEqual(rowsOf(own, data, head));
    }
  });

  it('with patterns of their own are those of these patterns, to the bit', async () => {
    const causal = pattern('causal')
      .mask(({ q, k }) => k <= q)
      .schedule(knobs);
    const which: AnyPattern[] = [gappy, causal, causal, gappy];
    const { headDim, valueDim, heads, kvHeads } = data.shape;
    const options = { heads, kvHeads, headDim, valueDim, dtype: 'bf16', device } as const;
    const attend = await compile(byHead(which), options);
    const result = await attend(inputs as never, { window: 30 } as never);
    const all = {
      out: (await result.out.read()) as Float32Array,
      lse: (await result.lse.read()) as Float32Array,
    };
    for (const [head, own] of which.entries()) {
      const params = own === gappy ? { window: 30 } : {};
      expect(rowsOf(all, data, head)).toEqual(
        rowsOf(await run(own, data, inputs, params), data, head),
      );
    }
  });
});

describe('numbers that are not finite', () => {
  const data = dataOf(70, 130);
  const { headDim, valueDim, heads, kvHeads } = data.shape;
  const options = { heads, kvHeads, headDim, valueDim, dtype: 'bf16', device } as const;

  it('in q are found at their head and row, when the output is read', async () => {
    const inputs = tensorsOf(data);
    const q = await overwrite(inputs.q, (batch, head, row) =>
      batch === 1 && head >= 2 && row >= 34 ? NaN : undefined,
    );
    const attend = await compile(gappy, options);
    const { out, lse } = await attend({ ...inputs, q });
    const says = /T010.*batch 1, head 2, row 34 is not a number/;
    await expect(out.read()).rejects.toThrow(says);
    await expect(lse.read()).rejects.toThrow(says);
  });

  it('in v are found at the first row that sees them', async () => {
    const inputs = tensorsOf(data);
    const v = await overwrite(inputs.v, (batch, head, key) =>
      batch === 0 && head === 1 && key === 101 ? Infinity : undefined,
    );
    const attend = await compile(gappy, options);
    const { out } = await attend({ ...inputs, v });
    // Tiles that are visited have 0 times infinity in rows before: the first of them counts.
    await expect(out.read()).rejects.toThrow(/T010.*batch 0, head 2, row \d+ is not a number/);
  });

  it('in the scores of an estimate are found at their row', async () => {
    const inputs = tensorsOf(data);
    const q = await overwrite(inputs.q, (batch, head) =>
      batch === 0 && head === 3 ? NaN : undefined,
    );
    const attend = await compile(blockSparse, options);
    const says = /E004.*row \d+ of head 3 of batch 0/;
    await expect(attend.estimate({ ...inputs, q })).rejects.toThrow(says);
    const { out } = await attend({ ...inputs, q });
    await expect(out.read()).rejects.toThrow(/E004|T010/);
  });
});

/** Without an estimate: test/codegen/estimate.test.ts has the others. */
const plain = [...patterns.values()].filter(({ definition }) => definition.estimates.length === 0);

it.each(plain.map((one) => [one.name, one] as const))(
  'the pattern %s agrees with the oracle',
  async (_, { name, definition }) => {
    const made = { name, definition: { ...definition, knobs: { ...definition.knobs, ...knobs } } };
    const { numRuns, seed = Math.floor(Math.random() * 2 ** 30) } = runs(12);
    const calls = arbitraryCalls(definition, { dtype: 'bf16', headDims: [16], longest: 140 });
    for (const call of fc.sample(calls, { numRuns, seed })) {
      const { heads, kvHeads, headDim, valueDim } = call.shape;
      const options = { heads, kvHeads, headDim, valueDim, dtype: 'bf16', device } as const;
      const inputs = tensorsOfCall(definition, call);
      const outcome = await (await compile(made, options))(inputs as never, call.params as never);
      const found = await compareWithOracle(made, inputs, call.params, outcome);
      assert.equal(showDisagreements(found.disagreements), '', `seed ${seed}`);
    }
  },
);
