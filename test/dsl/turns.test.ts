// Work in turns tells shares of the whole that never go back.

import { expect, it } from 'vitest';
import * as x from '../../dsl/expression.ts';
import { svgTurns } from '../../dsl/picture/svg.ts';
import { terminalTurns } from '../../dsl/picture/terminal.ts';
import { launchTurns } from '../../dsl/plan/explain.ts';
import { planUnit } from '../../dsl/plan/unit.ts';
import { atOnce, between, partOf, type Turns } from '../../dsl/turns.ts';

function* halves(): Turns<string> {
  yield 0;
  yield 0.5;
  return 'done';
}

const toldBy = (turns: Turns<unknown>): number[] => [...turns];

it('parts of longer work tell of the whole', () => {
  expect(toldBy(partOf(halves(), 1, 4))).toEqual([0.25, 0.375]);
  expect(toldBy(between(halves(), 0.5, 1))).toEqual([0.5, 0.75]);
  expect(atOnce(partOf(halves(), 1, 4))).toBe('done');
});

const [q, k] = [x.index('q'), x.index('k')];
const length = 30_000;
const plan = planUnit({
  binding: {
    shape: { batch: 1, heads: 1, kvHeads: 1, headDim: 8, valueDim: 8, qLen: length, kLen: length },
    unit: { batch: 0, head: 0, kvHead: 0 },
    params: {},
    captured: {},
    sets: {},
  },
  mask: x.and(
    x.compare('le', k, q),
    x.compare('eq', x.binary('rem', x.binary('bitxor', q, k), x.int(3)), x.int(1)),
  ),
  qTile: 64,
  kTile: 64,
});

it.each([
  ['an explanation', () => launchTurns([plan], { rowBytes: 8, mostVisits: 2 ** 12, exact: true })],
  ['an SVG', () => svgTurns(plan, { title: 'bits', mostVisits: 2 ** 12 })],
  ['a picture in text', () => terminalTurns(plan, { title: 'bits', mostVisits: 2 ** 12 })],
] as const)('%s comes nearer all the time', (_, begin) => {
  const told = toldBy(begin());
  expect(told.length).toBeGreaterThan(100);
  expect(told.every((share, i) => share >= (told[i - 1] ?? 0) && share <= 1)).toBe(true);
});
