// Heads that fall back after they have chosen, where scores decide how much that is: which do, and that they attend to
// the hull of their mask while the others attend to what they chose. Those whose budgets tell before: hulls.test.ts.

import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { BitSet, type ChosenSetsData } from '../../dsl/chosen.ts';
import { domainOf } from '../../dsl/estimate/domain.ts';
import { axesOfChosen } from '../../dsl/estimate/node.ts';
import type { AnyPattern } from '../../dsl/pattern.ts';
import type { LaunchShape } from '../../dsl/shape.ts';
import {
  antidiagonal,
  aShape,
  byHead,
  causal,
  compile,
  count,
  type Device,
  type FloatType,
  fixed,
  flashPrefill,
  flexPrefill,
  openDevice,
  pattern,
  patterns,
  reference,
  tensor,
  verticalSlash,
  xAttention,
} from '../../index.ts';
import { figuresOf } from '../../runtime/commands/kernels.ts';
import { launchesOf } from '../../runtime/cuda/launches.ts';
import { readChosen } from '../../runtime/cuda/sets.ts';
import { fallbackLimits, fallenHeads } from '../../runtime/fallback.ts';
import { graphsPerHead } from '../../runtime/inputs.ts';
import { checkCall } from '../../runtime/plans.ts';
import { predictedCost } from '../../runtime/predicted.ts';
import { tensorsOfCall } from '../../runtime/testing/calls.ts';
import { builtInCalls } from '../laws/properties/built-ins.ts';
import { checkFallback, limitsOf, openPatterns } from '../laws/properties/fallback.ts';

const cpu = await openDevice('cpu', { threads: 0 });
afterAll(() => cpu.dispose());

/** Keys above a share of the largest beside the nearest distances: a set whose size is not known, and one whose size is. */
const mixed = pattern('mixed', { share: count.default(0), near: count.default(8) })
  .estimate(({ q, k }, { share, near }) => {
    const weight = q.last(32).dot(k).causal().softmax();
    return {
      columns: weight.sumPerKey().above(share / 1000, { always: { first: 2 } }),
      distances: weight.sumPerDistance().topk(near, { always: { first: 4 } }),
    };
  })
  .mask(({ q, k }, { columns, distances }) => k <= q && (columns.has(k) || distances.has(q - k)))
  .schedule({ gather: 'columns' });
const lengths = { qLen: 2000, kLen: 2000 };
const sizes: LaunchShape = {
  batch: 1,
  heads: 4,
  kvHeads: 2,
  ...lengths,
  headDim: 16,
  valueDim: 16,
};

/** The sets of a call with nothing in them. */
function emptySets(one: AnyPattern, shape: LaunchShape): ChosenSetsData {
  const { parts, inputs } = checkCall(one, { shape }, {});
  const graph = graphsPerHead(parts[0]!.definition, inputs.given[0]!.params, shape)[0]!;
  return Object.fromEntries(
    Object.entries(graph).map(([name, node]) => {
      const units = Array.from({ length: shape.heads }, () => new BitSet(domainOf(node, shape)));
      const axes = axesOfChosen(node).map(({ axis, size }) => ({ axis, size }));
      return [name, { axes, perGroup: false, units, dense: units.map(() => false) }];
    }),
  );
}

