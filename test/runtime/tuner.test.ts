// tune() from its first process to the file: on a machine that only counts, whose kernels may hang for real, and on
// the emulator.

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { choiceName } from '../../codegen/attention/choice.ts';
import { DeviceError } from '../../dsl/diagnostic.ts';
import { pattern, tune } from '../../index.ts';
import { causal, verticalSlash } from '../../patterns/index.ts';
import { recordOf, type TuneRecord } from '../../runtime/tuner/record.ts';
import { simulated } from './tuner-start.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'warploom tuned '));
  vi.stubEnv('WARPLOOM_CACHE', folder);
});
afterEach(() => vi.unstubAllEnvs());

const shape = {
  ...{ batch: 1, heads: 2, kvHeads: 1, qLen: 300, kLen: 300 },
  ...{ headDim: 128, valueDim: 128 },
};
const sizes = { shape, dtype: 'bf16' as const };
const linesOf = (file = join(folder, 'tuned.jsonl')): TuneRecord[] =>
  readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => recordOf(line) as TuneRecord);

test('the fastest tile is found and kept, and used by the next as what was best', async () => {
  const phases = new Set<string>();
  const onProgress = ({ phase }: { readonly phase: string }) => phases.add(phase);
  // Of 836 choices, each for 10 ms at least.
  const options = { inputs: sizes, start: simulated(), budgetMs: 40_000 };
  const result = await tune(causal, { ...options, onProgress });
  expect([...phases]).toEqual(['compiling', 'checking', 'timing', 'sustaining', 'done']);
  expect(result).toMatchObject({ isComplete: true, length: '512', pattern: 'causal' });
  expect(result.best.name).toMatch(/^hopper 128x112/);
  expect(result.best.ms!).toBeLessThan(result.untuned.ms!);
  expect(result.file).toBe(join(folder, 'tuned.jsonl'));
  const [line, ...others] = linesOf();
  expect(others).toEqual([]);
  expect(line).toMatchObject({
    kind: 'best',
    choice: result.best.choice,
    chip: 'a chip that counts',
    driver: '13.0',
    isComplete: true,
    shape: [1, 2, 1, 300, 300],
  });
});

test('what hangs, fails or is wrong is written down, and not tried again', async () => {
  const faults = { '128x112': 'hangs', '128x96': 'fails', '192x80': 'wrong' } as const;
  const own = pattern('own')
    .mask(({ q, k }) => k <= q)
    .schedule({ kTile: [128, 112, 96, 80], stages: [2] });
  const options = { inputs: sizes, start: simulated(faults), budgetMs: 10_000 };
  const result = await tune(own, options);
  const states = new Set(
    result.candidates.map(({ name, state }) => `${name.split(',')[0]} ${state}`),
  );
  for (const [tile, state] of Object.entries(faults))
    expect(states).toContain(`hopper ${tile} ${state}`);
  for (const tile of Object.keys(faults)) expect(result.best.name).not.toContain(tile);
  const bad = linesOf().filter(({ kind }) => kind === 'bad');
  expect(bad.length).toBeGreaterThanOrEqual(3);
  const again = await tune(own, options);
  const names = new Set(again.candidates.map(({ name }) => name));
  for (const { choice } of bad) expect(names).not.toContain(choiceName(choice));
}, 120_000);

test('an untuned kernel that is wrong makes room for the next of the table', async () => {
  const own = pattern('own').mask(({ q, k }) => k <= q);
  const start = simulated({ '128x128': 'wrong' });
  const result = await tune(own, { inputs: sizes, start, budgetMs: 15_000 });
  expect(result.untuned.name).toMatch(/^hopper 128x96/);
  expect(linesOf()[0]).toMatchObject({ kind: 'bad', why: 'wrong' });
});

test('a folder that cannot be costs one warning, and not what was found', async () => {
  vi.stubEnv('WARPLOOM_CACHE', '/proc/warploom');
  const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
  const result = await tune(causal, { inputs: sizes, start: simulated() });
  const warnings = warn.mock.calls.map(([what]) => String(what));
  warn.mockRestore();
  expect(result.file).toBeUndefined();
  expect(result.best.rounds).toBeGreaterThan(0);
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toMatch(
    /^what was tuned cannot be kept in .*: .* no folder can be made in '\/proc'$/,
  );
});

