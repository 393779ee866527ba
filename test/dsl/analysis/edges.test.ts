// The analysis at the places where one more or one less decides: small cases that random ones rarely meet.

import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type Binding, boxEnvironment } from '../../../dsl/analysis/binding.ts';
import { boxOf } from '../../../dsl/analysis/box.ts';
import { formulaOf } from '../../../dsl/analysis/formula.ts';
import { always, intervalOf, maybe, never, truthOf } from '../../../dsl/analysis/interval.ts';
import { findOverflow } from '../../../dsl/analysis/overflow.ts';
import { BitSet } from '../../../dsl/chosen.ts';
import * as x from '../../../dsl/expression.ts';
import { declareParam } from '../../../dsl/given.ts';
import { spansOf } from '../../../dsl/plan/spans.ts';
import { kvHeadOf } from '../../../dsl/shape.ts';

const [q, k] = [x.index('q'), x.index('k')];

/** A unit of a square call of this length. */
const bound = (length: number, sets: Binding['sets'] = {}): Binding => ({
  shape: { batch: 1, heads: 1, kvHeads: 1, qLen: length, kLen: length, headDim: 8, valueDim: 8 },
  unit: { batch: 0, head: 0, kvHead: 0 },
  params: {},
  captured: {},
  sets,
});
const keys = (k0: number, k1: number) => boxEnvironment(bound(64), boxOf(0, 0, k0, k1));

describe('intervals', () => {
  it('know that a comparison flips where ranges meet', () => {
    const below = (n: number) => x.compare('lt', k, x.int(n));
    expect([8, 7, 1, 0].map((n) => truthOf(below(n), keys(0, 7)))).toEqual([
      always,
      maybe,
      maybe,
      never,
    ]);
  });

  it('join the arms of a select of bools', () => {
    const arms = x.select(
      x.compare('lt', k, x.int(4)),
      x.compare('lt', k, x.int(2)),
      x.compare('lt', k, x.int(9)),
    );
    expect(truthOf(arms, keys(0, 7))).toBe(maybe);
    expect(truthOf(arms, keys(5, 7))).toBe(always);
  });

  it('keep remainders exact within one period alone', () => {
    const rest = x.binary('rem', k, x.int(8));
    expect(intervalOf(rest, keys(9, 12))).toMatchObject({ lo: 1, hi: 4 });
    expect(intervalOf(rest, keys(7, 9))).toMatchObject({ lo: 0, hi: 7 });
  });
});

describe('formulas', () => {
  it('round a coefficient towards what holds', () => {
    // 2k <= 5 is k <= 2, and -2k <= 5 is k >= -2.
    const twice = (sign: number) => x.binary('mul', x.int(2 * sign), k);
    const formula = (sign: number) => formulaOf(x.compare('le', twice(sign), x.int(5)));
    expect(formula(1)).toMatchObject({ op: 'linear', k: 1, constant: -2 });
    expect(formula(-1)).toMatchObject({ op: 'linear', k: -1, constant: -2 });
  });
});

describe('integers of a launch', () => {
  const reach = (n: number, length: number) =>
    findOverflow('p', x.compare('lt', x.binary('add', k, x.int(n)), q), bound(length))?.code;

  it('may be 2^31 - 1 and -2^31, and no more', () => {
    expect(reach(2 ** 31 - 1, 1)).toBeUndefined();
    expect(reach(2 ** 31 - 1, 2)).toBe('T009');
    expect(reach(-(2 ** 31), 1)).toBeUndefined();
    expect(reach(-(2 ** 31) - 1, 1)).toBe('T009');
  });
});

describe('declarations', () => {
  it('have inclusive bounds, whatever the schema says', () => {
    expect(declareParam(z.int().gt(0).lt(8))).toEqual({ kind: 'int', lo: 1, hi: 7 });
    expect(declareParam(z.int().min(0).max(8))).toEqual({ kind: 'int', lo: 0, hi: 8 });
  });
});

describe('spans of a set', () => {
  it('leave out no key that a row outside the domain may need', () => {
    // Blocks of 4: the set has row 1 alone, with all its members; row 0 has none.
    const set = new BitSet({ rowFrom: 1, rows: 1, columns: 2, arity: 2 });
    set.addRange(1, 0, 2);
    const block = (of: x.Expression) => x.binary('floordiv', of, x.int(4));
    const lacks = formulaOf(x.has('blocks', [block(q), block(k)]), true);
    const spans = (q0: number) => spansOf(lacks, boxOf(q0, 7, 0, 7), bound(8, { blocks: set }));
    expect(spans(0)).toEqual([0, 8]);
    expect(spans(4)).toEqual([]);
  });
});

describe('query heads', () => {
  it('share a KV head with their neighbours', () => {
    const { shape } = bound(8);
    const heads = [0, 1, 2, 3, 4, 5].map((head) =>
      kvHeadOf({ ...shape, heads: 6, kvHeads: 2 }, head),
    );
    expect(heads).toEqual([0, 0, 0, 1, 1, 1]);
  });
});
