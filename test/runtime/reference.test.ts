// The attention oracle: examples small enough to compute by hand, and the laws of stand-ins.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { BitSet } from '../../dsl/chosen.ts';
import { PatternError } from '../../dsl/diagnostic.ts';
import { count, f32, fixed, i32 } from '../../dsl/given.ts';
import { byHead } from '../../dsl/heads.ts';
import { pattern } from '../../dsl/pattern.ts';
import type { FloatType } from '../../runtime/dtype.ts';
import { roundTo } from '../../runtime/half.ts';
import { reference } from '../../runtime/reference/attention.ts';
import { tensor } from '../../runtime/tensor.ts';

const causal = pattern('causal').mask(({ q, k }) => k <= q);
const blockSparse = pattern('block-sparse', { block: fixed(4), blocksPerRow: count.default(1) })
  .estimate(({ q, k }, { block, blocksPerRow }) => ({
    blocks: q
      .pool(block)
      .dot(k.pool(block))
      .causal()
      .topk(blocksPerRow, { always: { last: 1 } }),
  }))
  .mask(
    ({ q, k }, { block, blocks }) =>
      k <= q && blocks.has(Math.floor(q / block), Math.floor(k / block)),
  );

/** [heads][length] of one number each. */
const vectors = (...heads: readonly (readonly number[])[]) =>
  tensor([heads.map((head) => head.map((x) => [x]))]);

const codeOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    if (error instanceof PatternError) return error.code;
    throw error;
  }
  return 'none';
};

interface Sizes {
  batch?: number;
  heads?: number;
  kvHeads?: number;
  qLen?: number;
  kLen?: number;
  dim?: number;
  valueDim?: number;
  dtype?: FloatType;
  seed?: number;
}
function random(sizes: Sizes) {
  const { batch = 1, heads = 2, kvHeads = 1, qLen = 9, kLen = 9, dim = 8, dtype = 'fp32' } = sizes;
  const { valueDim = dim, seed = 0 } = sizes;
  return {
    q: tensor.random([batch, heads, qLen, dim], { dtype, seed }),
    k: tensor.random([batch, kvHeads, kLen, dim], { dtype, seed: seed + 1 }),
    v: tensor.random([batch, kvHeads, kLen, valueDim], { dtype, seed: seed + 2 }),
  };
}

function expectClose(a: Float64Array, b: Float64Array, eps = 1e-12): void {
  expect(a.length).toBe(b.length);
  for (const [i, x] of a.entries()) {
    if (x === b[i]) continue;
    expect(Math.abs(x - b[i]!)).toBeLessThan(eps * Math.max(1, Math.abs(x)));
  }
}

