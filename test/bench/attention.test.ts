// The bench of attention without a GPU: what it counts, what it writes, and that every work of it runs.

import { afterAll, describe, expect, it } from 'vitest';
import { bindParameters } from '../../dsl/given.ts';
import { kvHeadOf } from '../../dsl/shape.ts';
import { openDevice } from '../../index.ts';
import { compileKernel } from '../../runtime/cuda/compiler.ts';
import { arrowsOf } from '../../runtime/reference/arrows.ts';
import { clockKernel, megahertzOf } from './attention/clock.ts';
import { besideLines, compareText } from './attention/compare.ts';
import { drawBlocks } from './attention/draws.ts';
import { groupsOf, ourReport, runOurs } from './attention/ours.ts';
import {
  figuresOf,
  type Report,
  type Result,
  reportSchema,
  reportText,
} from './attention/report.ts';
import { type Call, timeRounds } from './attention/rounds.ts';
import { emptySets } from './attention/sets.ts';
import { numbersOf, shapeOf, subjects } from './attention/subjects.ts';
import { tinyWorks } from './attention/tiny.ts';
import { selectWorks, type Work, works } from './attention/works.ts';

/** Every pair of every head, asked one by one. */
function countedPairs(work: Work): number {
  const subject = subjects[work.subject];
  const { definition } = subject.pattern(work);
  const shape = shapeOf(work);
  const { bound } = bindParameters(definition.name, definition.given, numbersOf(work), work.heads);
  const given = { params: bound, captured: subject.captured?.(work) ?? {} };
  const sets = subject.chosen?.(work) ?? {};
  let pairs = 0;
  for (let head = 0; head < work.heads; head += 1) {
    const unit = { batch: 0, head, kvHead: kvHeadOf(shape, head) };
    const { mask } = arrowsOf(definition, given, sets, shape, unit);
    for (let row = 0; row < work.length; row += 1)
      for (let key = 0; key < work.length; key += 1) if (mask(row, key)) pairs += 1;
  }
  return pairs;
}

const result = (work: string, contender: string, ms: number[], more: Partial<Result> = {}) => ({
  work,
  contender,
  pairs: 1e9,
  headDim: 128,
  ms,
  megahertz: [],
  error: null,
  preparationMs: null,
  failure: null,
  ...more,
});

const report = (results: Result[]): Report => ({
  device: { name: 'a chip', operationsPerCycle: 540_672 },
  versions: { driver: '13.0' },
  date: '2026-11-26',
  results,
});

describe('the works', () => {
  it('have names of their own', () => {
    expect(new Set(works.map(({ name }) => name)).size).toBe(works.length);
  });

  it.each(tinyWorks.map((work) => [work.name, work] as const))(
    'count their pairs: %s',
    (_, work) => {
      expect(subjects[work.subject].pairs(work)).toBe(countedPairs(work));
    },
  );

  it('are selected by parts of their names, and by length', () => {
    const names = (only: string[], quick = false) =>
      selectWorks(works, { only, quick }).map(({ name }) => name);
    expect(names(['a-shape', 'alibi'])).toEqual(['a-shape 32K', 'a-shape 128K', 'alibi 16K']);
    expect(names(['sliding'], true)).toEqual(['sliding-window 16K']);
  });

  it('draw neighbours that share what they should, and heads that differ', () => {
    const work = works.find(({ params }) => params.shared === 0.7)!;
    const sets = emptySets(subjects[work.subject].pattern(work), shapeOf({ ...work, heads: 2 }));
    const [first, second] = sets.blocks!.units;
    for (const [seed, set] of [first!, second!].entries())
      drawBlocks(set, { block: 64, blocks: 100, shared: 0.7 }, seed);
    const above = new Set(first!.members(1500));
    const shared = first!.members(1501).filter((column) => above.has(column));
    expect(first!.members(1501)).toHaveLength(100);
    expect(shared.length).toBeGreaterThanOrEqual(70);
    expect(shared.length).toBeLessThan(85);
    expect(first!.members(1501)).not.toEqual(second!.members(1501));
  });
});

describe('on the CPU', async () => {
  const device = await openDevice('cpu');
  afterAll(() => device.dispose());

  it('runs every work, and finds every result right', async () => {
    const results = await runOurs(device, tinyWorks, { rounds: 2, roundMs: 1, check: true });
    expect(
      results.flatMap(({ work, failure }) => (failure ? [`${work}: ${failure}`] : [])),
    ).toEqual([]);
    const written = JSON.parse(JSON.stringify(ourReport(device, results)));
    const read = reportSchema.parse(written);
    expect(read.results.map(({ work }) => work).sort()).toEqual(
      tinyWorks.map(({ name }) => name).sort(),
    );
    expect(read.results.every(({ ms }) => ms.length === 2)).toBe(true);
    expect(reportText(read)).toContain('tiny soft-cap 16K');
  });

  it('reports a work that fails, and runs the others', async () => {
    const [good, other] = tinyWorks as [Work, Work];
    const bad = { ...other, headDim: 0 };
    const results = await runOurs(device, [bad, good], { rounds: 1, roundMs: 1, check: true });
    expect(results[0]!.failure).toBeTruthy();
    expect(results[0]!.ms).toEqual([]);
    expect(results[1]).toMatchObject({ failure: null, work: good.name });
  });
});

