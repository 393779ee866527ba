// Every work at a size where its pairs can be counted and the CPU runs it: a few hundred tokens, and its numbers
// in proportion. For tests.

import { type Work, works } from './works.ts';

const length = 512;
const numbers: Readonly<Record<string, number>> = {
  sinks: 9,
  window: 100,
  documents: 5,
  blocks: 3,
  percent: 40,
  columns: 50,
  near: 70,
  runs: 3,
};

export const tinyWorks: readonly Work[] = works.map((work) => ({
  ...work,
  name: `tiny ${work.name}`,
  length,
  heads: (2 * work.heads) / work.kvHeads,
  kvHeads: 2,
  params: Object.fromEntries(
    Object.entries(work.params).map(([name, value]) => [name, numbers[name] ?? value]),
  ),
}));
