// Sums of plans against sums done pair by pair, and the text that people read.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Binding, pointEnvironment } from '../../../dsl/analysis/binding.ts';
import { BitSet } from '../../../dsl/chosen.ts';
import { evaluate } from '../../../dsl/evaluate.ts';
import * as x from '../../../dsl/expression.ts';
import { explainText, percent, summariseLaunch, unitNames } from '../../../dsl/plan/explain.ts';
import { pairTest } from '../../../dsl/plan/pair-test.ts';
import { causalPairs, summarise } from '../../../dsl/plan/summary.ts';
import { planUnit } from '../../../dsl/plan/unit.ts';
import { queryOffset } from '../../../dsl/shape.ts';
import { spread } from '../../../dsl/spread.ts';
import { arbitraryCase } from '../../arbitraries.ts';

const [q, k] = [x.index('q'), x.index('k')];
const causal = x.compare('le', k, q);
const near = (window: x.Expression) => x.compare('lt', x.binary('sub', q, k), window);
const aShape = x.and(
  causal,
  x.or(x.compare('lt', k, x.param('sinks', 'int')), near(x.param('window', 'int'))),
);

function bindingOf(length: number, params: Record<string, number> = {}, head = 0): Binding {
  const sizes = { batch: 1, heads: 2, kvHeads: 2, headDim: 128, valueDim: 128 };
  return {
    shape: { ...sizes, qLen: length, kLen: length },
    unit: { batch: 0, head, kvHead: head },
    params,
    captured: {},
    sets: {},
  };
}

const aShapePlan = (length: number, window: number, head = 0) =>
  planUnit({
    binding: bindingOf(length, { sinks: 128, window }, head),
    mask: aShape,
    qTile: 64,
    kTile: 64,
  });

describe('summarise', () => {
  test('counts the allowed pairs and the empty rows of random masks exactly', () => {
    fc.assert(
      fc.property(arbitraryCase({ most: 150 }), ({ mask, binding }) => {
        const plan = planUnit({ binding, mask, qTile: 64, kTile: 32 });
        const summary = summarise(plan, { exact: true });
        const { shape } = binding;
        let [allowed, empty] = [0, 0];
        for (let row = 0; row < shape.qLen; row += 1) {
          let own = 0;
          for (let key = 0; key < shape.kLen; key += 1) {
            const env = pointEnvironment(binding, row + queryOffset(shape), key);
            if (evaluate(mask, env)) own += 1;
          }
          allowed += own;
          if (own === 0) empty += 1;
        }
        expect(summary.pairs.allowed).toBe(allowed);
        expect(summary.rows.empty).toBe(empty);
        expect(summary.pairs.visited).toBeGreaterThanOrEqual(allowed);
        expect(JSON.parse(JSON.stringify(summary))).toEqual(summary);
      }),
      { numRuns: 60 },
    );
  });

  test('dense causal attention has density and cost 1', () => {
    const plan = planUnit({ binding: bindingOf(1000), mask: causal, qTile: 64, kTile: 64 });
    const summary = summarise(plan, { exact: true });
    expect(summary).toMatchObject({
      against: 'causal',
      density: 1,
      cost: { share: 1 },
      tiles: { all: 256, causal: 136, visited: 136, full: 120, partial: 16 },
      pairs: { all: 1_000_000, causal: 500_500, allowed: 500_500 },
      rows: { empty: 0, how: 'proved' },
    });
  });

  test('a mask that looks ahead is compared with all pairs', () => {
    const prefix = x.or(causal, x.compare('lt', k, x.int(100)));
    const plan = planUnit({ binding: bindingOf(640), mask: prefix, qTile: 64, kTile: 64 });
    expect(summarise(plan)).toMatchObject({ against: 'all', tiles: { all: 100 } });
  });

  test('packed columns and tiles are counted apart and share no pair', () => {
    const binding = bindingOf(1024);
    const columns = new BitSet({ rowFrom: 0, rows: 1, columns: 1024, arity: 1 });
    for (let key = 0; key < 1024; key += 10) columns.add(0, key);
    const mask = x.and(causal, x.or(x.has('columns', [k]), near(x.int(64))));
    const plan = planUnit({
      binding: { ...binding, sets: { columns } },
      mask,
      qTile: 64,
      kTile: 64,
      gather: 'columns',
    });
    const summary = summarise(plan, { exact: true });
    let allowed = 0;
    const isAllowed = pairTest(plan, plan.mask);
    for (let row = 0; row < 1024; row += 1)
      for (let key = 0; key < 1024; key += 1) if (isAllowed(row, key)) allowed += 1;
    expect(summary.pairs.allowed).toBe(allowed);
    expect(summary.columnSteps).toBeGreaterThan(0);
    expect(summary.passes.map(({ kind, size }) => [kind, size])).toEqual([
      ['tiles', undefined],
      ['columns', 103],
    ]);
  });

  test('a sample of the query tiles is close, and says what it is', () => {
    const plan = aShapePlan(131_072, 4096);
    const [all, some] = [summarise(plan), summarise(plan, { sample: 100 })];
    expect([all.walked, some.walked]).toEqual([2048, 100]);
    expect(some.tiles.visited / all.tiles.visited).toBeCloseTo(1, 2);
    expect(some.density / all.density).toBeCloseTo(1, 2);
  });

  test('a million tokens take well under a second', () => {
    const plan = aShapePlan(2 ** 20, 4096);
    const start = performance.now();
    expect(summarise(plan).walked).toBeLessThan(plan.tiles);
    expect(performance.now() - start).toBeLessThan(1000);
  });

  test.each([
    [0, 100],
    [100, 0],
    [0, 0],
  ])('%i queries and %i keys are no trouble', (qLen, kLen) => {
    const binding = bindingOf(1);
    const shape = { ...binding.shape, qLen, kLen };
    const plan = planUnit({ binding: { ...binding, shape }, mask: causal, qTile: 64, kTile: 64 });
    const summary = summarise(plan, { exact: true });
    expect(summary).toMatchObject({ density: 0, rows: { empty: qLen }, pairs: { visited: 0 } });
    expect(summary.cost.share).toBe(0);
  });
});

