// The polynomials for tanh of small numbers: as accurate in float32 as they say, over their ranges and at their ends.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { smallRanges, smallScore, termRanges } from '../../codegen/attention/tanh.ts';
import { Uniforms } from '../../codegen/uniforms.ts';
import {
  binary,
  children,
  type Expression,
  index,
  param,
  real,
  unary,
  walk,
} from '../../dsl/expression.ts';

const { fround } = Math;

/** As a kernel computes it; a fused product and sum is rounded once. */
function polynomial(x: number, coefficients: readonly number[]): number {
  const square = fround(x * x);
  const even = coefficients
    .map(fround)
    .reduceRight((higher, lower) => fround(square * higher + lower));
  return fround(x * even);
}

describe.each([...smallRanges, ...termRanges])(
  'tanh of numbers below $below',
  ({ below, error, coefficients }) => {
    const errorAt = (x: number): number =>
      x === 0 ? 0 : Math.abs(polynomial(x, coefficients) / Math.tanh(x) - 1);
    const end = fround(below * (1 - 2 ** -24));

    it('is as accurate as it says', () => {
      for (let i = 0; i <= 20_000; i += 1)
        expect(errorAt(fround((end * i) / 20_000))).toBeLessThanOrEqual(error);
      fc.assert(
        // Subnormal results have fewer bits.
        fc.property(
          fc.float({ min: fround(2 ** -120), max: end, noNaN: true }),
          (x) => errorAt(x) <= error && errorAt(-x) <= error,
        ),
      );
    });

    it('keeps zeros', () => {
      expect(polynomial(0, coefficients)).toBe(0);
      expect(polynomial(-0, coefficients)).toBe(-0);
    });

    it('is not as accurate far beyond: the next range is needed', () => {
      expect(errorAt(2 * below)).toBeGreaterThan(10 * error);
    });
  },
);

describe('the score of small numbers', () => {
  const s = index('s');
  const cap = param('cap', 'float');
  const smallOf = (score: Expression) => {
    const uniforms = new Uniforms();
    return { small: smallScore(uniforms.ofScore(score), uniforms), uniforms };
  };

  it('is none without tanh of the product', () => {
    expect(smallOf(binary('mul', s, real(2))).small).toBeUndefined();
    expect(smallOf(binary('add', s, unary('tanh', index('q')))).small).toBeUndefined();
  });

  it('has factors within the coefficients: polynomials of the product itself', () => {
    const { small } = smallOf(binary('mul', cap, unary('tanh', binary('div', s, cap))));
    expect(small!.tanhs.map(({ of }) => of)).toEqual([s]);
    const isNumberOfUnit = ({ op }: Expression): boolean => op === 'param';
    const { ranges } = small!.tanhs[0]!;
    expect(ranges[0]!.coefficients.every(isNumberOfUnit)).toBe(true);
    for (const { coefficients, limit } of ranges)
      expect([coefficients.at(-1)!, limit].every(isNumberOfUnit)).toBe(true);
  });

  it('is coarser where tanh is a term of the score, which tells how far it may be off', () => {
    const capped = binary('mul', cap, unary('tanh', binary('div', s, cap)));
    const countsOf = (score: Expression): number[] =>
      smallOf(score).small!.tanhs.flatMap(({ ranges }) =>
        ranges.map((range) => range.coefficients.length),
      );
    for (const score of [capped, binary('sub', capped, index('q'))])
      expect(countsOf(score)).toEqual(termRanges.map(({ coefficients }) => coefficients.length));
    for (const score of [binary('mul', capped, index('q')), unary('abs', capped)])
      expect(countsOf(score)[0]).toBe(smallRanges[0]!.coefficients.length);
  });

  it('is none of a score with functions that the hardware has not', () => {
    expect(smallOf(unary('tanh', unary('sin', s))).small).toBeUndefined();
    expect(smallOf(binary('add', unary('tanh', s), unary('exp', s))).small).toBeUndefined();
    expect(smallOf(unary('tanh', binary('pow', s, real(0.5)))).small).toBeDefined();
  });

  it('has one polynomial for each tanh, none of one another', () => {
    const inner = unary('tanh', s);
    const { small } = smallOf(binary('sub', inner, unary('tanh', binary('mul', s, s))));
    expect(small!.tanhs).toHaveLength(2);
    const tanhs = [small!.value, ...small!.tanhs.map(({ of }) => of)].flatMap((one) =>
      [...walk(one)].filter((part) => part.op === 'unary' && part.name === 'tanh'),
    );
    expect(tanhs).toEqual([]);
    expect(children(small!.value)).toHaveLength(2);
    expect(smallOf(unary('tanh', binary('add', inner, real(1)))).small).toBeUndefined();
  });
});
