// An estimate of some rows: those are what the whole estimate has there, whoever shares their scores.

import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { RowRange } from '../../dsl/chosen.ts';
import { domainOf } from '../../dsl/estimate/domain.ts';
import { neededSets } from '../../dsl/estimate/needed.ts';
import { antidiagonal } from '../../index.ts';
import { estimateSets } from '../../runtime/cpu/estimate/index.ts';
import { tensorsOf, trace } from '../codegen/estimate-calls.ts';
import { law, runs } from '../laws/settings.ts';

const graphs = [
  // Two selections of one value, one of its sums, and one of another value.
  trace(({ q, k }) => {
    const weight = q.dot(k.pool(8)).causal().softmax();
    return {
      few: weight.sumPerBlock(16).topk(1),
      many: weight.sumPerBlock(16).cover(0.8, { always: { first: 1 } }),
      fine: weight.topk(2),
      keys: weight.sumPerKey().topk(3),
    };
  }),
  trace(({ q, k }) => {
    const energies = q.dot(k.pool(8)).causal().exp();
    return {
      few: energies.sumPerBlock(8).sumPerGroup().above(0.5),
      other: energies.sumPerBlock(8).sumPerGroup().topk(2),
    };
  }),
  trace(({ q, k }) => {
    const sums = q.dot(k.pool(8)).causal().softmax().sumPerBlock(16);
    return { own: sums.topk(1), shared: sums.sumPerGroup().topk(1) };
  }),
  trace(({ q, k }) => ({
    blocks: antidiagonal(q, k, { stride: 4, block: 16 }).causal().softmax().topk(2),
    fine: q.dot(k).causal().topk(3),
  })),
];

law('has the members of the whole estimate in every row that is needed, and no unneeded set', () =>
  fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...graphs),
      fc.record({ qLen: fc.integer({ min: 1, max: 90 }), more: fc.nat(40) }),
      fc.infiniteStream(fc.tuple(fc.nat(), fc.nat())),
      fc.constantFrom(undefined, 3),
      async (graph, { qLen, more }, cuts, chunkRows) => {
        const kLen = qLen + more;
        const { shape, q, k } = tensorsOf({ qLen, kLen, heads: 4, kvHeads: 2, headDim: 16 });
        const rows: Record<string, RowRange> = {};
        for (const [name, node] of Object.entries(graph)) {
          const { rowFrom, rows: count } = domainOf(node, shape);
          const [a, b] = cuts.next().value!;
          // A set that is not named needs all of its rows.
          if (a % 4 === 0) continue;
          const from = rowFrom + (a % (count + 1));
          rows[name] = { from, to: from + (b % (rowFrom + count - from + 1)) };
        }
        const all = Array.from({ length: 4 }, () => graph);
        const whole = await estimateSets({ graphs: all, q, k, shape, chunkRows });
        const part = await estimateSets({ graphs: all, q, k, shape, chunkRows, rows });
        for (const [name, node] of Object.entries(graph)) {
          const { rowFrom, rows: count } = domainOf(node, shape);
          const { from, to } = rows[name] ?? { from: rowFrom, to: rowFrom + count };
          for (const [unit, set] of part[name]!.units.entries()) {
            for (let row = from; row < to; row += 1)
              expect(set.members(row), name).toEqual(whole[name]!.units[unit]!.members(row));
            if (from === to) expect(set.bits.every((word) => word === 0)).toBe(true);
          }
        }
      },
    ),
    runs(100),
  ),
);

it('leaves out sets of which nothing is needed', () => {
  const [graph] = graphs;
  const names = Object.keys(
    neededSets(graph!, { few: { from: 3, to: 3 }, many: { from: 3, to: 4 } }),
  );
  expect(names).toEqual(['many', 'fine', 'keys']);
});
