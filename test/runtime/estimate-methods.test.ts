// The published methods on the CPU device against the oracle: every head grouping, lengths that fill no
// tile, chunks of a prompt, and the sums themselves within a thousandth.

import { describe, expect, test } from 'vitest';
import type { ChosenSetsData } from '../../dsl/chosen.ts';
import { demandOf } from '../../dsl/estimate/demand.ts';
import {
  antidiagonal,
  divergence,
  type EstimateGraph,
  type EstimateProgram,
  traceEstimate,
  where,
} from '../../dsl/estimate/trace.ts';
import type { Always, Inputs } from '../../dsl/estimate/values.ts';
import type { LaunchShape } from '../../dsl/shape.ts';
import { estimateSets } from '../../runtime/cpu/estimate/index.ts';
import { Pace } from '../../runtime/cpu/estimate/pace.ts';
import { readerOf } from '../../runtime/cpu/estimate/reader.ts';
import { run } from '../../runtime/cpu/estimate/stream.ts';
import { tileProducts } from '../../runtime/cpu/products.ts';
import type { FloatType } from '../../runtime/dtype.ts';
import { Oracle } from '../../runtime/reference/estimate.ts';
import { tensor } from '../../runtime/tensor.ts';
import { disagreementsOfSets } from '../sets.ts';

type Program = (inputs: Inputs) => Record<string, unknown>;
const trace = (program: Program): EstimateGraph =>
  traceEstimate(program as unknown as EstimateProgram, {});

const blockSparse: Program = ({ q, k }) => ({
  blocks: q
    .pool(64)
    .dot(k.pool(64))
    .causal()
    .topk(3, { always: { last: 1 } }),
});
const verticalSlash: Program = ({ q, k }) => {
  const weight = q.last(64).dot(k).causal().softmax();
  return {
    columns: weight.sumPerKey().topk(50, { always: { first: 30 } }),
    distances: weight.sumPerDistance().topk(130, { always: { first: 100 } }),
  };
};
const flashPrefill =
  (share: number, always: Always = { first: 2, last: 4 }): Program =>
  ({ q, k }) => ({
    blocks: q.dot(k.pool(16)).causal().exp().sumPerBlock(32).sumPerGroup().above(share, { always }),
  });
const xAttention: Program = ({ q, k }) => ({
  blocks: antidiagonal(q, k, { stride: 8, block: 32 })
    .causal()
    .softmax()
    .cover(0.9, { always: { first: 1, last: 1 } }),
});
// Of FlexPrefill: a block map where pooled keys see what exact ones do, columns and distances elsewhere.
const flexPrefill: Program = ({ q, k }) => {
  const weight = q.last(32).dot(k).causal().softmax();
  const exact = weight.sumPerKey();
  const pooled = q.last(32).pool(32).dot(k.pool(32)).softmax().sumPerKey();
  const isQueryAware = divergence(exact.pool(32), pooled).below(0.1);
  const map = q.pool(32).dot(k.pool(32)).causal().softmax();
  return {
    blocks: where(isQueryAware, map.cover(0.9, { always: { first: 1, last: 1 } }), 'none'),
    columns: where(isQueryAware, 'none', exact.cover(0.9, { capacity: 100 })),
    distances: where(isQueryAware, 'none', weight.sumPerDistance().cover(0.9)),
  };
};

function call(sizes: Partial<LaunchShape>, dtype: FloatType = 'bf16', seed = 1) {
  const shape = {
    batch: 1,
    heads: 2,
    kvHeads: 1,
    qLen: 200,
    kLen: 200,
    headDim: 16,
    valueDim: 1,
    ...sizes,
  };
  const { batch, heads, kvHeads, qLen, kLen, headDim } = shape;
  const q = tensor.random([batch, heads, qLen, headDim], { dtype, seed, scale: 2 });
  const k = tensor.random([batch, kvHeads, kLen, headDim], { dtype, seed: seed + 1 });
  return { shape, q, k };
}
type Call = ReturnType<typeof call>;

const estimate = (program: Program, inputs: Call): Promise<ChosenSetsData> => {
  const graph = trace(program);
  return estimateSets({
    ...inputs,
    graphs: Array.from({ length: inputs.shape.heads }, () => graph),
  });
};

