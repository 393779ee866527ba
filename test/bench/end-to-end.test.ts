// The bench of whole calls without a GPU: that every work of it runs and is right, and what is said of it.

import { afterAll, expect, it } from 'vitest';
import { blockSparse, openDevice } from '../../index.ts';
import type { Report, Result } from './attention/report.ts';
import { againstLines } from './end-to-end/against.ts';
import { uniformBudgets } from './end-to-end/budgets.ts';
import { wholeText } from './end-to-end/report.ts';
import { runWhole, type WholeResult } from './end-to-end/run.ts';
import { tinyWholeWorks, wholeWorks } from './end-to-end/works.ts';

const device = await openDevice('cpu', { threads: 0 });
afterAll(() => device.dispose());

it('runs every work, and rows of each are what the author’s functions say', async () => {
  const results = await runWhole(device, tinyWholeWorks, { rounds: 1, roundMs: 1 });
  expect(results.map(({ failure }) => failure)).toEqual(tinyWholeWorks.map(() => null));
  for (const [i, { name, budgets, denseFrom, fallback, shape }] of tinyWholeWorks.entries()) {
    const one = results[i]!;
    expect(one.work).toBe(name);
    expect(one.ms.length).toBe(1);
    expect(one.error!.out).toBeGreaterThan(0);
    expect(one.denseMs).toHaveLength(1);
    expect(one.denseFrom).toBe(denseFrom);
    expect(one.uniformMs !== undefined).toBe(budgets === 'spread');
    // Budgets that are larger than such prompts have nothing to leave out.
    expect(one.denseHeads).toBe(fallback === 'dense' ? shape.heads : 0);
    expect(one.attentionMs !== undefined).toBe(fallback !== 'dense');
  }
  const dense = results.filter(({ work }) => work.includes('128K')).map((one) => one.denseMs![0]!);
  expect(results.at(-1)!.denseMs![0]! / dense[0]!).toBeCloseTo(64, 6);
}, 120_000);

it('reports a work that fails as such, and goes on', async () => {
  const [first, second] = tinyWholeWorks;
  // Block-sparse has no such budgets.
  const wrong = { ...first!, pattern: blockSparse, budgets: 'planted' } as const;
  const results = await runWhole(device, [wrong, second!], { rounds: 1, roundMs: 1 });
  expect(results[0]!.failure).toContain('T005');
  expect(results[1]!.failure).toBeNull();
  expect(wholeText(results, tinyWholeWorks)).toContain(`${first!.name}: ${results[0]!.failure}`);
});

it('marks what misses its bar', () => {
  const [short] = wholeWorks;
  const result = (ms: number, host: number): WholeResult => ({
    work: short!.name,
    ms: [ms, ms, 100],
    denseMs: [1, 1, 1],
    hostMicroseconds: host,
    denseHeads: 32,
    planted: 0.3,
    error: { out: 1e-3, lse: 1e-4 },
    failure: null,
  });
  const missed = (ms: number, host: number) =>
    wholeText([result(ms, host)], wholeWorks).match(/\)!/g)?.length ?? 0;
  expect([missed(1, 20), missed(1.06, 20), missed(1, 31), missed(1.06, 31)]).toEqual([0, 1, 1, 2]);
});

it('holds a whole call against dense attention of a rival', () => {
  const report = (contender: string, work: string, ms: number): Report => ({
    device: { name: 'a chip', operationsPerCycle: null },
    versions: {},
    date: '2026-11-26',
    results: [{ work, contender, ms: [ms] } as Result],
  });
  const work = 'vertical-slash 128K, planted 10 %';
  const ours = report('warploom', work, 25);
  const line = (ms: number) => againstLines([ours, report('cuDNN', 'causal 128K', ms)], wholeWorks);
  expect(line(250)).toEqual([`${work}: 10.00 (9) times as fast as cuDNN, causal 128K`]);
  expect(line(200)).toEqual([`${work}: 8.00 (9)! times as fast as cuDNN, causal 128K`]);
  expect(againstLines([ours], wholeWorks)).toEqual([]);
});

it('gives the budgets of one head to all', () => {
  expect(uniformBudgets({ verticals: [1, 2], probe: 3 }, 2)).toEqual([
    { verticals: 1, probe: 3 },
    { verticals: 2, probe: 3 },
  ]);
});