describe('the members from which on a head falls back', () => {
  it('are the fewest that cost as much as dense attention, by the cost of as many that are asked for', () => {
    const asked = pattern('asked', { block: fixed(128), n: count.default(1) })
      .estimate(({ q, k }, { block, n }) => ({
        blocks: antidiagonal(q, k, { stride: 8, block }).causal().softmax().topk(n),
      }))
      .mask(
        ({ q, k }, { block, blocks }) =>
          k <= q && blocks.has(Math.floor(q / block), Math.floor(k / block)),
      );
    const costOf = (n: number): number => {
      const { parts, inputs } = checkCall(asked, { shape: sizes }, { n });
      const { params } = inputs.given[0]!;
      const { definition } = parts[0]!;
      const graph = graphsPerHead(definition, params, sizes)[0]!;
      return predictedCost(definition, graph, params, sizes, 0)!;
    };
    const limit = limitsOf(xAttention, sizes, {})!.heads.get(0)!.blocks!;
    // Rows see 0, 1, 2 ... blocks before their own: n a row are so many together.
    const blocks = Math.ceil(2000 / 128);
    const membersOf = (n: number) =>
      Array.from({ length: blocks }, (_, row) =>
        Math.min(n, row === blocks - 1 ? blocks : row),
      ).reduce((sum, own) => sum + own);
    const first = Array.from({ length: blocks }, (_, n) => n).find((n) => costOf(n) >= 1)!;
    expect(costOf(first - 1)).toBeLessThan(1);
    expect(limit).toBeGreaterThan(membersOf(first - 1));
    expect(limit).toBeLessThanOrEqual(membersOf(first) + blocks);
  });

  it('are none where budgets tell, where a mask is not its hull, and where tensors decide', () => {
    expect(limitsOf(verticalSlash, sizes, {})).toBeUndefined();
    const without = pattern('without', {})
      .estimate(({ q, k }) => ({
        keys: q.last(8).dot(k).causal().softmax().sumPerKey().above(0.5),
      }))
      .mask(({ q, k }, { keys }) => k <= q && !keys.has(k));
    expect(limitsOf(without, sizes, {})).toBeUndefined();
    expect(limitsOf(patterns.get('causal')!, sizes, {})).toBeUndefined();
  });

  it('count members of several sets by what they cost', () => {
    const limits = limitsOf(flexPrefill, sizes, {})!;
    expect(limits.isShared).toBe(false);
    const { blocks, columns, distances } = limits.heads.get(3)!;
    const set = (name: 'columns' | 'distances', members: number) => {
      const chosen = emptySets(flexPrefill, sizes);
      chosen[name]!.units[3]!.addRange(0, 0, members);
      return chosen;
    };
    const fallen = (sets: ChosenSetsData) => fallenHeads(sets, limits, sizes);
    expect(fallen(set('columns', columns!))).toEqual([false, false, false, true]);
    expect(fallen(set('columns', columns! - 1))).toEqual([false, false, false, false]);
    const both = set('columns', Math.ceil(columns! / 2));
    const more = set('distances', Math.ceil(distances! / 2));
    expect(fallen({ ...both, distances: more.distances! })).toEqual([false, false, false, true]);
    const less = set('distances', Math.floor(distances! / 2) - 1);
    expect(fallen({ ...both, distances: less.distances! })).toEqual([false, false, false, false]);
    expect(blocks).toBeGreaterThan(0);
  });

  it('are those of all heads that share a choice', () => {
    const params = { tail: [0, 2000, 0, 0], share: 0.5 };
    const limits = limitsOf(flashPrefill, sizes, params)!;
    expect(limits.isShared).toBe(true);
    for (const [a, b] of [
      [0, 1],
      [2, 3],
    ] as const)
      expect(limits.heads.get(a)).toEqual(limits.heads.get(b));
  });
});

/** Queries of one head, so long that the largest score is nearly all there is. */
const largeQueries = (length: number, dtype: FloatType) => {
  const data = (tensor.random([1, 1, length, 16], { seed: 1 }).data as Float32Array).map(
    (value) => 100 * value,
  );
  return tensor(data, { shape: [1, 1, length, 16], dtype: 'fp32' }).to(dtype);
};