test('causalPairs counts k <= q', () => {
  const bound = fc.integer({ min: -20, max: 40 });
  fc.assert(
    fc.property(bound, bound, fc.nat(40), fc.nat(40), (a, b, from, length) => {
      const [q0, q1] = [Math.min(a, b), Math.max(a, b)];
      let pairs = 0;
      for (let row = q0; row <= q1; row += 1)
        for (let key = from; key < from + length; key += 1) if (key <= row) pairs += 1;
      expect(causalPairs(q0, q1, from, from + length)).toBe(pairs);
    }),
  );
});

test('spread gives every tile, or the middles of equal stretches', () => {
  expect(spread(3, 5)).toEqual([0, 1, 2]);
  expect(spread(10, 2)).toEqual([2, 7]);
  expect(spread(0, 4)).toEqual([]);
});

describe('explainText', () => {
  test('explains equal heads once', () => {
    const plans = [0, 1].map((head) => aShapePlan(131_072, 4096, head));
    const launch = summariseLaunch(plans, { rowBytes: 512 });
    expect(
      explainText({ pattern: 'a-shape', dtype: 'bf16', fixed: [], launch }),
    ).toMatchInlineSnapshot(`
      "a-shape  (sinks 128, window 4096)
        shape      batch 1, 2 heads, 131 072 queries x 131 072 keys, dim 128, bf16
        tile       64 queries x 64 keys
        visits     k <= q && (k < 128 || q - k < 4096)
                   ranges: loop bounds, computed in the kernel; no memory
        tiles      135 005 of 2 098 176 causal (4 194 304 in all), 6.4 %: 130 975 full, 4 030 partial
        density    6.4 % of the causal pairs visited
        rows       every row has a key (proved)
        coverage   every allowed pair is visited once (proved on 64 of 2 048 query tiles)
        cost       6.5 % of dense causal attention (predicted from 135 811 tile steps)
        workspace  none
        kernel     made for mask, tile 64x64, dim 128, bf16; serves any lengths, batch, sinks, window"
    `);
  });

  test('heads that differ are told apart', () => {
    const plans = [0, 1].map((head) => aShapePlan(2048, 256 << head, head));
    const launch = summariseLaunch(plans, { rowBytes: 512 });
    expect(
      explainText({ pattern: 'a-shape', dtype: 'bf16', fixed: ['sinks'], launch }),
    ).toMatchInlineSnapshot(`
      "a-shape  (sinks 128)
        shape      batch 1, 2 heads, 2 048 queries x 2 048 keys, dim 128, bf16
        tile       64 queries x 64 keys

        for        head 0 (window 256)
        visits     k <= q && (k < 128 || q - k < 256)
                   ranges: loop bounds, computed in the kernel; no memory
        tiles      203 of 528 causal (1 024 in all), 38.4 %: 145 full, 58 partial
        density    36.6 % of the causal pairs visited
        rows       every row has a key (proved)
        coverage   every allowed pair is visited once (proved)
        cost       40.2 % of dense causal attention (predicted from 215 tile steps)

        for        head 1 (window 512)
        visits     k <= q && (k < 128 || q - k < 512)
                   ranges: loop bounds, computed in the kernel; no memory
        tiles      297 of 528 causal (1 024 in all), 56.3 %: 243 full, 54 partial
        density    54.9 % of the causal pairs visited
        rows       every row has a key (proved)
        coverage   every allowed pair is visited once (proved)
        cost       57.6 % of dense causal attention (predicted from 308 tile steps)

        together   density 45.7 %, cost 48.9 % of dense (predicted)
        workspace  none
        kernel     made for mask, tile 64x64, dim 128, bf16, sinks 128; serves any lengths, batch, window"
    `);
  });
});

test('units are named by runs of heads', () => {
  expect(unitNames([0, 1, 2, 3, 6], 8, 1)).toBe('heads 0-3, 6');
  expect(unitNames([0, 1, 2, 3], 2, 2)).toBe('heads 0-1');
  expect(unitNames([0, 2, 3], 2, 2)).toBe('batch 0 head 0; batch 1 heads 0-1');
});

test('percentages never round something to nothing, nor less than all to all', () => {
  expect([0, 1e-6, 0.005, 0.5, 0.99999, 1].map(percent)).toEqual([
    '0 %',
    '< 0.01 %',
    '0.50 %',
    '50.0 %',
    '> 99.9 %',
    '100 %',
  ]);
});
