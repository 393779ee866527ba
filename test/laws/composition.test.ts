// Law 10: composition. `and` and `or` are pointwise; what two patterns call alike must be alike.

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { pointEnvironment } from '../../dsl/analysis/binding.ts';
import { inspect, lifted, nativeMask } from '../../dsl/definition.ts';
import { evaluate } from '../../dsl/evaluate.ts';
import { count, f32, fixed, i32 } from '../../dsl/given.ts';
import { pattern } from '../../dsl/pattern.ts';
import { queryOffset } from '../../dsl/shape.ts';
import { arbitraryBinding, arbitraryMask, arbitraryShape } from '../arbitraries.ts';
import { declarations, patternOf } from './arbitraries.ts';
import { law, runs } from './settings.ts';

const plain = { score: undefined, rest: undefined, knobs: { qTile: 16 } } as const;

law('and, or are pointwise', () => {
  const masks = fc.tuple(
    arbitraryMask(declarations, { depth: 2 }),
    arbitraryMask(declarations, { depth: 2 }),
  );
  const bindings = arbitraryShape({ tile: 8, least: 1, heads: 2 }).chain((shape) =>
    arbitraryBinding(shape),
  );
  fc.assert(
    fc.property(masks, bindings, fc.boolean(), ([a, b], binding, isAnd) => {
      const [left, right] = [a, b].map((mask) => patternOf({ ...plain, mask }));
      const { definition } = isAnd ? left!.and(right!) : left!.or(right!);
      const { mask } = lifted(definition);
      const native = nativeMask(definition.mask) as (pair: object, given: object) => unknown;
      const given = {
        ...binding.params,
        doc: { at: (...at: number[]) => binding.captured.doc!.at(at) },
        weight: { at: (...at: number[]) => binding.captured.weight!.at(at) },
        ...binding.sets,
      };
      assert.deepEqual(definition.knobs, {});
      for (let q = queryOffset(binding.shape); q < binding.shape.kLen; q += 1) {
        for (let k = 0; k < binding.shape.kLen; k += 1) {
          const env = pointEnvironment(binding, q, k);
          const [x, y] = [evaluate(a, env) === true, evaluate(b, env) === true];
          const expected = isAnd ? x && y : x || y;
          assert.equal(evaluate(mask, env), expected);
          assert.equal(native(env.index, given), expected);
        }
      }
    }),
    runs(60),
  );
});

const codesOf = (made: { readonly definition: Parameters<typeof inspect>[0] }) =>
  inspect(made.definition).findings.map(({ code }) => code);

const near = (given: { n: typeof count }) =>
  pattern('near', given).mask(({ q, k }, { n }) => k <= q && q - k < n);

test('one name with two meanings is refused', () => {
  const first = near({ n: count.default(3) as never });
  const changed = [
    pattern('a', { n: count.default(4) }).mask(({ k }, { n }) => k < n),
    pattern('b', { n: z.int().min(1).default(3) }).mask(({ k }, { n }) => k < n),
    pattern('c', { n: z.number().min(0).default(3) }).mask(({ k }, { n }) => k < n),
    pattern('d', { n: fixed(3) }).mask(({ k }, { n }) => k < n),
    pattern('e', { n: i32('k') }).mask(({ k }, { n }) => n.at(k) > 0),
  ];
  for (const other of changed) {
    expect(codesOf(first.and(other as never))).toContain('S005');
    expect(codesOf(first.or(other as never))).toContain('S005');
  }
  expect(codesOf(first.and(near({ n: count.default(3) as never })))).toEqual([]);
});

test('captured tensors of one name agree in dtype and dimensions', () => {
  const own = pattern('own', { w: f32('head') }).mask(({ head }, { w }) => w.at(head) > 0);
  const same = pattern('same', { w: f32('head') }).mask(({ head }, { w }) => w.at(head) < 9);
  const other = pattern('other', { w: f32('k') }).mask(({ k }, { w }) => w.at(k) > 0);
  expect(codesOf(own.or(same))).toEqual([]);
  expect(codesOf(own.or(other as never))).toContain('S005');
});

test('sets of one name are one set, or refused', () => {
  const best = (n: number) =>
    pattern('best')
      .estimate(({ q, k }) => ({ columns: q.dot(k).causal().softmax().sumPerKey().topk(n) }))
      .mask(({ k }, { columns }) => columns.has(k));
  const merged = best(4).and(best(4));
  expect(codesOf(merged)).toEqual([]);
  expect(lifted(merged.definition).declarations.sets).toEqual({ columns: { arity: 1 } });
  expect(codesOf(best(4).and(best(5)))).toContain('S005');
});

test('two scores and two stand-ins are refused, one is kept', () => {
  const plainOne = near({ n: count.default(3) as never });
  const scored = plainOne.score(({ s }) => s * 2);
  expect(codesOf(scored.and(plainOne.score(({ s }) => s * 3)))).toContain('S006');
  expect(codesOf(scored.and(plainOne))).toEqual([]);
  expect(plainOne.or(scored).definition.score).toBe(scored.definition.score);
  const rested = plainOne.rest(({ k, v }) => ({ keys: k.pool(4), values: v.pool(4) }));
  const other = plainOne.rest(({ k, v }) => ({ keys: k.pool(8), values: v.pool(8) }));
  expect(codesOf(rested.or(other))).toContain('S006');
  expect(codesOf(rested.or(plainOne))).toEqual([]);
});
