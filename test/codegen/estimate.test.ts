// The estimation kernels, executed on the CPU, against the float64 oracle: the built-in methods, all rules
// and sums, and what goes wrong.

import { describe, expect, it } from 'vitest';
import type { HalfType } from '../../codegen/estimate/vectors.ts';
import { antidiagonal, divergence, where } from '../../dsl/estimate/trace.ts';
import type { Inputs } from '../../dsl/estimate/values.ts';
import { tensor } from '../../runtime/tensor.ts';
import { boundOfKernels, disagreementsOfSets } from '../sets.ts';
import {
  bare,
  builtIn,
  type Call,
  type CallSizes,
  callOf,
  emulate,
  launchOf,
  type Options,
  trace,
} from './estimate-calls.ts';

const backends = ['portable', 'hopper'] as const;

/** What the oracle objects to on either back-end; dilations are compared apart. */
async function problemsOf(call: Call, options: Options = {}): Promise<string[]> {
  const found = await Promise.all(
    backends.map((backend) => problemsOfOne(call, { ...options, backend })),
  );
  return found.flat();
}

async function problemsOfOne(call: Call, options: Options): Promise<string[]> {
  const { sets, error } = await emulate(bare(call), options);
  expect(error).toBeUndefined();
  const { shape, q } = call;
  const boundOf = boundOfKernels(q.dtype as HalfType, shape, 16 * Math.sqrt(shape.headDim));
  return disagreementsOfSets(bare(call).graphs, call, sets, boundOf);
}

/** The back-ends differ in their products alone, so each length but the first is tried on one. */
const sizes: [string, CallSizes, Options][] = [
  ['a chunk of a prompt', {}, { backend: 'portable' }],
  ['a chunk of a prompt on Hopper', {}, { backend: 'hopper' }],
  [
    'more queries than keys, rows with gaps',
    { qLen: 90, kLen: 77, layout: 'bshd' },
    { backend: 'hopper' },
  ],
  [
    'many waves and chunks',
    { heads: 2, qLen: 200, kLen: 200 },
    { scoreBytes: 4 * 64 * 64, backend: 'portable' },
  ],
  ['a single query', { qLen: 1, kLen: 70 }, { backend: 'hopper' }],
  ['no query', { qLen: 0, kLen: 40 }, { backend: 'portable' }],
  ['no key', { qLen: 40, kLen: 0 }, { backend: 'portable' }],
];

const few = { probe: 16, grain: 8 };
const methods: [string, Readonly<Record<string, number | readonly number[]>>][] = [
  ['vertical-slash', { ...few, verticals: 40, slashes: 110 }],
  ['block-sparse', { block: 16, blocksPerRow: 3 }],
  ['x-attention', { block: 16, stride: 4, mass: 0.7 }],
  ['flash-prefill', { block: 16, tile: 8, share: 0.5 }],
  ['nsa-selection', { block: 16, blocksPerQuery: 3 }],
  ['flex-prefill', { block: 16, mass: 0.7, tau: 0.3 }],
];

describe.each(methods)('%s agrees with the oracle', (name, params) => {
  it.each(sizes)('for %s', async (_, own, options) => {
    expect(await problemsOfOne(builtIn(name, params, own), options)).toEqual([]);
  });
});

it('long rows, of which many blocks choose, agree with the oracle', async () => {
  const sizes = { batch: 1, heads: 2, kvHeads: 1, qLen: 20, kLen: 17_000, headDim: 8 };
  const numbers = { ...few, verticals: [700, 20_000], slashes: [900, 100] };
  const call = builtIn('vertical-slash', numbers, sizes);
  expect(launchOf(call).kernels.map(({ name }) => name)).toContain('estimate_topk_raw_split');
  expect(await problemsOfOne(call, {})).toEqual([]);
});

