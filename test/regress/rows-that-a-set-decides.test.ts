// Which row of a set matters was asked of a set that is not there yet, where another set decides the row. Law 'rows that
// do not matter' found it (seed 1766974525).

import { expect, it } from 'vitest';
import { rowsThatMatter } from '../../dsl/analysis/relevance.ts';
import { has, index, int, select } from '../../dsl/expression.ts';

it('rows that a set decides all matter', () => {
  const [q, k] = [index('q'), index('k')];
  const inner = has('others', [q, k]);
  const mask = has('blocks', [select(inner, q, int(0)), k]);
  const domain = { rowFrom: 0, rows: 8, columns: 8, arity: 2 } as const;
  const shape = { batch: 1, heads: 1, kvHeads: 1, qLen: 8, kLen: 8, headDim: 8, valueDim: 8 };
  const domains = { blocks: domain, others: domain };
  expect(rowsThatMatter({ mask, domains, shape, params: {}, heads: [0] })).toEqual({
    blocks: { from: 0, to: 8 },
    others: { from: 0, to: 8 },
  });
});
