// What every step of an estimate means, by examples small enough to compute by hand, on the CPU device
// and on the oracle alike; and the published methods.

import { describe, expect, test } from 'vitest';
import type { BitSet, ChosenSetsData } from '../../dsl/chosen.ts';
import { PlanError } from '../../dsl/diagnostic.ts';
import {
  antidiagonal,
  divergence,
  type EstimateProgram,
  traceEstimate,
  where,
} from '../../dsl/estimate/trace.ts';
import type { Chosen, Inputs } from '../../dsl/estimate/values.ts';
import type { LaunchShape } from '../../dsl/shape.ts';
import { estimateSets } from '../../runtime/cpu/estimate/index.ts';
import { estimateReference } from '../../runtime/reference/estimate.ts';
import { type Tensor, tensor } from '../../runtime/tensor.ts';

type Program = (inputs: Inputs) => Record<string, unknown>;
type Executor = (programs: readonly Program[], q: Tensor, k: Tensor) => Promise<ChosenSetsData>;

function shapeOf(q: Tensor, k: Tensor): LaunchShape {
  const [batch = 0, heads = 0, qLen = 0, headDim = 0] = q.shape;
  const [, kvHeads = 0, kLen = 0] = k.shape;
  return { batch, heads, kvHeads, qLen, kLen, headDim, valueDim: 1 };
}

/** One program for all heads, or one per head. */
const graphsOf = (programs: readonly Program[], heads: number) => {
  const graphs = programs.map((program) =>
    traceEstimate(program as unknown as EstimateProgram, {}),
  );
  return Array.from({ length: heads }, (_, head) => graphs[head % graphs.length]!);
};

const device: Executor = (programs, q, k) => {
  const shape = shapeOf(q, k);
  return estimateSets({ graphs: graphsOf(programs, shape.heads), q, k, shape });
};
const oracle: Executor = async (programs, q, k) => {
  const shape = shapeOf(q, k);
  return estimateReference(graphsOf(programs, shape.heads), { q, k, shape });
};

/** Vectors of one number, so that a logit is the product of two numbers: [heads][length]. */
const vectors = (...heads: readonly (readonly number[])[]): Tensor =>
  tensor([heads.map((head) => head.map((x) => [x]))]);

const rowsOf = (set: BitSet): number[][] => {
  const { rowFrom, rows } = set.domain;
  return Array.from({ length: rows }, (_, i) => [...set.members(rowFrom + i)]);
};

const executors: [string, Executor][] = [
  ['CPU device', device],
  ['oracle', oracle],
];

