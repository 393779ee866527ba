// The README says what the code says, where a machine can compare the two.

import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { codes } from '../dsl/diagnostic.ts';
import { patterns } from '../patterns/index.ts';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');

it('the README lists every diagnostic code with its meaning, and no other', () => {
  const rows = [...readme.matchAll(/^\| `([A-Z]\d{3})` \| (.+) \|$/gm)].map(([, code, meaning]) => [
    code,
    meaning,
  ]);
  expect(rows).toEqual(Object.entries(codes));
});

it('the README names every built-in pattern', () => {
  expect([...patterns.keys()].filter((name) => !readme.includes(`\`${name}\``))).toEqual([]);
});
