// `warploom tune`: what it says, and the table that it draws meanwhile. That it finds the fastest is tested in
// test/runtime/tuner*.test.ts.

import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { legalKnobs } from '../../codegen/attention/legal.ts';
import { pattern } from '../../index.ts';
import { fromMInference } from '../../patterns/index.ts';
import { perform } from '../../runtime/commands/index.ts';
import { Terminal } from '../../runtime/commands/terminal.ts';
import { budgetFrom, progressText } from '../../runtime/commands/tune.ts';
import { Standing } from '../../runtime/tuner/standing.ts';
import { folder, say, warploom } from './command.ts';

const emulated = ['--random', '1,2,70,16', '--device', 'emulated:sm_80', '--budget', '60s'];
const source = `
import { byHead, pattern } from 'warploom';
const near = pattern('near').mask(({ q, k }) => k <= q && q - k < 40);
export const listed = near.schedule({ qTile: 64, kTile: 16, stages: [1, 2] });
export const stated = near.schedule({ qTile: 64, kTile: 16, stages: 1, warps: 4 });
export const heads = byHead([near, listed]);
`;
const file = `${folder({ 'mine.ts': source })}/mine.ts`;

test('all candidates as data, and where the winner is kept', async () => {
  const { code, out, err } = await warploom('tune', `${file}#listed`, ...emulated, '--json');
  expect([code, err]).toEqual([0, expect.not.stringMatching(/error|fault/)]);
  const result = JSON.parse(out);
  expect(result).toMatchObject({ pattern: 'near', length: '128', dtype: 'bf16' });
  expect(result.shape).toMatchObject({ heads: 2, kvHeads: 2, qLen: 70, kLen: 70, headDim: 16 });
  expect(result.file).toBeUndefined();
  for (const { name, rounds, ratio } of result.candidates) {
    expect(name).toMatch(/^portable 64x16, [24] warps/);
    expect([rounds > 0, ratio > 0]).toEqual([true, true]);
  }
}, 120_000);

test('in words', async () => {
  const { code, out } = await warploom('tune', `${file}#listed`, ...emulated);
  expect(code).toBe(0);
  expect(out).toMatch(/^of untuned +(alone +)?time +rounds +state +kernel$/m);
  expect(out).toMatch(/^best {6}portable 64x16/m);
  expect(out).toMatch(/^kept {6}nowhere: times of this device mean nothing$/m);
}, 120_000);

test('Ctrl-C leaves what was measured on the screen', async () => {
  const err = Object.assign(new PassThrough(), { isTTY: true, columns: 200 });
  const stopping = new AbortController();
  const said: string[] = [];
  err.on('data', (data) => {
    said.push(String(data));
    if (said.at(-1)!.includes('of untuned')) stopping.abort();
  });
  const listed = pattern('listed')
    .mask(({ q, k }) => k <= q && q - k < 40)
    .schedule({ qTile: 64, kTile: 16, stages: [1, 2] });
  const terminal = new Terminal(new PassThrough(), err);
  const { signal } = stopping;
  const patterns = new Map([['listed', listed]]);
  const setting = { patterns, readHeads: fromMInference, modules: {} };
  await perform(['tune', 'listed', ...emulated], { ...setting, terminal, signal });
  // What is drawn over has no newline of its own.
  const [left] = said.filter((text) => text.includes('of untuned') && text.endsWith('\n'));
  expect(left).toMatch(/^timing, .*\nof untuned +time .*\n[\d.]+ % .* portable .*\n/);
}, 120_000);

test.each([
  ['a stated tile', ['#stated'], 1, /R013.*states its tile/],
  ['several patterns', ['#heads'], 2, /a kernel for each\n.*one by one: near/],
])('%s is nothing to tune', async (_, [name], code, says) => {
  const ended = await warploom('tune', `${file}${name}`, ...emulated);
  expect(ended.code).toBe(code);
  expect(ended.err).toMatch(says);
});

test('the CPU is nothing to tune', async () => {
  const { code, err } = await say('tune', 'causal', '--random', '1,1,64,16', '--device', 'cpu');
  expect(code).toBe(1);
  expect(err).toMatch(/R013.*the CPU has no kernels to tune/);
});

test('a budget has a unit', () => {
  expect(['30s', '2m', '500ms', '1.5s'].map(budgetFrom)).toEqual([30_000, 120_000, 500, 1500]);
  for (const text of ['30', 's', '-3s', '0s', '3h']) expect(() => budgetFrom(text)).toThrow(/30s/);
});

const chip = { arch: 'sm_90a', blockSharedBytes: 232_448 };
const standings = legalKnobs({ headDim: 64, valueDim: 64, ...chip })
  .slice(0, 30)
  .map((choice) => new Standing(choice));
const [untuned, faster, hung] = standings as [Standing, Standing, Standing];
untuned.end('slower');
untuned.add(4, 1);
faster.end('racing');
faster.add(3, 0.75);
hung.end('hangs', 'no answer');

test('the live table has the fastest first, and the whole story in its first line', () => {
  const elapsedMs = 12_000;
  const progress = { phase: 'timing', elapsedMs, standings, untuned, best: faster } as const;
  const [first, , second, third, ...others] = progressText(progress, 30_000).split('\n');
  expect(first).toBe(
    `timing, 12 s of 30 s: best ${faster.name}; 1 racing, 1 slower, 1 hangs, 27 waiting`,
  );
  expect(second).toMatch(/^75\.0 % +3\.0 ms +1 +racing {2}hopper/);
  expect(third).toMatch(/100 %/);
  expect(others).toEqual([]);
});

test('what was timed alone has a column of its own', () => {
  const [pace, first, last] = [untuned, faster, hung].map(({ choice }) => new Standing(choice));
  for (const [standing, ratio] of [
    [pace!, 1],
    [first!, 0.75],
    [last!, 0.9],
  ] as const) {
    standing.end('racing');
    standing.add(4 * ratio, ratio);
  }
  pace!.sustained.add(5, 1);
  first!.sustained.add(4.1, 0.82);
  const common = { phase: 'done', elapsedMs: 12_000, untuned: pace!, best: first! } as const;
  const progress = { ...common, standings: [pace!, first!, last!] };
  const lines = progressText(progress, 30_000).split('\n').slice(1);
  expect(lines.map((line) => line.split(/ {2,}/).slice(0, 3))).toEqual([
    ['of untuned', 'alone', 'time'],
    ['75.0 %', '82.0 %', '4.1 ms'],
    ['90.0 %', '3.6 ms', '1'],
    ['100 %', '100 %', '5.0 ms'],
  ]);
});

test('a screen is drawn over, a log gets lines', () => {
  for (const isTTY of [true, false]) {
    const err = Object.assign(new PassThrough(), { isTTY, columns: 20 });
    const live = new Terminal(new PassThrough(), err).live('preparing');
    live.update(() => 'first line, which is too long for it\nsecond');
    live.done();
    const text = String(err.read() ?? '');
    if (isTTY) {
      expect(text).toContain('preparing');
      expect(text).toContain('first line, which i\nsecond');
      // Up one line, and everything below is gone.
      expect(text.endsWith('\u001b[1A\u001b[0J')).toBe(true);
    } else expect(text).toBe('');
  }
});