describe('antidiagonal scores agree with the oracle', () => {
  const sizes = { qLen: 128, kLen: 320, headDim: 64 };
  const backendsOf = (call: Call) =>
    backends.map((backend) => launchOf(call, { backend }).kernels[0]!.source);

  it.each([1, 2, 4, 8, 16, 32])('in blocks of %d cells', async (cells) => {
    const own = { ...sizes, batch: 1, heads: 2, kvHeads: 1 };
    const call = builtIn('x-attention', { block: 4 * cells, stride: 4, mass: 0.7 }, own);
    expect(await problemsOf(call)).toEqual([]);
  });

  it('in boxes, of a batch of several KV heads and of rows with gaps', async () => {
    const params = { block: 32, stride: 8, mass: 0.7 };
    const call = builtIn('x-attention', params, { ...sizes, headDim: 128, layout: 'bshd' });
    expect(backendsOf(call).map((text) => text.includes('boxes.multiply'))).toEqual([false, true]);
    expect(await problemsOf(call)).toEqual([]);
  });

  it('in boxes, of more cells than a tile has', async () => {
    const own = { batch: 1, heads: 2, kvHeads: 1, qLen: 1056, kLen: 2112, headDim: 64 };
    const call = builtIn('x-attention', { block: 64, stride: 8, mass: 0.7 }, own);
    expect(await problemsOfOne(call, { backend: 'hopper' })).toEqual([]);
  });

  it('not in boxes where a cell is not whole', async () => {
    const params = { block: 32, stride: 8, mass: 0.7 };
    const call = builtIn('x-attention', params, { ...sizes, kLen: 323 });
    expect(backendsOf(call).some((text) => text.includes('boxes.multiply'))).toBe(false);
    expect(await problemsOf(call)).toEqual([]);
  });
});

describe('numbers per head', () => {
  it('give each head its own set, and no set to a head that needs none', async () => {
    const verticals = [0, 31, 40, 200];
    const call = builtIn('vertical-slash', { ...few, verticals, slashes: [0, 101, 110, 120] });
    const { sets } = await emulate(bare(call), { only: [0, 2, 3] });
    const counts = sets.columns!.units.map((set) => set.count(0));
    expect(counts).toEqual([30, 0, 40, 130, 30, 0, 40, 130]);
    expect(await problemsOf(call)).toEqual([]);
  });

  it('let each head choose between two sets', async () => {
    const call = builtIn('flex-prefill', { block: 16, mass: 0.7, tau: [0, 1, 1, 0.3] });
    const { sets } = await emulate(call);
    const [blocks, columns] = [sets.blocks!.units, sets.columns!.units];
    expect(blocks.slice(0, 3).map((set) => set.bits.some((word) => word !== 0))).toEqual([
      false,
      true,
      true,
    ]);
    expect(columns.slice(0, 3).map((set) => set.count(0) > 0)).toEqual([true, false, false]);
    expect(await problemsOf(call)).toEqual([]);
  });

  it('may differ between KV heads where a set is one per KV head', async () => {
    const call = builtIn('flash-prefill', { block: 16, tile: 8, share: [0.9, 0.9, 0.1, 0.1] });
    expect(await problemsOf(call)).toEqual([]);
  });
});

describe('every rule and sum agrees with the oracle', () => {
  const programs: Record<string, (inputs: Inputs) => Record<string, unknown>> = {
    'cover of sums, past their capacity': ({ q, k }) => {
      const weight = q.last(16).dot(k).causal().softmax();
      return {
        columns: weight.sumPerKey().cover(0.9, { capacity: 60 }),
        distances: weight.sumPerDistance().cover(0.5, { always: { first: 20 } }),
        blocks: weight
          .sumPerKey()
          .pool(16)
          .topk(3, { always: { last: 1 } }),
      };
    },
    'open sums over all rows': ({ q, k }) => {
      const weight = q.dot(k).exp();
      return {
        columns: weight.sumPerKey().sumPerGroup().topk(20),
        distances: weight.sumPerDistance().above(0.01, { of: 'sum' }),
      };
    },
    'choices between dilated, shared and dense sets': ({ q, k }) => {
      const own = q.last(32).dot(k).causal().softmax().sumPerKey();
      const shared = own.sumPerGroup();
      const verdict = divergence(own, shared).below(0.15);
      const all = divergence(shared, shared).below(0.1);
      const dense = own.cover(0.9, { capacity: 10 });
      return {
        keys: where(verdict, dense, shared.topk(9)),
        nested: where(all, where(verdict, 'none', own.topk(5)), dense),
        shared: where(all, shared.topk(4), 'none'),
      };
    },
    'rows past their capacity': ({ q, k }) => ({
      blocks: q.pool(16, 'max').dot(k.pool(16, 'max')).softmax().above(0.3, { capacity: 4 }),
      antidiagonals: antidiagonal(q, k, { stride: 4, block: 16 }).causal().exp().above(0.4),
    }),
  };
  it.each(Object.entries(programs))('%s', async (_, program) => {
    const call = callOf(trace(program));
    expect(await problemsOf(call)).toEqual([]);
    const few = { scoreBytes: 4 * 64 * 64, backend: 'portable' } as const;
    expect(await problemsOfOne(call, few)).toEqual([]);
  });
});

