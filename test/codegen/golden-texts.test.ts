// The canonical texts of the built-in patterns: two in full, so that reviewers see what changes, and the
// hashes of all. Law 12: they know nothing of names and files.

import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { patterns } from '../../patterns/index.ts';
import { firstHopperKernel, firstKernel, howToUpdate, otherKernels } from './golden.ts';

const all = [
  ...[...patterns.keys()].map((name) => ({
    label: `${name} attention`,
    kernel: firstKernel(name),
  })),
  ...[...patterns.keys()].map((name) => ({
    label: `${name} attention, hopper`,
    kernel: firstHopperKernel(name),
  })),
  ...otherKernels(),
];

it('have the hashes of test/golden', async () => {
  const lines = all.map(({ label, kernel: { source } }) => {
    const hash = createHash('sha256').update(source).digest('hex').slice(0, 16);
    return `${label.padEnd(46)}${hash}`;
  });
  const text = [`# D = 128, bf16. After a change that is meant: ${howToUpdate}`, ...lines, ''];
  await expect(text.join('\n'), howToUpdate).toMatchFileSnapshot('../golden/texts.txt');
});

/** Without the primitives, which are files of codegen/device. */
const ownText = (source: string): string => source.slice(source.indexOf('// ---- kernel ----'));

it.each(['a-shape', 'vertical-slash'])(
  'the attention of %s reads as in test/golden',
  async (name) => {
    const text = ownText(firstKernel(name).source);
    await expect(text, howToUpdate).toMatchFileSnapshot(`../golden/${name}.attention.cu`);
  },
);

it('the dense causal kernel for Hopper reads as in test/golden', async () => {
  const text = ownText(firstHopperKernel('causal').source);
  await expect(text, howToUpdate).toMatchFileSnapshot('../golden/causal.hopper.attention.cu');
});

it('the dense causal kernel for Hopper has less than 900 lines of code, primitives included', () => {
  const lines = firstHopperKernel('causal').source.split('\n');
  expect(lines.filter((line) => !/^\s*($|\/\/|\/\*\*)/.test(line)).length).toBeLessThan(900);
});

it('are the same whenever they are made', () => {
  for (const name of patterns.keys())
    for (const first of [firstKernel, firstHopperKernel])
      expect(first(name).source).toBe(first(name).source);
});

it.each([...patterns.keys()])(
  '%s: neither its name, nor a file, nor a line of its source',
  (name) => {
    const text = ownText(firstKernel(name).source + firstHopperKernel(name).source);
    // `causal` is also a word of ours, for reasons in comments.
    if (name !== 'causal') expect(text).not.toContain(name);
    expect(text).not.toMatch(/\.[cm]?[jt]s\b|#line|=>/);
  },
);