describe.each(executors)('on the %s', (_name, run) => {
  const choose = async (program: Program, q: Tensor, k: Tensor) =>
    (await run([program], q, k)).set!;
  const rows = async (program: Program, q: Tensor, k: Tensor) =>
    rowsOf((await choose(program, q, k)).units[0]!);

  test('topk takes the largest logits, ties from the lower index, forced members first', async () => {
    const q = vectors([1, -1]);
    const k = vectors([3, 1, 3, 2]);
    expect(await rows(({ q, k }) => ({ set: q.dot(k).topk(2) }), q, k)).toEqual([
      [0, 2],
      [1, 3],
    ]);
    expect(await rows(({ q, k }) => ({ set: q.dot(k).topk(1) }), q, k)).toEqual([[0], [1]]);
    const always = { first: 1, last: 1 };
    // Queries are at positions 2 and 3: the last column of a row is its own.
    expect(await rows(({ q, k }) => ({ set: q.dot(k).topk(2, { always }) }), q, k)).toEqual([
      [0, 2],
      [0, 3],
    ]);
    // The budget never takes forced members away.
    expect(await rows(({ q, k }) => ({ set: q.dot(k).topk(0, { always }) }), q, k)).toEqual([
      [0, 2],
      [0, 3],
    ]);
    expect(await rows(({ q, k }) => ({ set: q.dot(k).causal().topk(9) }), q, k)).toEqual([
      [0, 1, 2],
      [0, 1, 2, 3],
    ]);
  });

  test('logits are scaled by the root of the head dimension', async () => {
    // Weights e^0 and e^(4 ln(10) / 2) = 100 with headDim 4: a share of 0.0101 drops the first.
    const q = tensor([[[[1, 1, 1, 1]]]]);
    const k = tensor([[[[0, 0, 0, 0], Array.from({ length: 4 }, () => (Math.log(10) / 2) * 2)]]]);
    const above =
      (share: number): Program =>
      ({ q, k }) => ({ set: q.dot(k).softmax().above(share) });
    expect(await rows(above(0.0099), q, k)).toEqual([[0, 1]]);
    expect(await rows(above(0.0101), q, k)).toEqual([[1]]);
  });

  test('pools are means or maxima of aligned blocks, partial ones of what they hold', async () => {
    const q = vectors([1]);
    const k = vectors([0, 4, 3, 0, 2.5]);
    // Means 2, 1.5, 2.5; maxima 4, 3, 2.5.
    expect(await rows(({ q, k }) => ({ set: q.dot(k.pool(2)).topk(1) }), q, k)).toEqual([[2]]);
    expect(await rows(({ q, k }) => ({ set: q.dot(k.pool(2, 'max')).topk(2) }), q, k)).toEqual([
      [0, 1],
    ]);
  });

  test('a pooled column is causal when its last key is seen, and the diagonal one for pooled rows', async () => {
    const q = vectors([1, 1, 1, 1, 1]);
    const k = vectors([1, 1, 1, 1, 1]);
    expect(await rows(({ q, k }) => ({ set: q.dot(k.pool(2)).causal().topk(9) }), q, k)).toEqual([
      [],
      [0],
      [0],
      [0, 1],
      [0, 1, 2],
    ]);
    expect(
      await rows(({ q, k }) => ({ set: q.pool(2).dot(k.pool(2)).causal().topk(9) }), q, k),
    ).toEqual([[0], [0, 1], [0, 1, 2]]);
    // A forced diagonal needs not be visible.
    const always = { last: 1 };
    expect(
      await rows(({ q, k }) => ({ set: q.dot(k.pool(2)).causal().topk(0, { always }) }), q, k),
    ).toEqual([[0], [0], [1], [1], [2]]);
  });

  test('queries before the first key belong to no row; those of a chunk start at their position', async () => {
    const program: Program = ({ q, k }) => ({ set: q.pool(2).dot(k).causal().topk(9) });
    const early = await choose(program, vectors([1, 1, 1, 1, 1]), vectors([1, 1, 1]));
    expect(early.units[0]!.domain).toMatchObject({ rowFrom: 0, rows: 2, columns: 3, arity: 2 });
    expect(rowsOf(early.units[0]!)).toEqual([
      [0, 1],
      [0, 1, 2],
    ]);
    const late = await choose(program, vectors([1, 1]), vectors([1, 1, 1, 1, 1]));
    expect(late.units[0]!.domain).toMatchObject({ rowFrom: 1, rows: 2, columns: 5 });
    const none = await choose(program, vectors([]), vectors([1, 1]));
    expect(none.units[0]!.domain).toMatchObject({ rowFrom: 1, rows: 0, columns: 2 });
    const unpooled: Program = ({ q, k }) => ({ set: q.dot(k).topk(1) });
    const single = await choose(unpooled, vectors([1, 1]), vectors([1, 2, 3]));
    expect(single.units[0]!.domain).toMatchObject({ rowFrom: 1, rows: 2 });
  });

  test('sums per key and per distance are those of the last queries', async () => {
    // Two probing queries at positions 2 and 3, both looking at key 1: distances 1 and 2.
    const q = vectors([0, 0, 9, 9]);
    const k = vectors([0, 9, 0, 0]);
    const weights = ({ q, k }: Inputs) => q.last(2).dot(k).causal().softmax();
    expect(await rows((x) => ({ set: weights(x).sumPerKey().topk(1) }), q, k)).toEqual([[1]]);
    expect(await rows((x) => ({ set: weights(x).sumPerDistance().topk(2) }), q, k)).toEqual([
      [1, 2],
    ]);
    expect(await rows((x) => ({ set: weights(x).sumPerKey().pool(2).topk(1) }), q, k)).toEqual([
      [0],
    ]);
    const always = { first: 1, last: 1 };
    expect(await rows((x) => ({ set: weights(x).sumPerKey().topk(0, { always }) }), q, k)).toEqual([
      [0, 3],
    ]);
  });

  test('behind exp a loud query outvotes the others of its block, behind softmax it does not', async () => {
    // Weights of key 0 against another: 148 + 2 * 0.37 to 3, and 0.99 + 2 * 0.16 to 0.01 + 2 * 0.42.
    const q = vectors([5, -1, -1]);
    const k = vectors([1, 0, 0]);
    const loud: Program = ({ q, k }) => ({ set: q.dot(k).exp().sumPerBlock(4).above(0.1) });
    const fair: Program = ({ q, k }) => ({ set: q.dot(k).softmax().sumPerBlock(4).above(0.1) });
    expect(await rows(loud, q, k)).toEqual([[0]]);
    expect(await rows(fair, q, k)).toEqual([[0, 1, 2]]);
  });

  test('group sums are one set per KV head, under the maximum of the group', async () => {
    // e^100 would overflow alone; head 1 whispers, so head 0 decides.
    const q = vectors([100], [1], [0], [0]);
    const k = vectors([1, 0, 0.9], [0, 1, 1]);
    const set = await choose(({ q, k }) => ({ set: q.dot(k).exp().sumPerGroup().topk(1) }), q, k);
    expect(set.perGroup).toBe(true);
    expect(set.units.map((unit) => [...unit.members(0 + unit.domain.rowFrom)])).toEqual([[0], [0]]);
    const sums = await choose(
      ({ q, k }) => ({ set: q.dot(k).exp().sumPerKey().sumPerGroup().above(1) }),
      vectors([3], [4]),
      vectors([1, 0, 1]),
    );
    expect(sums.units.map((unit) => [...unit.members()])).toEqual([[0, 2]]);
  });

  test('cells are summed along their antidiagonals, and only seen cells count', async () => {
    // Stride 2: cell (a, b) is q[2a+1] k[2b] + q[2a] k[2b+1]; one block a cell.
    const q = vectors([1, 0, 1, 0]);
    const k = vectors([5, 0, 0, 1]);
    const program =
      (causal: boolean): Program =>
      ({ q, k }) => {
        const scores = antidiagonal(q, k, { stride: 2, block: 2 });
        return { set: (causal ? scores.causal() : scores).softmax().topk(1) };
      };
    expect(await rows(program(false), q, k)).toEqual([[1], [1]]);
    expect(await rows(program(true), q, k)).toEqual([[0], [1]]);
    const blocks: Program = ({ q, k }) => ({
      set: antidiagonal(q, k, { stride: 1, block: 2 }).causal().softmax().topk(9),
    });
    const set = await choose(blocks, vectors([1, 1, 1]), vectors([1, 1, 1, 1, 1]));
    expect(set.units[0]!.domain).toMatchObject({ rowFrom: 1, rows: 2, columns: 3 });
    expect(rowsOf(set.units[0]!)).toEqual([
      [0, 1],
      [0, 1, 2],
    ]);
  });

  test('above keeps what reaches a share of the maximum or the sum: 0 keeps the hull, 1 the maximum', async () => {
    const q = vectors([1, 1, 1]);
    const k = vectors([0, Math.log(3), Math.log(2)]);
    const above =
      (share: number, options = {}): Program =>
      ({ q, k }) => ({
        set: q.dot(k).causal().softmax().above(share, options),
      });
    expect(await rows(above(0), q, k)).toEqual([[0], [0, 1], [0, 1, 2]]);
    expect(await rows(above(1), q, k)).toEqual([[0], [1], [1]]);
    expect(await rows(above(1, { always: { first: 1, last: 1 } }), q, k)).toEqual([
      [0],
      [0, 1],
      [0, 1, 2],
    ]);
    expect(await rows(above(0.6), q, k)).toEqual([[0], [1], [1, 2]]);
    expect(await rows(above(0.4, { of: 'sum' }), q, k)).toEqual([[0], [1], [1]]);
  });

  test('cover keeps the fewest that reach the mass, forced ones counted first', async () => {
    const q = vectors([1]);
    const k = vectors([0, Math.log(5), Math.log(3), Math.log(1)]);
    const cover =
      (mass: number, options = {}): Program =>
      ({ q, k }) => ({
        set: q.dot(k).softmax().cover(mass, options),
      });
    expect(await rows(cover(0), q, k)).toEqual([[]]);
    expect(await rows(cover(0.45), q, k)).toEqual([[1]]);
    expect(await rows(cover(0.75), q, k)).toEqual([[1, 2]]);
    expect(await rows(cover(1), q, k)).toEqual([[0, 1, 2, 3]]);
    expect(await rows(cover(0.55, { always: { first: 1 } }), q, k)).toEqual([[0, 1]]);
    const full = await choose(cover(0.75, { capacity: 1 }), q, k);
    expect(full.dense).toEqual([true]);
    expect(rowsOf(full.units[0]!)).toEqual([[0, 1, 2, 3]]);
    expect((await choose(cover(0.75, { capacity: 2 }), q, k)).dense).toEqual([false]);
  });

  test('a row past the capacity makes its head dense: all that each row sees, and no other head', async () => {
    const q = vectors([0, 0, 0], [9, 9, 9]);
    const k = vectors([0, 1, 2]);
    const set = await choose(
      ({ q, k }) => ({ set: q.dot(k).causal().softmax().above(0.5, { capacity: 2 }) }),
      q,
      k,
    );
    expect(set.dense).toEqual([true, false]);
    expect(set.units.map(rowsOf)).toEqual([
      [[0], [0, 1], [0, 1, 2]],
      [[0], [1], [2]],
    ]);
  });

  test('dilate adds what follows each member, and the domain grows', async () => {
    const q = vectors([0, 0, 0, 0]);
    const k = vectors([0, 0, 0, 0]);
    const set = await choose(
      ({ q, k }) => ({
        set: q
          .dot(k)
          .causal()
          .softmax()
          .sumPerDistance()
          .topk(2, { always: { first: 1, last: 1 } })
          .dilate(2),
      }),
      q,
      k,
    );
    expect(set.units[0]!.domain.columns).toBe(5);
    expect([...set.units[0]!.members()]).toEqual([0, 1, 3, 4]);
  });

  test('where decides per head by the divergence of two sums', async () => {
    // Head 0: pooled and exact sums agree (all equal); head 1: they do not.
    const q = vectors([0, 0, 0, 0], [8, 8, 8, 8]);
    const k = vectors([3, -3, 0, 0]);
    const program =
      (yes: boolean): Program =>
      ({ q, k }) => {
        const exact = q.dot(k).softmax().sumPerKey().pool(2);
        const pooled = q.dot(k.pool(2)).softmax().sumPerKey();
        const isAlike = divergence(exact, pooled).below(0.1);
        const set: Chosen<['kBlock']> = exact.topk(1);
        return { set: yes ? where(isAlike, set, 'none') : where(isAlike, 'none', set) };
      };
    const sets = await Promise.all([true, false].map((yes) => choose(program(yes), q, k)));
    expect(sets.map(({ units }) => units.map((unit) => [...unit.members()]))).toEqual([
      [[0], []],
      [[], [0]],
    ]);
  });

  test('a verdict per head makes sets per head, even of a set that a group shares', async () => {
    const q = vectors([0, 0], [8, 8]);
    const k = vectors([3, -3]);
    const program: Program = ({ q, k }) => {
      const sums = q.dot(k).softmax().sumPerKey();
      const flat = q.dot(k.pool(2)).softmax().sumPerKey();
      const isFlat = divergence(sums.pool(2), flat).below(1);
      const exact = divergence(sums, q.last(1).dot(k).softmax().sumPerKey()).below(0.001);
      const shared = sums.sumPerGroup().topk(1);
      return { set: where(isFlat, where(exact, shared, 'none'), 'none') };
    };
    const set = await choose(program, q, k);
    expect(set.perGroup).toBe(false);
    expect(set.units.map((unit) => [...unit.members()])).toEqual([[0], [0]]);
  });

  test('heads differ in their numbers', async () => {
    const q = vectors([1], [1]);
    const k = vectors([1, 2, 3]);
    const top =
      (n: number): Program =>
      ({ q, k }) => ({ set: q.dot(k).topk(n) });
    const { set } = await run([top(1), top(2)], q, k);
    expect(set!.units.map((unit) => [...unit.members(2)])).toEqual([[2], [1, 2]]);
  });

  test('a score that is not finite is an error, never a wrong set; an unseen one is nothing', async () => {
    for (const bad of [NaN, Infinity, -Infinity]) {
      const q = vectors([1, 1], [1, 1]);
      const programs: Program[] = [
        ({ q, k }) => ({ set: q.dot(k).topk(1) }),
        ({ q, k }) => ({ set: q.pool(2).dot(k.pool(2, 'max')).softmax().above(0.5) }),
        ({ q, k }) => ({ set: q.dot(k).exp().sumPerKey().topk(1) }),
        ({ q, k }) => ({ set: antidiagonal(q, k, { stride: 2, block: 2 }).softmax().topk(1) }),
      ];
      for (const [i, program] of programs.entries()) {
        // The maximum of -Infinity and 0 is 0: no harm done.
        if (i === 1 && bad === -Infinity) continue;
        const error: unknown = await run([program], q, vectors([0, bad])).catch((e: unknown) => e);
        expect(error).toBeInstanceOf(PlanError);
        expect((error as PlanError).code).toBe('E004');
        expect((error as PlanError).message).toMatch(/(dot|antidiagonal).*head 0 of batch 0/);
      }
      const unseen: Program = ({ q, k }) => ({ set: q.last(3).dot(k).causal().topk(1) });
      await expect(run([unseen], vectors([0, 0]), vectors([0, 0]))).resolves.toBeDefined();
    }
    const early: Program = ({ q, k }) => ({ set: q.dot(k).causal().topk(1) });
    expect(await rows(early, vectors([NaN, 1]), vectors([1]))).toEqual([[0]]);
  });

  test('MInference: 30 verticals and 100 distances are forced, and planted ones are found', async () => {
    const length = 400;
    // Keys 200 and 300 shine for every query; key i shines at distance 150 of query i + 150.
    const dim = length + 1;
    const loud = (at: number[]) => Array.from({ length: dim }, (_, d) => (at.includes(d) ? 90 : 0));
    const keys = Array.from({ length }, (_, i) => loud(i === 200 || i === 300 ? [length] : [i]));
    const queries = Array.from({ length }, (_, i) => loud([length, i - 150]));
    const { columns, distances } = await run(
      [
        ({ q, k }) => {
          const weight = q.last(64).dot(k).causal().softmax();
          return {
            columns: weight.sumPerKey().topk(32, { always: { first: 30 } }),
            distances: weight
              .sumPerDistance()
              .topk(101, { always: { first: 100 } })
              .dilate(64),
          };
        },
      ],
      tensor([[queries]]),
      tensor([[keys]]),
    );
    const first = (n: number) => Array.from({ length: n }, (_, i) => i);
    expect([...columns!.units[0]!.members()]).toEqual([...first(30), 200, 300]);
    expect([...distances!.units[0]!.members()]).toEqual(first(150 + 64));
  });
});