describe.each([
  ['cpu', 40],
  ['emulated:sm_80', 5],
  ['emulated:sm_90a', 5],
] as const)('a fallback after selection, on %s', (name, numRuns) => {
  const opened: Promise<Device> = name === 'cpu' ? Promise.resolve(cpu) : openDevice(name);
  afterAll(async () => {
    if (name !== 'cpu') await (await opened).dispose();
  });

  it('is taken by the heads that chose too much, and by no other', {
    timeout: 600_000,
  }, async () => {
    const device = await opened;
    const seen = { fallen: 0, others: 0 };
    await fc.assert(
      fc.asyncProperty(
        builtInCalls(openPatterns, { longest: 700, tile: 64, groups: 4, dtype }),
        async (drawn) => {
          const one = patterns.get(drawn.name)!;
          const inputs = tensorsOfCall(one.definition, drawn.call);
          const { fallen, others } = await checkFallback(device, one, drawn.call, inputs);
          seen.fallen += fallen;
          seen.others += others;
        },
      ),
      { numRuns, seed: 7 },
    );
    expect(seen.fallen).toBeGreaterThan(0);
    expect(seen.others).toBeGreaterThan(0);
  });

  const dtype = name === 'cpu' ? 'fp32' : 'bf16';
  /** Two batch entries of four heads, fewer queries than keys. */
  const callOf = (kLen: number) => {
    const qLen = kLen - 100;
    const sizes = { heads: 4, kvHeads: 2, headDim: 16, valueDim: 16 };
    const of = (heads: number, length: number, seed: number) =>
      tensor.random([2, heads, length, 16], { seed, dtype });
    const inputs = { q: of(4, qLen, 1), k: of(2, kLen, 2), v: of(2, kLen, 3) };
    return { shape: { batch: 2, qLen, kLen, ...sizes }, inputs };
  };

  it.each([
    [
      'blocks of heads of their own',
      xAttention,
      400,
      { block: 16, stride: 4, mass: [0.1, 1, 0.1, 1] },
      [1, 3],
    ],
    ['columns packed beside distances', mixed, 800, { share: [990, 0, 990, 990], near: 9 }, [1]],
    [
      'a choice that heads share',
      flashPrefill,
      1500,
      { block: 64, tile: 64, share: [1, 1, 0, 0], tail: 3 },
      [2, 3],
    ],
  ] as const)('is of %s', { timeout: 120_000 }, async (_, one, kLen, params, wanted) => {
    const device = await opened;
    const { shape, inputs } = callOf(kLen);
    const call = { shape, dtype, params } as const;
    const { fallen, others } = await checkFallback(device, one, call, inputs as never);
    expect([fallen, others]).toEqual([2 * wanted.length, 8 - 2 * wanted.length]);
    const options = { ...shape, dtype, device, fallback: 'dense' } as const;
    const attend = await compile(one as AnyPattern, options);
    const { chosen } = await attend(inputs, params);
    const [first] = Object.values(await readChosen(chosen as ChosenSetsData));
    const span = first!.perGroup ? 2 : 1;
    expect(first!.dense.flatMap((flag, unit) => (flag ? [(unit * span) % 4] : []))).toEqual(
      [wanted, wanted].flat().filter((head) => head % span === 0),
    );
  });

  it('is of some heads of a pattern that some heads have', { timeout: 120_000 }, async () => {
    const device = await opened;
    const { shape, inputs } = callOf(400);
    const options = { ...shape, dtype, device } as const;
    const params = { block: 16, stride: 4, mass: [0.1, 0.1, 0.1, 1] };
    const some = await compile(byHead([aShape, xAttention, aShape, xAttention]), {
      ...options,
      fallback: 'dense',
    });
    const result = await some(inputs, params);
    const [, { blocks }] = result.chosen as readonly [ChosenSetsData, ChosenSetsData];
    await readChosen({ blocks: blocks! });
    const alike = [false, false, false, true];
    expect(blocks!.dense).toEqual([...alike, ...alike]);
    // The head that fell back is causal, the other one is what it is without a fallback.
    const plain = await compile(xAttention, options);
    const dense = await compile(causal, options);
    const wanted = {
      1: await (await plain(inputs, params)).lse.read(),
      3: await (await dense(inputs)).lse.read(),
    };
    const lse = await result.lse.read();
    for (const head of [1, 3] as const)
      for (const batch of [0, 1])
        for (let row = 0; row < shape.qLen; row += 1) {
          const at = (batch * 4 + head) * shape.qLen + row;
          expect(Math.abs(lse[at]! - wanted[head][at]!)).toBeLessThan(1e-4);
        }
  });

  it('leaves all as it was where one of the kernels has no head, and a single block', async () => {
    const device = await opened;
    const of = (length: number, seed: number) => tensor.random([1, 1, length, 16], { seed, dtype });
    const [k, v] = [of(950, 2), of(950, 3)];
    const options = { heads: 1, headDim: 16, dtype, device, fallback: 'dense' } as const;
    const attend = await compile(xAttention, options);
    // Queries that see all keys alike choose most of them; others nearly none.
    const queries = [tensor.zeros([1, 1, 50, 16], { dtype }), largeQueries(50, dtype)];
    const results: Float32Array[] = [];
    for (const which of [0, 1, 0, 1]) {
      const params = { block: 16, stride: 4, mass: 0.9 };
      const { lse, chosen } = await attend({ q: queries[which]!, k, v }, params);
      expect((await readChosen(chosen)).blocks!.dense).toEqual([which === 0]);
      results.push((await lse.read()) as Float32Array);
    }
    expect(results.slice(2)).toEqual(results.slice(0, 2));
  });

  it('is not taken unless it is asked for, nor where sets are passed', async () => {
    const device = await opened;
    const of = (seed: number) => tensor.random([1, 2, 300, 16], { seed, dtype });
    const inputs = { q: of(1), k: of(2), v: of(3) };
    const params = { block: 16, stride: 4, mass: 0.99 };
    const options = { heads: 2, headDim: 16, dtype, device } as const;
    const plain = await compile(xAttention, options);
    const { chosen } = await plain(inputs, params);
    await readChosen(chosen);
    expect(chosen.blocks!.dense).toEqual([false, false]);
    const asked = await compile(xAttention, { ...options, fallback: 'dense' });
    expect((await readChosen((await asked(inputs, params)).chosen)).blocks!.dense).toEqual([
      true,
      true,
    ]);
    expect((await asked({ ...inputs, chosen } as never, params)).chosen).toEqual(chosen);
  });
});

