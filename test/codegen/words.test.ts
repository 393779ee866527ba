// Which masks are found by words; that the words are right is tried with all other analysis (analysis.test.ts).

import { describe, expect, it } from 'vitest';
import { wordsText } from '../../codegen/attention/words.ts';
import * as x from '../../dsl/expression.ts';

const [q, k] = [x.index('q'), x.index('k')];
const names = (kind: string, name: string): string => `${kind}_${name}`;
const block = (size: number) => x.binary('floordiv', k, x.int(size));
const isWord = (mask: x.Expression, size: number, multiple = 1): boolean =>
  wordsText('keys', mask, { size, multiple }, names) !== undefined;

describe('a mask is found by words', () => {
  it('of pools only where one part lets all keys of a pool through', () => {
    const gap = x.binary('add', q, x.param('gap', 'int'));
    const either = x.or(x.compare('le', k, q), x.compare('lt', gap, k));
    expect(isWord(either, 1)).toBe(true);
    expect(isWord(either, 4)).toBe(false);
    expect(isWord(x.and(x.compare('le', k, gap), x.compare('lt', q, k)), 4)).toBe(true);
  });

  it('where words lie within blocks, or pools are the blocks', () => {
    const blocks = (size: number) => x.has('blocks', [q, block(size)]);
    expect(isWord(blocks(64), 1, 32)).toBe(true);
    expect(isWord(blocks(64), 1, 16)).toBe(false);
    expect(isWord(blocks(48), 1, 32)).toBe(false);
    expect(isWord(x.not(blocks(16)), 16)).toBe(true);
    expect(isWord(blocks(32), 16)).toBe(false);
  });

  it('unless it asks a tensor of the keys', () => {
    expect(isWord(x.compare('le', x.at('doc', 'int', [k]), q), 1)).toBe(false);
    expect(isWord(x.compare('le', x.at('doc', 'int', [q]), q), 1)).toBe(true);
  });
});