test('work on the device lets the event loop run, reports progress and stops when told to', async () => {
  const [q, k] = [1, 2].map((seed) => tensor.random([1, 2, 2048, 32], { seed }));
  const shape = shapeOf(q!, k!);
  const graphs = graphsOf(
    [({ q, k }) => ({ set: q.dot(k).causal().exp().sumPerBlock(32).above(0.1) })],
    2,
  );
  const seen: number[] = [];
  let pauses = 0;
  const yieldNow = async () => {
    pauses += 1;
  };
  await estimateSets({ graphs, q: q!, k: k!, shape, yieldNow, onProgress: (f) => seen.push(f) });
  expect(pauses).toBeGreaterThan(1);
  expect(seen).toEqual([...seen].sort((a, b) => a - b));
  expect(seen.at(-1)).toBe(1);
  const stop = () => Promise.reject(new Error('stopped'));
  await expect(estimateSets({ graphs, q: q!, k: k!, shape, yieldNow: stop })).rejects.toThrow(
    'stopped',
  );
});

test('where refuses to choose between sets of different axes', () => {
  const program: Program = ({ q, k }) => {
    const sums = q.dot(k).softmax().sumPerKey();
    const pooled = sums.pool(2).topk(1) as unknown as Chosen<['k']>;
    return { set: where(divergence(sums, sums).below(1), sums.topk(1), pooled) };
  };
  expect(() => graphsOf([program], 1)).toThrow(/E003.*different axes/);
});

test('heads of one KV head with one set must have the same numbers', async () => {
  const [q, k] = [vectors([1], [1]), vectors([1, 2])];
  const top =
    (n: number): Program =>
    ({ q, k }) => ({ set: q.dot(k).softmax().sumPerGroup().topk(n) });
  await expect(device([top(1), top(2)], q, k)).rejects.toThrow(/E003.*one set per KV head/);
});

test('only the heads that are needed are computed', async () => {
  const q = vectors([1], [NaN]);
  const k = vectors([1, 2]);
  const graphs = graphsOf([({ q, k }) => ({ set: q.dot(k).topk(1) })], 2);
  const { set } = await estimateSets({ graphs, q, k, shape: shapeOf(q, k), only: [0] });
  expect(set!.units.map((unit) => [...unit.members(1)])).toEqual([[1], []]);
});
