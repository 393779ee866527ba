// Products in the text of a kernel as the emulator reads them: what the instruction says is what is run.

import { describe, expect, it } from 'vitest';
import { productsText } from '../../codegen/attention/hopper/products.ts';
import { hostProducts } from '../../runtime/emulator/products.ts';

const textOf = (dtype: 'bf16' | 'fp16', columns: number): string => {
  const context = { dtype, knobs: { kTile: columns }, valueDim: columns };
  return productsText(context as Parameters<typeof productsText>[0]);
};
const text = textOf('fp16', 16);

describe('a product in the text of a kernel', () => {
  it('becomes a call, and lines keep their numbers', () => {
    const host = hostProducts(text);
    expect(host).not.toMatch(/\basm\b/);
    expect(host.split('\n').length).toBe(text.split('\n').length);
    const lineOf = (of: string) => of.split('\n').findIndex((line) => line.includes('registers('));
    expect(lineOf(host)).toBe(lineOf(text));
    expect(host.split('\n').find((line) => line.includes('multiply_shared('))).toBe(
      'WARPLOOM_DEVICE void multiply_shared(float (&d)[1][2][4], u64 a, u64 b, int add, WARPLOOM_LINE) { ' +
        '{ float* const results[] = {&(d[0][0][0]), &(d[0][0][1]), &(d[0][0][2]), &(d[0][0][3]), ' +
        '&(d[0][1][0]), &(d[0][1][1]), &(d[0][1][2]), &(d[0][1][3])};  ' +
        'const WarploomProduct product = {16, true, false, false, results, nullptr, (a), (b), (add) != 0}; ' +
        'warploomMultiply(&product, line.at); }',
    );
  });

  it.each([
    ['another type', /\.f16\.f16/g, '.f16.bf16', 'do not fit'],
    ['more columns than sums', 'm64n16k16', 'm64n24k16', 'do not fit'],
    ['a negated factor', 'p, 1, 1', 'p, -1, 1', 'do not fit'],
    ['another depth', 'k16', 'k32', 'does not know'],
    ['an operand that is not there', '%8, %9', '%8, %19', 'no operand %19'],
  ])('with %s is refused', (_, from, to, says) => {
    expect(() => hostProducts(text.replace(from, to))).toThrow(says);
  });
});
