// Which masks have a kernel whose warpgroups ask for keys apart, and what its walk goes by.

import { describe, expect, it } from 'vitest';
import { asksApart, mayAskApart } from '../../codegen/attention/hopper/pairs.ts';
import { walkOf } from '../../codegen/attention/hopper/walks.ts';
import { passesOf, withFixed } from '../../codegen/attention/passes.ts';
import { splitByRows } from '../../codegen/attention/rows.ts';
import * as x from '../../dsl/expression.ts';
import { patterns } from '../../patterns/index.ts';
import { specOf } from '../../runtime/cuda/kernel-request.ts';
import { requestOf } from './golden.ts';

function passesIn(name: string, change: Readonly<Record<string, number>> = {}) {
  const request = requestOf(patterns.get(name)!.definition, 128);
  const numbers = { ...request.numbers, ...change };
  const { mask, fixed, gather, restSize } = specOf({ ...request, numbers });
  return passesOf(withFixed(mask, fixed), gather, restSize);
}

const [q, k] = [x.index('q'), x.index('k')];
const blockOf = (node: x.Expression, size: number) => x.binary('floordiv', node, x.int(size));
const inBlocks = (rows: number, keys: number) =>
  x.has('blocks', [blockOf(q, rows), blockOf(k, keys)]);
const tiles = (mask: x.Expression) => [{ kind: 'tiles', mask } as const];

describe('warpgroups ask apart', () => {
  it.each([
    ['vertical-slash', {}, 'distances'],
    ['block-sparse', {}, 'blocks'],
    ['x-attention', { block: 64 }, 'blocks'],
    ['x-attention', { block: 128 }, undefined],
    ['causal', {}, undefined],
    ['a-shape', {}, undefined],
    // A set beside a window: there is none to walk over. The tuner may try.
    ['nsa-selection', {}, undefined],
  ] as const)('in %s %j by %s', (name, change, by) => {
    expect(asksApart(passesIn(name, change))).toBe(by);
  });

  it('where a tuner may try, though no set is walked over', () => {
    expect(mayAskApart(passesIn('nsa-selection'))).toBe(true);
    expect(mayAskApart(passesIn('causal'))).toBe(false);
  });

  it('unless the mask is so large that its kernel would compile for minutes', () => {
    let mask = x.and(x.compare('le', k, q), inBlocks(64, 64));
    expect(asksApart(tiles(mask))).toBe('blocks');
    for (let i = 0; i < 20; i += 1) mask = x.and(mask, x.compare('ne', q, x.int(i)));
    expect(mayAskApart(tiles(mask))).toBe(false);
    expect(asksApart(tiles(mask))).toBeUndefined();
  });
});

describe('a walk over boxes of 64 keys', () => {
  it('goes by blocks that are whole boxes and the same for 64 rows', () => {
    expect(walkOf(tiles(inBlocks(64, 128))[0]!, 64)).toMatchObject({ form: 'blocks', block: 128 });
    expect(walkOf(tiles(inBlocks(64, 32))[0]!, 64).form).toBe('boxes');
    expect(walkOf(tiles(inBlocks(32, 64))[0]!, 64).form).toBe('boxes');
    expect(walkOf(tiles(inBlocks(64, 32))[0]!, 32).form).toBe('blocks');
  });

  it('leaves the rest of the mask, and only that, to the warps that compute', () => {
    const own = x.compare('le', k, q);
    expect(walkOf(tiles(x.and(own, inBlocks(64, 64)))[0]!, 64).own).toEqual(own);
    const either = x.or(own, inBlocks(64, 64));
    expect(walkOf(tiles(either)[0]!, 64)).toEqual({ form: 'boxes', own: either });
  });
});

describe('a mask split by the rows of a warp', () => {
  it('shares what asks a set and is the same for them', () => {
    const own = x.and(x.compare('le', k, q), x.has('single', [q]));
    const both = splitByRows(x.and(own, x.not(inBlocks(16, 64))), 16)!;
    expect(both.shared).toEqual(x.not(inBlocks(16, 64)));
    expect(both.own).toEqual(own);
    expect(splitByRows(own, 16)).toBeUndefined();
    expect(splitByRows(inBlocks(8, 64), 16)).toBeUndefined();
  });
});