describe('energies of many queries with many pools', () => {
  const long = { batch: 1, qLen: 100, kLen: 700 };
  it.each<[string, CallSizes]>([
    ['six heads', { ...long, heads: 6, kvHeads: 1, headDim: 32 }],
    ['a large head dimension', { ...long, heads: 2, kvHeads: 2, headDim: 136, dtype: 'fp16' }],
  ])('agree with the oracle for %s', async (_, own) => {
    const params = {
      block: 4,
      tile: 32,
      share: [0.3, 0.3, 0.3, 0.3, 0.3, 0.3].slice(0, own.heads),
    };
    expect(await problemsOf(builtIn('flash-prefill', params, own))).toEqual([]);
  });

  it('are one for each query head where no group shares them', async () => {
    const program = ({ q, k }: Inputs) => ({
      blocks: q.dot(k.pool(8)).exp().sumPerBlock(16).topk(7),
      single: q.dot(k.pool(32)).exp().sumPerBlock(1).topk(2),
      others: q.dot(k.pool(8, 'max')).causal().exp().sumPerBlock(64).cover(0.6, { capacity: 30 }),
    });
    expect(await problemsOf(callOf(trace(program), { kLen: 300 }))).toEqual([]);
  });

  const params = { block: 4, tile: 32, share: 0.5 };
  const own = { batch: 1, heads: 8, kvHeads: 2, qLen: 64, kLen: 600, headDim: 16 };
  const changed = async (change: (numbers: Float32Array) => void) => {
    const call = builtIn('flash-prefill', params, own);
    const numbers = Float32Array.from(await call.k.read());
    change(numbers);
    return { ...call, k: tensor(numbers, { shape: call.k.shape, dtype: 'bf16' }) };
  };

  it('may grow far beyond those of the first pools', async () => {
    const call = await changed((numbers) => {
      // The scores of a pool with query after query, all of one sign and larger than any that came before.
      for (let key = 520; key < 532; key += 1)
        for (let i = 0; i < 16; i += 1)
          numbers[key * 16 + i] = 24 * Math.sign(numbers[520 * 16 + i]!);
    });
    expect(await problemsOf(call)).toEqual([]);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
    'are told where a late key is %d',
    async (value) => {
      const call = await changed((numbers) => {
        numbers[523 * 16 + 5] = value;
      });
      // Pool 130, from key 520 on, is seen from position 523 on; the queries begin at 536.
      for (const backend of backends)
        expect((await emulate(call, { backend })).error).toEqual({ batch: 0, head: 0, row: 536 });
    },
  );
});

describe('antidiagonals of many cells', () => {
  it.each([
    [16, 4],
    [16, 16],
    [128, 4],
    [96, 4],
    [15, 5],
  ])('in blocks of %d by cells of %d agree with the oracle', async (block, stride) => {
    const program = ({ q, k }: Inputs) => {
      const scores = antidiagonal(q, k, { stride, block }).causal();
      return {
        blocks: scores.softmax().cover(0.7, { always: { first: 1, last: 1 } }),
        open: scores.exp().above(0.4),
      };
    };
    const sizes = { batch: 1, heads: 3, kvHeads: 1, qLen: 600, kLen: 701, headDim: 8 };
    expect(await problemsOf(callOf(trace(program), sizes), { scoreBytes: 2 ** 18 })).toEqual([]);
  });
});

it('ties go to the lower index', async () => {
  const call = builtIn('block-sparse', { block: 16, blocksPerRow: 3 }, { qLen: 130 });
  const q = tensor(new Float32Array(call.q.data.length), { shape: call.q.shape, dtype: 'bf16' });
  const { sets } = await emulate({ ...call, q });
  for (const set of sets.blocks!.units) {
    expect([...set.members(1)]).toEqual([0, 1]);
    expect([...set.members(7)]).toEqual([0, 1, 7]);
  }
});

it('a mass takes as many equal weights as it needs', async () => {
  const cover = (mass: number) =>
    trace(({ q, k }) => ({ keys: q.last(1).dot(k).softmax().sumPerKey().cover(mass) }));
  // The units of 1 / 131 do not end in zeros: their sum carries from the lower to the upper 32 bits.
  const call = callOf(cover(0.5), { kLen: 131 });
  const q = tensor(new Float32Array(call.q.data.length), { shape: call.q.shape, dtype: 'bf16' });
  const masses = [0, 0.5, 1 - 2 ** -23, 1 - 2 ** -40];
  const { sets } = await emulate({ ...call, q, graphs: masses.map(cover) });
  const counts = sets.keys!.units.map((set) => [...set.members()].length);
  expect(counts.slice(0, 4)).toEqual([0, 66, 131, 131]);
  expect([...sets.keys!.units[1]!.members()].at(-1)).toBe(65);
});

it('dilation unites what lies behind each member', async () => {
  const call = callOf(
    trace(({ q, k }) => ({
      keys: q.last(16).dot(k).causal().softmax().sumPerKey().topk(7).dilate(3).dilate(70),
    })),
  );
  const plain = (await emulate(bare(call))).sets.keys!;
  const wide = (await emulate(call)).sets.keys!;
  for (const [unit, set] of plain.units.entries()) {
    const members = new Set<number>();
    for (const member of set.members()) for (let i = 0; i < 72; i++) members.add(member + i);
    expect([...wide.units[unit]!.members()]).toEqual([...members].sort((a, b) => a - b));
  }
});

describe('a score that is not finite', () => {
  it('is reported with the first row that has one', async () => {
    const call = builtIn('block-sparse', { block: 16, blocksPerRow: 3 });
    const numbers = Float32Array.from(await call.q.read());
    const { heads, qLen, headDim } = call.shape;
    // Of batch entry 1, head 2, position 77 = row 47: in query block 4.
    numbers[((heads + 2) * qLen + 47) * headDim + 5] = Number.NaN;
    const q = tensor(numbers, { shape: call.q.shape, dtype: 'bf16' });
    expect((await emulate({ ...call, q })).error).toEqual({ batch: 1, head: 2, row: 4 });
  });

  it('is reported by whatever reads it first', async () => {
    const numbers = async (sizes: CallSizes) => {
      const call = builtIn('flash-prefill', { block: 16, tile: 8, share: 0.5 }, sizes);
      const values = Float32Array.from(await call.q.read());
      return { call, values, width: call.shape.headDim };
    };
    const { call, values, width } = await numbers({ batch: 1 });
    // Head 3, rows 61 and 60: positions 91 and 90.
    for (const row of [61, 60]) values[(3 * 100 + row) * width] = Number.NaN;
    const q = tensor(values, { shape: call.q.shape, dtype: 'bf16' });
    expect((await emulate({ ...call, q })).error).toEqual({ batch: 0, head: 3, row: 90 });
    const probe = builtIn('vertical-slash', { ...few, verticals: 40, slashes: 110 }, { batch: 1 });
    // The last 16 queries are the probe, and head 3 is of KV head 1.
    values[(2 * 100 + 99) * width] = Number.NEGATIVE_INFINITY;
    const other = tensor(values, { shape: call.q.shape, dtype: 'bf16' });
    expect((await emulate({ ...probe, q: other })).error).toEqual({ batch: 0, head: 2, row: 129 });
  });

  it('counts only where a row sees it', async () => {
    const call = builtIn('block-sparse', { block: 16, blocksPerRow: 3 }, { qLen: 130 });
    const numbers = Float32Array.from(await call.k.read());
    numbers[129 * 16] = Number.POSITIVE_INFINITY;
    const k = tensor(numbers, { shape: call.k.shape, dtype: 'bf16' });
    expect((await emulate({ ...call, k })).error).toEqual({ batch: 0, head: 0, row: 8 });
  });
});

it('the same call gives the same bits, in any order of threads', async () => {
  const call = builtIn('flash-prefill', { block: 16, tile: 8, share: 0.5 });
  const bits = async (seed: number) =>
    (await emulate(call, { seed })).sets.blocks!.units.map((set) => set.bits);
  expect(await bits(1)).toEqual(await bits(0));
});
