// A range of bases that holds -0: its odd negative powers are -Infinity, those of 0 are Infinity.
// Found by law 2, "the interval of every operation holds its results".

import { expect, test } from 'vitest';
import { bounds, intervalOf } from '../../dsl/analysis/interval.ts';
import { binary, param } from '../../dsl/expression.ts';

test('negative powers of a range with 0 in it reach both infinities', () => {
  const ranges: Record<string, ReturnType<typeof bounds>> = { a: bounds(-0, 4), b: bounds(-1, 0) };
  const none = () => {
    throw new Error('nothing else is mentioned');
  };
  const env = {
    ...{ index: none, difference: bounds(0), at: none, has: none },
    param: (name: string) => ranges[name]!,
  };
  const { lo, hi } = intervalOf(binary('pow', param('a', 'float'), param('b', 'float')), env);
  expect(hi).toBe(0 ** -0.5);
  expect(lo).toBe((-0) ** -1);
});