describe.each<[string, Program]>([
  ['block-sparse', blockSparse],
  ['vertical-slash', verticalSlash],
  ['flash-prefill', flashPrefill(0.3)],
  ['x-attention', xAttention],
  ['flex-prefill', flexPrefill],
])('%s agrees with the oracle', (_name, program) => {
  test.each([
    [1, 200, 200],
    [4, 127, 129],
    [7, 65, 200],
    [8, 129, 127],
  ])('for %i heads a group, %i queries and %i keys', async (group, qLen, kLen) => {
    const inputs = call({ heads: group, qLen, kLen });
    const graphs = Array.from({ length: group }, () => trace(program));
    expect(
      disagreementsOfSets(graphs, inputs, await estimate(program, inputs), () => 1e-4),
    ).toEqual([]);
  });
});

test('above(0) keeps the hull, above(1) the largest and the forced', async () => {
  const inputs = call({ heads: 4, qLen: 100, kLen: 200 });
  const all = (await estimate(flashPrefill(0, {}), inputs)).blocks!.units[0]!;
  const one = (await estimate(flashPrefill(1, {}), inputs)).blocks!.units[0]!;
  const forced = (await estimate(flashPrefill(1, { last: 1 }), inputs)).blocks!.units[0]!;
  for (let row = 3; row <= 6; row++) {
    // Keys up to 32 row + 31, in blocks of 16; the last one is cut off at 200.
    const visible = Math.min(13, 2 * row + 2);
    expect([...all.members(row)]).toEqual(Array.from({ length: visible }, (_, i) => i));
    expect(one.count(row)).toBe(1);
    const own = row === 6 ? [12] : [2 * row, 2 * row + 1];
    expect(new Set(forced.members(row))).toEqual(new Set([...one.members(row), ...own]));
  }
});

test('two chunks of a prompt give the rows that the whole gives', async () => {
  const whole = call({ heads: 4, qLen: 192, kLen: 192 });
  const early = whole.q.slice(0, 96);
  const late = whole.q.slice(96);
  const part = { ...whole.shape, qLen: 96 };
  const program = flashPrefill(0.3);
  const all = (await estimate(program, whole)).blocks!.units[0]!;
  const first = { q: early, k: whole.k.slice(0, 96), shape: { ...part, kLen: 96 } };
  const second = { q: late, k: whole.k, shape: part };
  for (const inputs of [first, second]) {
    const set = (await estimate(program, inputs)).blocks!.units[0]!;
    const { rowFrom, rows } = set.domain;
    expect(rows).toBe(3);
    for (let row = rowFrom; row < rowFrom + rows; row++) {
      expect([...set.members(row)]).toEqual([...all.members(row)]);
    }
  }
});

test.each<FloatType>(['fp32', 'fp16', 'bf16'])(
  'sums of %s are within a thousandth',
  async (dtype) => {
    const inputs = call({ kLen: 333 }, dtype);
    const graph = trace(verticalSlash);
    const oracle = new Oracle(inputs, 0, 0);
    for (const { node, want } of demandOf(graph).leaves.values()) {
      const reader = readerOf(want, [], inputs.shape);
      const member = { inputs: { ...inputs, batch: 0, head: 1, kvHead: 0 }, sinks: [reader.sink] };
      const pace = new Pace(undefined, undefined);
      await run({ ...want, members: [member], products: tileProducts(), pace });
      const results = { leaves: new Map(), sums: new Map<string, Float32Array>() };
      reader.close(results);
      const expected = oracle.weigh(node.of, 1).rows[0]!.values;
      for (const [i, sum] of results.sums.get(want.key)!.entries()) {
        if (expected[i]! > 1e-6) expect(Math.abs(sum / expected[i]! - 1)).toBeLessThan(1e-3);
      }
    }
  },
);

test('the same call gives the same bits', async () => {
  const inputs = call({ heads: 4 });
  const bits = async () => (await estimate(flashPrefill(0.3), inputs)).blocks!.units[0]!.bits;
  expect(await bits()).toEqual(await bits());
});
