// Pictures hold what plans hold: cells against pairs, and documents that are well-formed and small.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Binding } from '../../../dsl/analysis/binding.ts';
import { BitSet } from '../../../dsl/chosen.ts';
import * as x from '../../../dsl/expression.ts';
import { coarser, kinds, rasterise } from '../../../dsl/picture/grid.ts';
import { regionsOf } from '../../../dsl/picture/regions.ts';
import { drawSvg } from '../../../dsl/picture/svg.ts';
import { drawTerminal } from '../../../dsl/picture/terminal.ts';
import { pairTest } from '../../../dsl/plan/pair-test.ts';
import { planUnit, type UnitPlan } from '../../../dsl/plan/unit.ts';
import { queryOffset } from '../../../dsl/shape.ts';
import { arbitraryCase } from '../../arbitraries.ts';

const [q, k] = [x.index('q'), x.index('k')];
const causal = x.compare('le', k, q);

function aShape(qLen: number, kLen = qLen, sinks = 8, window = 32): UnitPlan {
  const binding: Binding = {
    shape: { batch: 1, heads: 1, kvHeads: 1, qLen, kLen, headDim: 64, valueDim: 64 },
    unit: { batch: 0, head: 0, kvHead: 0 },
    params: { sinks, window },
    captured: {},
    sets: {},
  };
  const close = x.compare('lt', x.binary('sub', q, k), x.param('window', 'int'));
  const mask = x.and(causal, x.or(x.compare('lt', k, x.param('sinks', 'int')), close));
  return planUnit({ binding, mask, qTile: 16, kTile: 16 });
}

/** Columns, and pools of 16 that stand in for what is dropped. */
function gathered(length: number): UnitPlan {
  const columns = new BitSet({ rowFrom: 0, rows: 1, columns: length, arity: 1 });
  for (let key = 3; key < length; key += 17) columns.add(0, key);
  const { binding } = aShape(length);
  const near = x.compare('lt', x.binary('sub', q, k), x.int(20));
  const mask = x.and(causal, x.or(x.has('columns', [k]), near));
  return planUnit({
    binding: { ...binding, sets: { columns } },
    mask,
    qTile: 16,
    kTile: 16,
    gather: 'columns',
    restSize: 16,
  });
}

