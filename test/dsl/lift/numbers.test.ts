// Literals at the ends of int32.

import { expect, test } from 'vitest';
import { codes, mask } from './builder.ts';

test('a mask has every int32 and no other integer', () => {
  expect(codes(mask(({ k }) => k < 2147483647))).toEqual([]);
  expect(codes(mask(({ k }) => k > -2147483648))).toEqual([]);
  expect(codes(mask(({ k }) => k < 2147483648))).toEqual(['L014']);
  expect(codes(mask(({ k }) => k > -2147483649))).toEqual(['L014']);
});
