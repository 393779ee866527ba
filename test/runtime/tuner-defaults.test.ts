// The table of defaults as the output of searches: which ones are made, what becomes of their winners, and the file.

import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { ofHopper, ofPortable } from '../../codegen/attention/choice.ts';
import { hopperCandidates } from '../../codegen/attention/hopper/candidates.ts';
import { rows } from '../../codegen/attention/hopper/defaults.ts';
import { hopperTile } from '../../codegen/attention/hopper/knobs.ts';
import type { DefaultRow } from '../../codegen/attention/hopper/plan-forms.ts';
import { tileCandidates } from '../../codegen/attention/tiles.ts';
import { type Tensor, tensor } from '../../index.ts';
import { blockSparse, causal } from '../../patterns/index.ts';
import { defaultsText, merged, tuneDefaults } from '../../runtime/tuner/defaults.ts';
import type { TuneResult } from '../../runtime/tuner/result.ts';
import type { TuneOptions, tune } from '../../runtime/tuner/tune.ts';

const chip = { chip: 'H100', driver: '13.0' };
const wide = hopperTile(2, 176, { qBuffers: 1, work: 'longest' });

/** Searches of ten seconds that have one winner for long calls and another for short ones. */
function simulated(results: Partial<TuneResult>[] = []) {
  const asked: string[] = [];
  let ms = Date.UTC(2026, 10, 26);
  const search = (async (pattern: { name: string }, { inputs, budgetMs }: TuneOptions) => {
    const { headDim, kLen, heads } = (inputs as { shape: TuneResult['shape'] }).shape;
    asked.push(`${pattern.name} ${headDim} ${kLen} ${heads} ${Math.round(budgetMs! / 1000)}`);
    ms += 10_000;
    const choice = ofHopper(kLen > 50_000 ? wide : hopperTile(2, 128));
    const own = results[asked.length - 1];
    if (own instanceof Error) throw own;
    return { chip, best: { choice, rounds: 5 }, ...own } as TuneResult;
  }) as never;
  return { asked, options: { search, now: () => new Date(ms) } };
}

test('each form, dimension and length is searched with a share of the time that is left', async () => {
  const { asked, options } = simulated();
  const found = await tuneDefaults({
    ...options,
    works: [
      { form: 'ranges', pattern: causal, group: 1 },
      { form: 'blocks', pattern: blockSparse, group: 4 },
    ],
    ...{ dims: [128, 256], lengths: [16_384, 131_072], budgetMs: 42_000 },
  });
  expect(asked).toEqual([
    'causal 128 16384 32 5',
    'block-sparse 128 16384 32 5',
    'causal 256 16384 16 5',
    'block-sparse 256 16384 16 5',
  ]);
  expect(found.map(({ form, dim, upTo, measured }) => [form, dim, upTo, measured])).toEqual([
    ['ranges', 128, 32_768, 'H100, driver 13.0, warploom tune, 2026-11-26'],
    ['blocks', 128, 32_768, 'H100, driver 13.0, warploom tune, 2026-11-26'],
    ['ranges', 256, 32_768, 'H100, driver 13.0, warploom tune, 2026-11-26'],
    ['blocks', 256, 32_768, 'H100, driver 13.0, warploom tune, 2026-11-26'],
  ]);
});

test('calls have the sets and tensors that are drawn for them, and heads whose queries host memory has room for', async () => {
  const calls: TuneOptions['inputs'][] = [];
  const { options } = simulated();
  const search = (async (pattern, call) => {
    calls.push(call.inputs);
    return (options.search as typeof tune)(pattern, call);
  }) as typeof tune;
  await tuneDefaults({
    ...{ ...options, search },
    works: [
      {
        ...{ form: 'blocks', pattern: blockSparse, group: 4 },
        chosen: ({ heads, kLen }) => ({ drawn: `${heads} ${kLen}` }) as never,
        captured: ({ heads }) => ({ slopes: tensor(new Float32Array(heads)) }),
      },
    ],
    ...{ dims: [128, 256], lengths: [131_072, 2 ** 20, 2 ** 23], budgetMs: 1e6 },
  });
  expect(
    calls.map(({ shape, chosen, slopes }) => {
      const { heads, kvHeads, headDim } = shape as TuneResult['shape'];
      expect((slopes as Tensor).shape).toEqual([heads]);
      return [headDim, heads, kvHeads, (chosen as unknown as { drawn: string }).drawn];
    }),
  ).toEqual([
    [128, 32, 8, '32 131072'],
    [256, 16, 4, '16 131072'],
    [128, 8, 2, '8 1048576'],
    [256, 4, 1, '4 1048576'],
    [128, 4, 1, '4 8388608'],
    [256, 4, 1, '4 8388608'],
  ]);
});

