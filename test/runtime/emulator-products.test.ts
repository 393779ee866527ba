// Products in the text of a kernel as the emulator reads them: what the instruction says is what is run.

import { describe, expect, it } from 'vitest';
import { productText } from '../../codegen/wgmma.ts';
import { hostProducts } from '../../runtime/emulator/products.ts';

const step = { dtype: 'fp16', columns: 16 } as const;
const text = [
  productText({ ...step, name: 'begin', blocks: 4, from: 'shared', result: 'overwritten' }),
  productText({ ...step, name: 'add', from: 'registers', result: 'added' }),
  productText({ ...step, name: 'multiply', from: 'shared', result: 'either' }),
].join('\n');
const sums =
  'float* const results[] = {&(d[0][0][0]), &(d[0][0][1]), &(d[0][0][2]), &(d[0][0][3]), ' +
  '&(d[0][1][0]), &(d[0][1][1]), &(d[0][1][2]), &(d[0][1][3])};';

describe('a product in the text of a kernel', () => {
  it('becomes a call, and lines keep their numbers', () => {
    const host = hostProducts(text);
    expect(host).not.toMatch(/\basm\b/);
    expect(host.split('\n').length).toBe(text.split('\n').length);
    const lineOf = (of: string, name: string) =>
      of.split('\n').findIndex((line) => line.startsWith(`WARPLOOM_DEVICE void ${name}(`));
    for (const name of ['add', 'multiply']) expect(lineOf(host, name)).toBe(lineOf(text, name));
  });

  it.each([
    [
      'begin(float (&d)[1][4][4], u64 a, u64 b, WARPLOOM_LINE)',
      ' const WarploomProduct product = {16, true, false, false, results, nullptr, (a), (b), 0 != 0};',
    ],
    [
      'add(float (&d)[1][2][4], const u32 (&a)[4], u64 b, WARPLOOM_LINE)',
      'const u32* const registers[] = {&(a[0]), &(a[1]), &(a[2]), &(a[3])}; ' +
        'const WarploomProduct product = {16, true, false, true, results, registers, 0, (b), 1 != 0};',
    ],
    [
      'multiply(float (&d)[1][2][4], u64 a, u64 b, int add, WARPLOOM_LINE)',
      ' const WarploomProduct product = {16, true, false, false, results, nullptr, (a), (b), (add) != 0};',
    ],
  ])('is called with what it is: %s', (head, call) => {
    expect(hostProducts(text)).toContain(
      `WARPLOOM_DEVICE void ${head} { { ${sums} ${call} warploomMultiply(&product, line.at); }`,
    );
  });

  it('of several steps is as many calls, each with its own part of A and of B', () => {
    const host = hostProducts(
      productText({
        ...step,
        name: 'all',
        from: 'registers',
        result: 'added',
        further: [{ b: 128 }, { b: 256 }],
      }),
    );
    const called = (i: number, b: string) =>
      `{ ${sums} const u32* const registers[] = {${[0, 1, 2, 3].map((j) => `&(a[${i}][${j}])`).join(', ')}}; ` +
      `const WarploomProduct product = {16, true, false, true, results, registers, 0, ${b}, 1 != 0}; warploomMultiply(&product, line.at); }`;
    const calls = [called(0, '(b)'), called(1, '((b) + 128ull)'), called(2, '((b) + 256ull)')];
    expect(host).toContain(calls.join(' '));
  });

  it('of several steps on shared memory overwrites in the first one, and moves both descriptors', () => {
    const further = [{ a: 2, b: 4 }];
    const host = hostProducts(
      productText({ ...step, name: 'all', from: 'shared', result: 'overwritten', further }),
    );
    const called = (a: string, b: string, adds: number) =>
      `{ ${sums}  const WarploomProduct product = {16, true, false, false, results, nullptr, ${a}, ${b}, ${adds} != 0}; warploomMultiply(&product, line.at); }`;
    expect(host).toContain(
      [called('(a)', '(b)', 0), called('((a) + 2ull)', '((b) + 4ull)', 1)].join(' '),
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
