// The longest sequences that positions have numbers for: what is known of a stretch is not asked step by step.

import { expect, it } from 'vitest';
import type { Binding } from '../../../dsl/analysis/binding.ts';
import { BitSet } from '../../../dsl/chosen.ts';
import * as x from '../../../dsl/expression.ts';
import { rasterise } from '../../../dsl/picture/grid.ts';
import { prove } from '../../../dsl/plan/coverage.ts';
import { summarise } from '../../../dsl/plan/summary.ts';
import { planUnit } from '../../../dsl/plan/unit.ts';

const longest = 2 ** 31 - 1;
const [q, k] = [x.index('q'), x.index('k')];

const bindingOf = (length: number, sets: Binding['sets'] = {}): Binding => ({
  shape: { batch: 1, heads: 1, kvHeads: 1, headDim: 64, valueDim: 64, qLen: length, kLen: length },
  unit: { batch: 0, head: 0, kvHead: 0 },
  params: {},
  captured: {},
  sets,
});

const causal = planUnit({
  binding: bindingOf(longest),
  mask: x.compare('le', k, q),
  qTile: 64,
  kTile: 64,
});

it('the last query tile of all is proved by a few questions', () => {
  const proof = prove(causal, [causal.tiles - 1]);
  expect(proof).toMatchObject({ undecided: 0, counterexample: undefined });
  expect(proof.questions).toBeLessThan(4);
});

it('allowed pairs of full steps are counted together', () => {
  const { pairs } = summarise(causal, { exact: true });
  expect(pairs.allowed! / pairs.causal).toBeCloseTo(1, 5);
});

it('a picture paints full steps together', () => {
  const { shares } = rasterise(causal, 2);
  expect([...shares.full].map((share) => share.toFixed(2))).toEqual([
    '0.50',
    '0.00',
    '1.00',
    '0.50',
  ]);
});

it('a stretch that intervals cannot judge whole is judged step by step', () => {
  const keys = (first: number): BitSet => {
    const set = new BitSet({ rowFrom: 0, rows: 1, columns: 4096, arity: 1 });
    for (let key = first; key < 4096; key += 2) set.add(0, key);
    return set;
  };
  const sets = { even: keys(0), odd: keys(1) };
  const mask = x.or(x.has('even', [k]), x.has('odd', [k]));
  const plan = planUnit({ binding: bindingOf(4096, sets), mask, qTile: 4, kTile: 16 });
  const proof = prove(plan, [plan.tiles - 1]);
  expect(proof).toMatchObject({ undecided: 0, counterexample: undefined });
  expect(proof.questions).toBeGreaterThan(1);
});
