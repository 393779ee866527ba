// The faults of list.ts can be made: each text stands exactly once in its file. That tests notice them is
// what run.ts finds out, which takes minutes.

import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, it } from 'vitest';
import { mutations } from './list.ts';

const root = resolve(import.meta.dirname, '../..');

it.each(mutations.map((one) => [one.why, one] as const))('%s', (_, { file, find, replace }) => {
  const times = readFileSync(join(root, file), 'utf8').split(find).length - 1;
  expect(times, `'${find}' in ${file}`).toBe(1);
  expect(replace).not.toBe(find);
});

it('has names, and at least 30 faults', () => {
  expect(new Set(mutations.map(({ why }) => why)).size).toBe(mutations.length);
  expect(mutations.length).toBeGreaterThanOrEqual(30);
});
