// Plans of small units, whole: what is visited, in which order.

import { expect, it } from 'vitest';
import { BitSet } from '../../../dsl/chosen.ts';
import * as x from '../../../dsl/expression.ts';
import { planUnit, type UnitRequest } from '../../../dsl/plan/unit.ts';
import { visitsOf } from '../../../dsl/plan/walk.ts';

const causal = x.compare('le', x.index('k'), x.index('q'));

/** Causal attention over 7 keys by tiles of 2 x 3, and whatever else is asked for. */
const plan = (change: Partial<UnitRequest> = {}) =>
  planUnit({
    binding: {
      shape: { batch: 1, heads: 1, kvHeads: 1, qLen: 5, kLen: 7, headDim: 8, valueDim: 8 },
      unit: { batch: 0, head: 0, kvHead: 0 },
      params: {},
      captured: {},
      sets: { columns: new BitSet({ rowFrom: 0, rows: 1, columns: 7, arity: 1 }) },
    },
    mask: causal,
    qTile: 2,
    kTile: 3,
    ...change,
  });

const starts = (order: 'ascending' | 'descending') => {
  const made = plan({ order });
  return visitsOf(made, made.tiles - 1).map((visit) => (visit.kind === 'tile' ? visit.from : -1));
};

it('tiles are visited in the order that the schedule names', () => {
  expect(starts('ascending')).toEqual([0, 3, 6]);
  expect(starts('descending')).toEqual([6, 3, 0]);
});

it('the last keys have a stand-in, however few they are', () => {
  // No column is chosen: every pool that a query sees whole is dropped.
  const mask = x.and(causal, x.has('columns', [x.index('k')]));
  const made = plan({ mask, restSize: 3 });
  const pools = visitsOf(made, made.tiles - 1).map((visit) => visit.kind === 'rest' && visit.pool);
  expect(pools).toEqual([0, 1, 2]);
});
