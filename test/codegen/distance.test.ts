// A slope times the key less the same slope times the query is the slope times their distance.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { withDistances } from '../../codegen/attention/distance.ts';
import { exponentOf } from '../../codegen/attention/exponent.ts';
import { Uniforms } from '../../codegen/uniforms.ts';
import { evaluate } from '../../dsl/evaluate.ts';
import {
  binary,
  canonical,
  type Expression,
  index,
  param,
  real,
  unary,
} from '../../dsl/expression.ts';

const [s, q, k, row] = [index('s'), index('q'), index('k'), index('row')];
const [slope, other] = [param('slope', 'float'), param('other', 'float')];
const plus = (a: Expression, b: Expression) => binary('add', a, b);
const less = (a: Expression, b: Expression) => binary('sub', a, b);
const times = (a: Expression, b: Expression) => binary('mul', a, b);

/** Rounded as float32 at every step, as kernels do it. */
function rounded(node: Expression, at: Record<'s' | 'q' | 'k' | 'slope', number>): number {
  const value = (part: Expression): number => rounded(part, at);
  if (node.op === 'binary' && node.kind === 'float') {
    const [a, b] = node.args.map(value) as [number, number];
    return Math.fround(node.name === 'mul' ? a * b : node.name === 'add' ? a + b : a - b);
  }
  if (node.op === 'binary') return value(node.args[0]) - value(node.args[1]);
  if (node.op === 'float') return Math.fround(value(node.args[0]));
  return 'name' in node ? at[node.name as 'q'] : 0;
}

describe('a slope of the key and of the query', () => {
  const ahead = plus(s, times(slope, less(k, q)));
  const behind = less(s, times(slope, less(q, k)));

  it.each([
    ['one after the other', less(plus(s, times(slope, k)), times(slope, q)), ahead],
    ['the query first', plus(less(s, times(slope, q)), times(slope, k)), ahead],
    ['factors in another order', less(plus(s, times(k, slope)), times(q, slope)), ahead],
    ['a difference of their own', plus(s, less(times(slope, k), times(slope, q))), ahead],
    ['a difference that is subtracted', less(s, less(times(slope, q), times(slope, k))), behind],
    ['a negative', plus(plus(s, times(slope, k)), unary('neg', times(slope, q))), ahead],
    ['from the row', less(times(slope, k), times(slope, row)), times(slope, less(k, row))],
  ])('is one of their distance: %s', (_, written, distance) => {
    const [own, wanted] = [written, distance].map((one) =>
      exponentOf(one, new Uniforms(), { relative: true }),
    );
    expect(canonical(own!.value!)).toBe(canonical(wanted!.value!));
  });

  it.each([
    ['another slope', less(plus(s, times(slope, k)), times(other, q))],
    ['the same sign', plus(plus(s, times(slope, k)), times(slope, q))],
    ['the key alone', plus(s, times(slope, k))],
    ['the query within a function', less(plus(s, times(slope, k)), unary('tanh', times(slope, q)))],
  ])('stays as it is written: %s', (_, written) => {
    expect(withDistances(written)).toBe(written);
  });

  it('is as near at a million keys as at none', () => {
    const at = { s: 0, q: 1_048_000, k: 1_047_999, slope: Math.fround(0.3) };
    const written = less(plus(s, times(slope, k)), times(slope, q));
    expect(Math.abs(rounded(written, at) + at.slope)).toBeGreaterThan(1e-3);
    expect(rounded(withDistances(written), at)).toBe(-at.slope);
  });

  it('leaves the value of any sum', () => {
    const factor = fc.constantFrom(slope, other, real(0.25), s);
    const place = fc.constantFrom<Expression | undefined>(q, k, row, undefined);
    const term = fc
      .tuple(fc.array(factor, { maxLength: 2 }), place)
      .map(([factors, of]) => [...factors, ...(of ? [of] : [])].reduce(times, real(1)));
    const { sum } = fc.letrec<{ sum: Expression }>((tie) => ({
      sum: fc.oneof(
        { maxDepth: 5, withCrossShrink: true },
        term,
        fc.tuple(tie('sum'), tie('sum')).map(([a, b]) => plus(a, b)),
        fc.tuple(tie('sum'), tie('sum')).map(([a, b]) => less(a, b)),
        tie('sum').map((one) => unary('neg', one)),
        tie('sum').map((one) => times(one, other)),
      ),
    }));
    const number = fc.integer({ min: -8, max: 8 });
    const places = fc.nat({ max: 1000 });
    fc.assert(
      fc.property(sum, number, number, number, places, places, (of, a, b, c, query, key) => {
        // Whole numbers and quarters: no rounding.
        const index = { s: c, q: query, k: key, row: query + a } as Parameters<
          typeof evaluate
        >[1]['index'];
        const env = { index, params: { slope: a, other: b }, at: () => 0, has: () => false };
        expect(evaluate(withDistances(of), env)).toBeCloseTo(evaluate(of, env) as number, 9);
      }),
    );
  });
});
