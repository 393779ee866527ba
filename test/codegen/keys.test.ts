// What the text of a kernel need not ask of a key, because the mask says it.

import { expect, it } from 'vitest';
import { endsAtQuery } from '../../codegen/keys.ts';
import { lifted } from '../../dsl/definition.ts';
import { pattern } from '../../dsl/pattern.ts';

const whole = pattern('one');

it.each([
  [true, 'causal', whole.mask(({ q, k }) => k <= q)],
  [true, 'keys before the query', whole.mask(({ q, k }) => k < q)],
  [true, 'turned round', whole.mask(({ q, k }) => q - k >= 3)],
  [true, 'sinks and a window', whole.mask(({ q, k }) => k <= q && (q - k < 60 || k < 4))],
  [false, 'the next key too', whole.mask(({ q, k }) => k <= q + 1)],
  [false, 'sinks that any query has', whole.mask(({ q, k }) => k <= q || k < 40)],
  [false, 'from the query on', whole.mask(({ q, k }) => q <= k)],
  [false, 'all keys', whole.mask(() => true)],
] as const)('%s: %s', (ends, _, { definition }) => {
  expect(endsAtQuery(lifted(definition).mask)).toBe(ends);
});
