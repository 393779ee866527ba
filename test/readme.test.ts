// The README says what the code says, where a machine can compare the two.

import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { codes } from '../dsl/diagnostic.ts';
import { patterns } from '../patterns/index.ts';
import { say } from './cli/command.ts';

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

it('the README shows what explain says of a plan', async () => {
  const words = 'explain a-shape --length 131072 --dtype bf16';
  expect(readme).toContain(words);
  const { code, out } = await say(...words.split(' '));
  expect(code).toBe(0);
  // What follows depends on the NVRTC of this machine.
  const [plan] = out.split('\nkernels for');
  expect(readme).toContain(plan);
});
