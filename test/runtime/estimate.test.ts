// The CPU device's estimate against the float64 oracle, on random programs, shapes and tensors.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { antidiagonal, type EstimateProgram, traceEstimate } from '../../dsl/estimate/trace.ts';
import { estimateSets } from '../../runtime/cpu/estimate/index.ts';
import { typescriptProducts } from '../../runtime/cpu/products.ts';
import type { FloatType, Layout } from '../../runtime/dtype.ts';
import { tensor } from '../../runtime/tensor.ts';
import { disagreementsOfSets } from '../sets.ts';

// The steps of a random program, untyped: the types refuse wrong orders, which these never are.
interface Steps {
  last(n: number): Steps;
  pool(n: number, how?: 'mean' | 'max'): Steps;
  dot(other: Steps): Steps;
  causal(): Steps;
  softmax(): Steps;
  exp(): Steps;
  sumPerKey(): Steps;
  sumPerDistance(): Steps;
  sumPerBlock(n: number): Steps;
  sumPerGroup(): Steps;
  topk(n: number, options: object): Steps;
  above(share: number, options: object): Steps;
  cover(mass: number, options: object): Steps;
}

const sizes = fc.constantFrom(1, 2, 3, 4, 8, 16, 31);
const maybe = <T>(of: fc.Arbitrary<T>) => fc.option(of, { nil: undefined });
const selections = fc.record({
  how: fc.constantFrom('topk' as const, 'above' as const, 'cover' as const),
  count: fc.nat(20),
  share: fc.constantFrom(0, 0.03, 0.1, 0.5, 0.9, 1),
  of: fc.constantFrom('max', 'sum'),
  first: fc.nat(3),
  last: fc.nat(3),
  capacity: maybe(fc.nat(30)),
});
const programs = fc.record({
  last: maybe(fc.constantFrom(1, 5, 20, 64)),
  qPool: maybe(sizes),
  kPool: maybe(sizes),
  pooling: fc.constantFrom('mean' as const, 'max' as const),
  stride: maybe(fc.constantFrom(1, 2, 4)),
  cells: fc.constantFrom(1, 2, 4),
  causal: fc.boolean(),
  weights: fc.constantFrom('raw', 'softmax', 'exp'),
  block: maybe(sizes),
  group: fc.boolean(),
  sums: fc.constantFrom('none', 'none', 'key', 'distance'),
  sumPool: maybe(sizes),
  sumGroup: fc.boolean(),
  selection: selections,
});
type Program = typeof programs extends fc.Arbitrary<infer T> ? T : never;

function build(p: Program): EstimateProgram {
  return (({ q, k }: { q: Steps; k: Steps }) => {
    let at: Steps;
    const isSingle = p.qPool === undefined && p.stride === undefined;
    if (p.stride !== undefined) {
      const options = { stride: p.stride, block: p.stride * p.cells };
      at = antidiagonal(q as never, k as never, options) as unknown as Steps;
    } else {
      let rows = p.last === undefined ? q : q.last(p.last);
      if (p.qPool !== undefined) rows = rows.pool(p.qPool, p.pooling);
      at = rows.dot(p.kPool === undefined ? k : k.pool(p.kPool, p.pooling));
    }
    if (p.causal) at = at.causal();
    const s = p.selection;
    const always = { first: s.first, last: s.last };
    if (p.weights === 'raw') return { set: at.topk(s.count, { always }) };
    at = p.weights === 'softmax' ? at.softmax() : at.exp();
    if (p.sums === 'distance' && isSingle && p.kPool === undefined) {
      if (p.group) at = at.sumPerGroup();
      at = at.sumPerDistance();
      if (p.sumGroup) at = at.sumPerGroup();
    } else {
      if (p.block !== undefined && isSingle) at = at.sumPerBlock(p.block);
      if (p.group) at = at.sumPerGroup();
      if (p.sums === 'key') {
        at = at.sumPerKey();
        if (p.sumPool !== undefined && p.kPool === undefined && p.stride === undefined) {
          at = at.pool(p.sumPool);
        }
        if (p.sumGroup) at = at.sumPerGroup();
      }
    }
    if (s.how === 'topk') return { set: at.topk(s.count, { always }) };
    const capacity = s.capacity === undefined ? {} : { capacity: s.capacity };
    if (s.how === 'cover') return { set: at.cover(s.share, { always, ...capacity }) };
    return { set: at.above(s.share, { always, of: s.of, ...capacity }) };
  }) as never;
}

const lengths = fc.oneof(fc.constantFrom(0, 1, 15, 16, 17, 31, 32, 33), fc.nat(70));
const calls = fc.record({
  batch: fc.constantFrom(0, 1, 1, 1, 2),
  kvHeads: fc.constantFrom(1, 1, 2, 3),
  group: fc.integer({ min: 1, max: 8 }),
  qLen: lengths,
  kLen: lengths,
  headDim: fc.constantFrom(8, 16, 24, 64),
  dtype: fc.constantFrom<FloatType[]>('fp32', 'fp16', 'bf16'),
  layout: fc.constantFrom<Layout[]>('bhsd', 'bshd'),
  seed: fc.nat(1000),
  scale: fc.constantFrom(0, 0.5, 1, 3),
  chunkRows: maybe(fc.integer({ min: 1, max: 40 })),
});

describe('selections of the CPU device are those of the oracle but for rounding', () => {
  test.each(['native', 'typescript'])('with %s products', async (name) => {
    await fc.assert(
      fc.asyncProperty(programs, calls, async (program, call) => {
        const { batch, kvHeads, qLen, kLen, headDim, dtype, layout, seed, scale, chunkRows } = call;
        const shape = {
          batch,
          kvHeads,
          heads: kvHeads * call.group,
          qLen,
          kLen,
          headDim,
          valueDim: 1,
        };
        const options = { dtype, layout, scale };
        const q = tensor.random([batch, shape.heads, qLen, headDim], { ...options, seed });
        const k = tensor.random([batch, kvHeads, kLen, headDim], { ...options, seed: seed + 1 });
        const graph = traceEstimate(build(program), {});
        const graphs = Array.from({ length: shape.heads }, () => graph);
        const products = name === 'native' ? undefined : typescriptProducts;
        const sets = await estimateSets({ graphs, q, k, shape, products, chunkRows });
        expect(disagreementsOfSets(graphs, { q, k, shape }, sets, () => 1e-4)).toEqual([]);
      }),
      { numRuns: name === 'native' ? 400 : 100 },
    );
  });
});