describe('the oracle', () => {
  test('is softmax over the allowed keys', () => {
    const q = vectors([1, 1]);
    const k = vectors([0, Math.log(3)]);
    const { out, lse } = reference(causal, { q, k, v: vectors([8, 4]) });
    expectClose(out, Float64Array.of(8, 5), 1e-6);
    expectClose(lse, Float64Array.of(0, Math.log(4)), 1e-6);
  });

  test('gives rows that see nothing out 0 and lse -Infinity', () => {
    const late = pattern('late').mask(({ q, k }) => k <= q && q >= 2);
    const { out, lse } = reference(late, random({ heads: 1, qLen: 3, kLen: 3, valueDim: 2 }));
    expect([...out.subarray(0, 4)]).toEqual([0, 0, 0, 0]);
    expect([...lse.subarray(0, 2)]).toEqual([-Infinity, -Infinity]);
    expect(lse[2]).toBeGreaterThan(-10);
  });

  test('takes lengths of 0, queries before the first key, and batches of 0', () => {
    const noKeys = reference(causal, random({ qLen: 2, kLen: 0 }));
    expect([...noKeys.lse]).toEqual([-Infinity, -Infinity, -Infinity, -Infinity]);
    expect(reference(causal, random({ qLen: 0, kLen: 3 })).out).toHaveLength(0);
    expect(reference(blockSparse, random({ batch: 0 })).lse).toHaveLength(0);
    const early = reference(causal, random({ heads: 1, qLen: 4, kLen: 2 }));
    expect([...early.lse.subarray(0, 2)]).toEqual([-Infinity, -Infinity]);
    expect([...reference(blockSparse, random({ qLen: 0, kLen: 5 })).lse]).toEqual([]);
  });

  test('shares K and V among the heads of a group', () => {
    const inputs = random({ batch: 2, heads: 6, kvHeads: 2, valueDim: 3 });
    const grouped = reference(causal, inputs);
    const repeat = (values: Float32Array, size: number) => {
      const rows: number[] = [];
      for (let head = 0; head < 4; head++) {
        for (let i = 0; i < 3; i++) rows.push(...values.subarray(head * size, (head + 1) * size));
      }
      return rows;
    };
    const k = tensor(repeat(inputs.k.data as Float32Array, 72), { shape: [2, 6, 9, 8] });
    const v = tensor(repeat(inputs.v.data as Float32Array, 27), { shape: [2, 6, 9, 3] });
    expectClose(reference(causal, { q: inputs.q, k, v }).out, grouped.out, 1e-15);
  });

  test('shows the mask every index, the parameters of the head, and captured tensors', () => {
    const seen: unknown[] = [];
    const spy = pattern('spy', {
      n: z.int().default(2),
      starts: i32('batch', 'q'),
      bias: f32('head'),
    }).mask((pair, given) => {
      const { q, k, row, head, kvHead, batch, qLen, kLen } = pair;
      const start = [
        given.starts.at(batch, row),
        given.starts.at(batch, 9),
        given.starts.at(0, -1),
      ];
      seen.push([q, k, row, head, kvHead, batch, qLen, kLen, given.n, start, given.bias.at(head)]);
      return true;
    });
    const inputs = {
      ...random({ heads: 2, qLen: 1, kLen: 2 }),
      starts: tensor([[7]], { dtype: 'i32' }),
    };
    reference(spy, { ...inputs, bias: tensor([0.5, 1.5]) }, { n: [3, 4] });
    expect(seen).toEqual([
      [1, 0, 0, 0, 0, 0, 1, 2, 3, [7, 0, 0], 0.5],
      [1, 1, 0, 0, 0, 0, 1, 2, 3, [7, 0, 0], 0.5],
      [1, 0, 0, 1, 0, 0, 1, 2, 4, [7, 0, 0], 1.5],
      [1, 1, 0, 1, 0, 0, 1, 2, 4, [7, 0, 0], 1.5],
    ]);
  });

  test('applies the score to the scaled logit', () => {
    const capped = pattern('capped', { cap: z.number().default(2) })
      .mask(() => true)
      .score(({ s }, { cap }) => cap * Math.tanh(s / cap));
    // One key: lse is its logit, 12 / sqrt(4) = 6 before the cap.
    const q = tensor([[[[3, 0, 0, 0]]]]);
    const k = tensor([[[[4, 0, 0, 0]]]]);
    expect(reference(capped, { q, k, v: k }).lse[0]).toBeCloseTo(2 * Math.tanh(3), 12);
    const dropped = pattern('dropped')
      .mask(() => true)
      .score(() => -Infinity);
    expect(reference(dropped, { q, k, v: k }).lse[0]).toBe(-Infinity);
  });

  test('reads the stored values, in any layout', () => {
    const q = tensor([1 + 2 ** -12], { shape: [1, 1, 1, 1], dtype: 'bf16' });
    expect(reference(causal, { q, k: q, v: q }).lse[0]).toBe(1);
    const inputs = random({ heads: 4, kvHeads: 2, dtype: 'fp16' });
    const moved = Object.fromEntries(
      Object.entries(inputs).map(([name, value]) => [name, value.withLayout('bshd')]),
    ) as typeof inputs;
    expect(reference(causal, moved).out).toEqual(reference(causal, inputs).out);
  });

  test('returns the chosen sets, and takes them instead of running the estimate', () => {
    const inputs = random({ qLen: 12, kLen: 12 });
    const first = reference(blockSparse, inputs, { blocksPerRow: 2 });
    const again = reference(blockSparse, { ...inputs, chosen: first.chosen });
    expect(again.out).toEqual(first.out);
    const other = reference(blockSparse, inputs, { blocksPerRow: [2, 1] });
    expect(other.chosen.blocks!.units[0]!.bits).toEqual(first.chosen.blocks!.units[0]!.bits);
    expect(other.out).not.toEqual(first.out);
    expect(codeOf(() => reference(causal, { ...inputs, chosen: first.chosen }))).toBe('T011');
    expect(codeOf(() => reference(blockSparse, { ...inputs, chosen: {} }))).toBe('T011');
  });

  test('computes chosen rows only when asked to', () => {
    const inputs = random({ qLen: 6, kLen: 6, valueDim: 1, heads: 1 });
    const all = reference(causal, inputs);
    const some = reference(causal, inputs, {}, { rows: [5, 2] });
    expect([...some.out]).toEqual([all.out[5], all.out[2]]);
    expect(codeOf(() => reference(causal, inputs, {}, { rows: [6] }))).toBe('T002');
  });

  test('gives each head of byHead what its own pattern gives', () => {
    const inputs = random({ heads: 3, kvHeads: 1, qLen: 8, kLen: 8 });
    const mixed = reference(byHead([causal, blockSparse, causal]), inputs, { blocksPerRow: 1 });
    const [a, b] = [reference(causal, inputs), reference(blockSparse, inputs)];
    const part = (out: Float64Array, head: number) => out.subarray(head * 64, (head + 1) * 64);
    expect(part(mixed.out, 0)).toEqual(part(a.out, 0));
    expect(part(mixed.out, 1)).toEqual(part(b.out, 1));
    expect(mixed.chosen.map((sets) => Object.keys(sets))).toEqual([[], ['blocks']]);
    const frozen = reference(byHead([causal, blockSparse, causal]), {
      ...inputs,
      chosen: mixed.chosen,
    });
    expect(frozen.out).toEqual(mixed.out);
    expect(codeOf(() => reference(byHead([causal]), inputs))).toBe('S007');
  });

  test('names the pair when the mask or the score is not a function of the right kind', () => {
    const inputs = random({ heads: 1, qLen: 2, kLen: 2 });
    const masks: [string, (pair: { k: number }) => unknown][] = [
      ['L016', () => 1],
      ['L016', () => undefined],
      ['L018', ({ k }) => (k === 1 ? (undefined as unknown as { x: boolean }).x : true)],
    ];
    for (const [code, mask] of masks) {
      const bad = pattern('bad').mask(mask as () => boolean);
      expect(codeOf(() => reference(bad, inputs))).toBe(code);
    }
    const throwing = pattern('bad').mask(({ k }) => {
      if (k === 1) throw new Error('no');
      return true;
    });
    expect(() => reference(throwing, inputs)).toThrow(
      /'bad' throws at \(q 0, k 1, row 0, head 0, batch 0\): no/,
    );
    const scoreOf = (score: () => unknown) =>
      pattern('bad')
        .mask(() => true)
        .score(score as () => number);
    expect(
      codeOf(() =>
        reference(
          scoreOf(() => true),
          inputs,
        ),
      ),
    ).toBe('L016');
    expect(
      codeOf(() =>
        reference(
          scoreOf(() => NaN),
          inputs,
        ),
      ),
    ).toBe('T010');
    expect(
      codeOf(() =>
        reference(
          scoreOf(() => Infinity),
          inputs,
        ),
      ),
    ).toBe('T010');
  });
});