test('what is no tile of Hopper, of no chip or not compared has no row, and an error ends nothing', async () => {
  const portable = ofPortable(tileCandidates(128, 128)[0]!);
  const { options } = simulated([
    { best: { choice: portable, rounds: 5 } as never },
    { chip: undefined },
    { best: { choice: ofHopper(wide), rounds: 0 } as never },
    new Error('no room') as never,
    {},
  ]);
  const failures: string[] = [];
  const found = await tuneDefaults({
    ...options,
    works: [{ form: 'ranges', pattern: causal, group: 1 }],
    ...{ dims: [64, 96, 128, 192, 256], lengths: [131_072], budgetMs: 1e6 },
    onFailure: (name) => failures.push(name),
  });
  expect(found.map(({ dim, upTo, knobs }) => [dim, upTo, knobs])).toEqual([
    [256, Number.POSITIVE_INFINITY, wide],
  ]);
  expect(failures).toEqual(['causal, dimension 192, 131072 keys']);
});

test('a signal ends it with what there is', async () => {
  const controller = new AbortController();
  const { options } = simulated();
  const found = await tuneDefaults({
    ...options,
    works: [{ form: 'ranges', pattern: causal, group: 1 }],
    ...{ dims: [64, 128], lengths: [4096], budgetMs: 1e6, signal: controller.signal },
    onResult: () => controller.abort(),
  });
  // Short calls say nothing about all longer ones.
  expect(found.map(({ dim, upTo }) => [dim, upTo])).toEqual([[64, 8192]]);
});

test('what gains less than a hundredth leaves the row as it is, with the day on which it was held against others', async () => {
  const untuned = { choice: ofHopper(hopperTile(2, 96)), rounds: 9 };
  const best = (ratio: number, sustained?: number) => ({
    ...{ choice: ofHopper(wide), rounds: 5, ratio },
    ...(sustained && { sustained: { ratio: sustained } }),
  });
  const { options } = simulated(
    [best(0.98), best(0.995), best(0.98, 0.996), best(0.995, 0.97)].map(
      (one) => ({ best: one, untuned }) as never,
    ),
  );
  const found = await tuneDefaults({
    ...options,
    works: [{ form: 'ranges', pattern: causal, group: 1 }],
    ...{ dims: [64, 96, 128, 192], lengths: [4096], budgetMs: 1e6 },
  });
  const [old, other] = [untuned.choice.knobs, wide];
  expect(found.map(({ knobs }) => knobs)).toEqual([other, old, old, other]);
  for (const { measured } of found) expect(measured).toContain('2026-11-26');
});

test('rows that are measured replace their own, one that says the same is one, and the file is what is shipped', () => {
  const row = { form: 'ranges', dim: 128, knobs: wide, measured: "someone's" } as const;
  const ofRanges = (all: readonly DefaultRow[]) =>
    all
      .filter(({ form, dim }) => form === 'ranges' && dim === 128)
      .map(({ upTo, knobs }) => [upTo, knobs]);
  const measured = [
    { ...row, upTo: Number.POSITIVE_INFINITY },
    { ...row, upTo: 4096 },
    { ...row, upTo: 8192, knobs: hopperTile(3, 80) },
    { ...row, upTo: 32_768 },
  ];
  const table = merged(rows, measured);
  expect(ofRanges(table)).toEqual([
    [4096, wide],
    [8192, hopperTile(3, 80)],
    [Number.POSITIVE_INFINITY, wide],
  ]);
  const others = (all: readonly DefaultRow[]) => all.length - ofRanges(all).length;
  expect(others(table)).toBe(others(rows));
  expect(defaultsText(measured.slice(1, 2))).toContain(
    "upTo: 4096, knobs: hopperTile(2, 176, { qBuffers: 1, work: 'longest' }), measured: 'someones' }",
  );
  const shipped = new URL('../../codegen/attention/hopper/defaults.ts', import.meta.url);
  expect(defaultsText(merged(rows, []))).toBe(readFileSync(shipped, 'utf8'));
});

test('a dimension has the row of the next larger one, then smaller tiles', () => {
  const names = hopperCandidates(80, 80).map(({ qTile, kTile }) => `${qTile}x${kTile}`);
  expect(names).toEqual(['192x112', '128x128', '128x96', '128x64', '128x48']);
  expect(hopperCandidates(128, 128, 1000, 'distances')[0]).toMatchObject({ boxes: 3 });
  expect(hopperCandidates(128, 128, 1000, 'shared')[0]).toMatchObject({ headsPerTile: 4 });
  // A form without rows of that dimension has those of plain ranges.
  expect(hopperCandidates(256, 256, 1000, 'another' as never)).toEqual(
    hopperCandidates(256, 256, 1000),
  );
});