describe('rasterise', () => {
  test('one cell a pair shows each allowed pair once, and no other as allowed', () => {
    fc.assert(
      fc.property(arbitraryCase({ most: 90 }), ({ mask, binding }) => {
        const plan = planUnit({ binding, mask, qTile: 32, kTile: 32 });
        const { shares, columns, rows } = rasterise(plan, 512);
        const test = pairTest(plan, plan.mask);
        const offset = queryOffset(binding.shape);
        expect([rows, columns]).toEqual([binding.shape.qLen, binding.shape.kLen]);
        for (let row = 0; row < rows; row += 1) {
          for (let key = 0; key < columns; key += 1) {
            const at = row * columns + key;
            const shown = shares.full[at]! + shares.partial[at]! + shares.column[at]!;
            expect(shown).toBe(test(row + offset, key) ? 1 : 0);
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  test('larger cells hold the same area', () => {
    const plan = gathered(200);
    const total = (cells: number) => {
      const grid = rasterise(plan, cells);
      const area = (column: number) => Math.min(grid.scale, 200 - column * grid.scale) * grid.scale;
      return grid.shares.column.reduce((sum, share, i) => sum + share * area(i % grid.columns), 0);
    };
    expect(total(50) / total(512)).toBeCloseTo(1, 3);
  });

  test('coarser averages four cells', () => {
    const grid = rasterise(aShape(64), 64);
    const half = coarser(grid);
    expect([half.rows, half.columns, half.scale]).toEqual([32, 32, 2]);
    for (const kind of kinds) {
      const mean = (list: Float32Array) => list.reduce((a, b) => a + b, 0) / list.length;
      expect(mean(half.shares[kind])).toBeCloseTo(mean(grid.shares[kind]), 5);
    }
  });
});

test('regions cover what the cells show', () => {
  const plan = gathered(160);
  const cells = rasterise(plan, 512).shares;
  for (const join of [false, true]) {
    const regions = regionsOf(plan, { most: 1000, join })!;
    const area = (kind: string) =>
      regions
        .filter((region) => region.kind === kind)
        .reduce((sum, { r0, r1, from, to }) => sum + (r1 - r0) * (to - from), 0);
    const shown = (kind: (typeof kinds)[number]) => cells[kind].reduce((a, b) => a + b, 0);
    expect(area('full')).toBe(shown('full'));
    expect(area('partial')).toBe(shown('partial') + shown('masked'));
    expect(area('column')).toBe(shown('column'));
    expect(area('rest')).toBe(shown('rest'));
  }
  expect(regionsOf(plan, { most: 10, join: false })).toBeUndefined();
});

describe('drawSvg', () => {
  test.each<[string, UnitPlan]>([
    ['short', aShape(48)],
    ['columns and stand-ins', gathered(256)],
    ['more keys than queries', aShape(30, 100)],
    ['more queries than keys', aShape(100, 30)],
    ['no queries', aShape(0, 30)],
    ['no keys', aShape(30, 0)],
    ['long', aShape(40_000, 40_000, 128, 4096)],
  ])('%s: well-formed, bounded, no stray numbers', (_, plan) => {
    const svg = drawSvg(plan, { title: 'a < b & "c"' });
    expect(svg.length).toBeLessThan(400_000);
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
    expect(svg).toContain('a &#60; b &#38; &#34;c&#34;');
    // Every element is closed.
    const open: string[] = [];
    for (const [, slash, name, self] of svg.matchAll(/<(\/?)([a-zA-Z]+)[^>]*?(\/?)>/g)) {
      if (slash) expect(open.pop()).toBe(name);
      else if (!self) open.push(name!);
    }
    expect(open).toEqual([]);
  });

  test('follows the colour scheme of the reader unless told', () => {
    const plan = aShape(32);
    expect(drawSvg(plan, { title: 'a' })).toContain('prefers-color-scheme');
    expect(drawSvg(plan, { title: 'a', theme: 'dark' })).not.toContain('prefers-color-scheme');
  });
});

describe('drawTerminal', () => {
  test('without colour', () => {
    const text = drawTerminal(gathered(256), { title: 'mine', colour: false, columns: 40 });
    expect(text).toMatchInlineSnapshot(`
      "mine  sinks 8, window 32
      34.7 % of the causal pairs visited
           0                             256
          ┌─────────────────────────────────┐
        0 │█▓                               │
          │███▓░                            │
          │╎░███▓░                          │
          │╎░╎░███▓░                        │
          │╎ ╎░╎░███▓░                      │
          │╎ ╎ ╎░╎╎███▓░                    │
          │╎ ╎ ╎ ╎╎░╎███▓░                  │
          │╎ ╎ ╎ ╎╎░╎░╎███▓░                │
          │╎ ╎ ╎ ╎╎ ╎░╎░╎███▓░              │
          │╎ ╎ ╎ ╎╎ ╎ ╎░╎░╎███▓░            │
          │╎ ╎ ╎ ╎╎ ╎ ╎ ╎░╎░╎███▓░          │
          │╎ ╎ ╎ ╎╎ ╎ ╎ ╎ ╎░╎╎░███▓░        │
          │╎ ╎ ╎ ╎╎ ╎ ╎ ╎ ╎ ╎╎░╎░███▓░      │
          │╎ ╎ ╎ ╎╎ ╎ ╎ ╎ ╎ ╎╎ ╎░╎░███▓░    │
          │╎ ╎ ╎ ╎╎ ╎ ╎ ╎ ╎ ╎╎ ╎ ╎░╎░███▓░  │
          │╎ ╎ ╎ ╎╎ ╎ ╎ ╎ ╎ ╎╎ ╎ ╎ ╎░╎░███▓░│
      256 │╎ ╎ ╎ ╎╎ ╎ ╎ ╎ ╎ ╎╎ ╎ ╎ ╎ ╎░╎░██▓│
          └─────────────────────────────────┘
           █ 0 full tiles   ▒ 45 partial   ╎ 15 packed columns   · 1 stand-ins"
    `);
  });

  test('in colour it has the same lines, and ends each one plainly', () => {
    const plan = gathered(256);
    const coloured = drawTerminal(plan, { title: 'mine', columns: 40 }).split('\n');
    const plain = drawTerminal(plan, { title: 'mine', columns: 40, colour: false }).split('\n');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the escapes of colours
    const escapes = /\u001b\[[\d;]*m/g;
    expect(coloured.map((line) => line.replace(escapes, '').length)).toEqual(
      plain.map((line) => line.length),
    );
    for (const line of coloured.filter((one) => one.includes('│'))) expect(line).toMatch(/\[0m│$/);
  });

  test('empty sequences are no trouble', () => {
    for (const plan of [aShape(0, 10), aShape(10, 0), aShape(0, 0)])
      expect(drawTerminal(plan, { title: 'a' })).toContain('0 %');
  });
});