describe('stand-ins', () => {
  const withRest = (n: number) =>
    blockSparse.rest(({ k, v }) => ({ keys: k.pool(n), values: v.pool(n) }));

  test('are one term per wholly dropped pool: its mean key and value, and the logarithm of its size', () => {
    // Block 0 is dropped for the row of block 1: mean key 2 and value 10 stand in for two keys.
    const drop = pattern('drop', { n: fixed(2) })
      .estimate(({ q, k }, { n }) => ({
        blocks: q
          .pool(n)
          .dot(k.pool(n))
          .topk(0, { always: { last: 1 } }),
      }))
      .mask(({ q, k }, { n, blocks }) => k <= q && blocks.has(Math.floor(q / n), Math.floor(k / n)))
      .rest(({ k, v }, { n }) => ({ keys: k.pool(n), values: v.pool(n) }));
    const inputs = { q: vectors([1]), k: vectors([1, 3, 0]), v: vectors([5, 15, 1]) };
    const { out, lse } = reference(drop, inputs);
    const mass = 1 + 2 * Math.exp(2);
    expect(lse[0]).toBeCloseTo(Math.log(mass), 12);
    expect(out[0]).toBeCloseTo((1 + 2 * Math.exp(2) * 10) / mass, 12);
  });

  const shapes = fc.record({
    heads: fc.constantFrom(2, 4),
    kvHeads: fc.constantFrom(1, 2),
    qLen: fc.nat(20),
    kLen: fc.nat(20),
    dtype: fc.constantFrom<FloatType[]>('fp32', 'fp16', 'bf16'),
    seed: fc.nat(100),
  });

  test('of single keys give dense attention on the hull, whatever the sets are', () => {
    fc.assert(
      fc.property(shapes, fc.nat(4), (sizes, blocksPerRow) => {
        const inputs = random(sizes);
        const dense = reference(causal, inputs);
        const stood = reference(withRest(1), inputs, { blocksPerRow });
        expectClose(stood.out, dense.out);
        expectClose(stood.lse, dense.lse);
      }),
      { numRuns: 60 },
    );
  });

  test('of constant blocks are exact, and ones of V give ones', () => {
    const { q } = random({ qLen: 16, kLen: 16, heads: 1 });
    const rows = Array.from({ length: 16 }, (_, i) => [
      Math.floor(i / 4) / 2,
      1,
      0,
      0,
      0,
      0,
      0,
      -1,
    ]);
    const k = tensor([[rows]]);
    expectClose(reference(withRest(4), { q, k, v: k }).out, reference(causal, { q, k, v: k }).out);
    const ones = reference(withRest(4), { ...random({}), v: tensor.full([1, 1, 9, 8], 1) });
    expectClose(ones.out, new Float64Array(ones.out.length).fill(1));
  });

  test('have means rounded to the dtype, and the last pool may be partial', () => {
    const nothing = pattern('nothing')
      .estimate(({ q, k }) => ({ keys: q.dot(k).topk(0) }))
      .mask(({ q, k }, { keys }) => keys.has(q, k))
      .rest(({ k, v }) => ({ keys: k.pool(2), values: v.pool(2) }));
    const of = (numbers: number[]) =>
      tensor(numbers, { shape: [1, 1, numbers.length, 1], dtype: 'bf16' });
    const inputs = { q: of([1]), k: of([1, 1 + 2 ** -7, 3]), v: of([0, 0, 6]) };
    const mean = roundTo('bf16', 1 + 2 ** -8);
    const { lse } = reference(nothing, inputs);
    expect(lse[0]).toBeCloseTo(Math.log(2 * Math.exp(mean) + Math.exp(3)), 12);
  });

  test('have a score of the logit alone', () => {
    const inputs = random({ heads: 1, qLen: 8, kLen: 8 });
    const half = (n: number) => withRest(n).score(({ s }) => s / 2);
    const dense = causal.score(({ s }) => s / 2);
    expectClose(reference(half(1), inputs).out, reference(dense, inputs).out);
    const placed = withRest(4).score(({ s, k }) => s + k);
    expect(codeOf(() => reference(placed, inputs, { blocksPerRow: 0 }))).toBe('E009');
  });

  test('leave sets that are full alone', () => {
    const inputs = random({ qLen: 9, kLen: 9 });
    expectClose(
      reference(withRest(4), inputs, { blocksPerRow: 99 }).out,
      reference(causal, inputs).out,
    );
  });
});

test('a set answers false outside its domain', () => {
  const set = new BitSet({ rowFrom: 0, rows: 1, columns: 3, arity: 1 });
  set.addRange(0, 0, 3);
  const wide = pattern('wide')
    .estimate(({ q, k }) => ({ keys: q.dot(k).softmax().sumPerKey().topk(9) }))
    .mask(({ k }, { keys }) => keys.has(k * 2) || keys.has(k - 0.5));
  const inputs = random({ heads: 1, kvHeads: 1, qLen: 1, kLen: 3 });
  const axes = [{ axis: 'k', size: 1 }];
  const chosen = { keys: { axes, perGroup: false, units: [set], dense: [false] } };
  const { lse } = reference(wide, { ...inputs, chosen });
  const two = pattern('two').mask(({ k }) => k < 2);
  expectClose(lse, reference(two, inputs).lse);
});