test('Ctrl-C keeps what was measured', async () => {
  const path = (file: string) => JSON.stringify(join(import.meta.dirname, file));
  const script = `
    import { tune } from ${path('../../runtime/tuner/tune.ts')};
    import { causal } from ${path('../../patterns/index.ts')};
    import { simulated } from ${path('./tuner-start.ts')};
    const stopping = new AbortController();
    process.on('SIGINT', () => { stopping.abort(); process.exit(130); });
    const inputs = ${JSON.stringify(sizes)};
    let isSaid = false;
    await tune(causal, { inputs, start: simulated(), signal: stopping.signal, onProgress: ({ untuned }) => {
      if (untuned.rounds < 30 || isSaid) return;
      isSaid = true;
      console.log('now');
    } });`;
  const loader = new URL('../../node_modules/tsx/dist/loader.mjs', import.meta.url).href;
  const args = ['--import', loader, '--input-type=module', '-e', script];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  child.stdout.on('data', () => child.kill('SIGINT'));
  expect(await new Promise((resolve) => child.on('close', resolve))).toBe(130);
  expect(linesOf()).toMatchObject([{ kind: 'best', isComplete: false }]);
});

test('a signal ends the search with what there is', async () => {
  const stopping = new AbortController();
  const onProgress = ({ untuned }: { readonly untuned: { readonly rounds: number } }) => {
    if (untuned.rounds > 20) stopping.abort();
  };
  const options = { inputs: sizes, start: simulated(), signal: stopping.signal, onProgress };
  const { isComplete, best, file } = await tune(causal, options);
  expect([isComplete, best.rounds > 0]).toEqual([false, true]);
  expect(linesOf(file)).toMatchObject([{ kind: 'best', isComplete: false }]);
});

test.each([
  ['the CPU', causal, 'cpu', /R013.*the CPU has no kernels/],
  [
    'a stated tile',
    pattern('own')
      .mask(({ q, k }) => k <= q)
      .schedule({ qTile: 64, kTile: 32 }),
    'cuda',
    /R013.*states its tile/,
  ],
  ['a device that is not there', causal, 'cuda:7', /R002[\s\S]*tuning needs a GPU/],
])('%s is nothing to tune', async (_, own, device, says) => {
  const tuning = tune(own, { inputs: sizes, device });
  await expect(tuning).rejects.toThrow(DeviceError);
  await expect(tuning).rejects.toThrow(says);
});

test('tensors that are no numbers blame no kernel', async () => {
  const start = simulated({
    '128x128': 'blank',
    '128x96': 'blank',
    '128x64': 'blank',
    '64x64': 'blank',
  });
  const tuning = tune(causal, { inputs: sizes, start });
  await expect(tuning).rejects.toThrow(/R013.*not written, or is not a number/);
  expect(existsSync(join(folder, 'tuned.jsonl'))).toBe(false);
});

test('sets that a pattern chooses are chosen once, on the device', async () => {
  const result = await tune(verticalSlash.schedule({ kTile: [128, 112] }), {
    inputs: sizes,
    params: { verticals: 10, slashes: 16 },
    start: simulated(),
  });
  expect(result.isComplete).toBe(true);
  // Columns are gathered by both back-ends.
  expect(result.best.name).toMatch(/^hopper 128x112/);
});

test('the emulator runs all of it, and its times are nobody’s', async () => {
  const small = { ...shape, qLen: 70, kLen: 70, headDim: 16, valueDim: 16 };
  const own = pattern('own')
    .mask(({ q, k }) => k <= q && q - k < 40)
    .schedule({ qTile: 64, kTile: 16, stages: [1, 2] });
  const inputs = { shape: small, dtype: 'bf16' as const };
  const device = 'emulated:sm_80';
  const { candidates, chip, file } = await tune(own, { inputs, device, budgetMs: 60_000 });
  expect([chip, file]).toEqual([undefined, undefined]);
  expect(candidates.length).toBeGreaterThan(2);
  for (const { state, why } of candidates) {
    expect(why).toBeUndefined();
    expect(['racing', 'slower']).toContain(state);
  }
}, 120_000);