describe('a mask that asks for what a set lacks', () => {
  const lacking = pattern('lacking', { budget: count.default(5) })
    .estimate(({ q, k }, { budget }) => ({
      columns: q.last(4).dot(k).causal().softmax().sumPerKey().topk(budget),
    }))
    .mask(({ q, k }, { columns }) => k <= q && !columns.has(k));
  const either = pattern('either')
    .estimate(({ q, k }) => ({
      columns: q.last(4).dot(k).causal().softmax().sumPerKey().cover(0.3),
    }))
    .mask(({ q, k }, { columns }) => k <= q && (columns.has(k) ? q - k < 40 : k % 2 === 0));

  // With full sets it would allow least of all, nothing or one arm.
  it.each<[string, AnyPattern, Record<string, number>]>([
    ['some', lacking, {}],
    ['all', lacking, { budget: 80 }],
    ['an arm for members', either, {}],
  ])('attends to what it chose, fallback or not: %s', async (_, asked, params) => {
    const of = (seed: number) => tensor.random([1, 2, 80, 16], { seed, scale: 2 });
    const inputs = { q: of(1), k: of(2), v: of(3) };
    const attend = await compile(asked, {
      ...{ heads: 2, headDim: 16, dtype: 'fp32', device: cpu, fallback: 'dense' },
    });
    const { out, lse, chosen } = await attend(inputs, params);
    const right = await reference(asked, inputs, params);
    expect(chosen.columns!.dense).toEqual([false, false]);
    for (const [own, theirs] of [
      [out, right.out],
      [lse, right.lse],
    ] as const)
      for (const [i, value] of (await own.read()).entries())
        if (value !== theirs[i]) expect(Math.abs(Number(value) - theirs[i]!)).toBeLessThan(1e-4);
  });
});

describe('the kernels of a fallback', () => {
  const shape = { ...sizes, heads: 8, qLen: 4096, kLen: 4096, headDim: 128, valueDim: 128 };

  it.each(['sm_80', 'sm_90a'])(
    'are the pattern and its hull, which have room for their lists of heads, for %s',
    async (arch) => {
      const call = checkCall(xAttention, { shape, dtype: 'bf16' });
      const fallbacks = [fallbackLimits(call.parts[0]!, call.inputs.given[0]!, shape)];
      const launches = await launchesOf({ ...call, fallbacks }, arch);
      expect(launches).toHaveLength(2);
      for (const { attention, lists } of launches) {
        expect(attention.kernel.source).toContain('p.turn[');
        for (const { spillBytes } of await figuresOf(lists, arch)) expect(spillBytes).toBe(0);
      }
      const hull = await launchesOf(checkCall(causal, { shape, dtype: 'bf16' }), arch);
      expect(launches[1]!.attention.choice).toEqual(hull[0]!.attention.choice);
      expect(/p\.turn\b/.test(hull[0]!.attention.kernel.source)).toBe(false);
    },
  );
});