describe('on an emulated GPU', async () => {
  const device = await openDevice('emulated:sm_80');
  afterAll(() => device.dispose());

  it('runs works whose sets and tensors are in its memory', async () => {
    const chosen = selectWorks(tinyWorks, { only: ['documents', '70 % shared'] });
    const results = await runOurs(device, chosen, { rounds: 1, roundMs: 1, check: true });
    expect(results.map(({ failure }) => failure)).toEqual([null, null]);
  }, 180_000);
});

describe('rounds', () => {
  it('time every call once each, and not always after the same one', async () => {
    const made: string[] = [];
    const calls = ['a', 'b', 'c', 'd'].map((name) => async () => void made.push(name));
    const stopwatch = { time: async (call: Call) => call().then(() => ({ ms: 1 })) };
    const timed = await timeRounds(calls, stopwatch, { rounds: 12, roundMs: 1 });
    expect(timed.map((rounds) => rounds.length)).toEqual([12, 12, 12, 12]);
    const rounds = Array.from({ length: 12 }, (_, i) => made.slice(4 + 4 * i, 8 + 4 * i));
    for (const round of rounds) expect(round.toSorted()).toEqual(['a', 'b', 'c', 'd']);
    expect(new Set(rounds.map((round) => round[round.indexOf('d') - 1])).size).toBeGreaterThan(2);
  });
});

describe('the clock', () => {
  it('is read by a kernel that compiles', async () => {
    for (const arch of ['sm_80', 'sm_90a']) {
      const { report: found } = await compileKernel(clockKernel(232_448), arch);
      expect(found.spillStores).toBe(0);
    }
  });

  it('is cycles over nanoseconds, of multiprocessors that were read twice', () => {
    const readings = BigUint64Array.from([
      ...[100n, 5000n, 0n, 0n, 7n, 5000n],
      ...[1600n, 6000n, 9n, 6000n, 1407n, 6000n],
    ]);
    expect(megahertzOf(readings)).toBe(1500);
    expect(megahertzOf(new BigUint64Array(8))).toBeUndefined();
  });
});

describe('reports', () => {
  it('give rates of medians, and their share of the peak at the clock seen', () => {
    const one = result('causal 4K', 'warploom', [2, 1, 9], { megahertz: [1400, 1500, 1600] });
    expect(figuresOf(one, report([]).device)).toEqual({
      ms: 2,
      teraflops: 256,
      megahertz: 1500,
      shareOfPeak: (256 * 1e6) / (540_672 * 1500),
    });
  });

  it('say what failed', () => {
    const failed = result('causal 4K', 'cuDNN', [], { failure: 'RuntimeError: no kernel' });
    expect(reportText(report([failed]))).toBe(
      [
        'a chip, driver 13.0, 2026-11-26',
        '              by  ms  TFLOP/s  MHz  of peak  error',
        'causal 4K  cuDNN   -        -    -        -      -',
        'causal 4K, cuDNN: RuntimeError: no kernel',
      ].join('\n'),
    );
  });

  it('stand side by side with ratios and bars', () => {
    const ours = report([
      result('causal 4K', 'warploom', [2], { megahertz: [1500] }),
      result('a-shape 32K', 'warploom', [4]),
      result('alibi 16K', 'warploom', [4]),
    ]);
    const rivals = report([
      result('causal 4K', 'cuDNN', [2.2]),
      result('a-shape 32K', 'FlexAttention', [6], { preparationMs: 24 }),
      result('alibi 16K', 'FlexAttention', [], { failure: 'no form' }),
    ]);
    expect(compareText([ours, rivals])).toMatchInlineSnapshot(`
      "a chip, driver 13.0, 2026-11-26
      a chip, driver 13.0, 2026-11-26
      warploom        ms  TFLOP/s   MHz  of peak  cuDNN         ratio  FlexAttention         ratio  FlexAttention mask ms
      causal 4K    2.000    256.0  1500   31.6 %  232.7  1.100 (1.05)              -             -                      -
      a-shape 32K  4.000    128.0     -        -      -             -           85.3  1.500 (1.6)!                   24.0
      alibi 16K    4.000    128.0     -        -      -             -              -       - (1.3)                      -
      alibi 16K, FlexAttention: no form"
    `);
  });

  it('time a work in the rounds of the one that it is beside', () => {
    const groups = groupsOf(works).map((group) => group.map(({ name }) => name));
    expect(groups.flat().toSorted()).toEqual(works.map(({ name }) => name).toSorted());
    for (const { name, beside } of works.filter(({ beside }) => beside))
      expect(groups.find((group) => group.includes(name))).toContain(beside!.work);
    const alone = groupsOf(selectWorks(works, { only: ['causal 1M', 'full'] }));
    expect(alone.map((group) => group.length)).toEqual([1, 1]);
  });

  it('hold works beside each other', () => {
    const ours = report([
      result('causal 16K', 'warploom', [4]),
      result('alibi 16K', 'warploom', [4.2]),
      result('soft-cap 16K', 'warploom', [5]),
    ]);
    expect(besideLines(ours)).toEqual([
      'alibi 16K: 0.952 (0.926) of the rate of causal 16K',
      'soft-cap 16K: 0.800 (0.87)! of the rate of causal 16K',
    ]);
  });
});
