// The file of tuned knobs: the last word counts, damage is left out, processes do not get in each other's way;
// and which kernel a call then has.

import { spawn } from 'node:child_process';
import { appendFileSync, existsSync, mkdtempSync, readFileSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type Choice, choiceName, ofHopper, ofPortable } from '../../codegen/attention/choice.ts';
import { hopperCandidates } from '../../codegen/attention/hopper/candidates.ts';
import { legalKnobs } from '../../codegen/attention/legal.ts';
import { classOf, lengthClass } from '../../codegen/attention/lengths.ts';
import { statedText } from '../../codegen/attention/stated.ts';
import { pattern } from '../../index.ts';
import { causal } from '../../patterns/index.ts';
import { type KernelRequest, specOf } from '../../runtime/cuda/kernel-request.ts';
import { chooseKernel } from '../../runtime/cuda/kernels.ts';
import type { Machine } from '../../runtime/cuda/machine.ts';
import { kernelId, textId } from '../../runtime/tuner/key.ts';
import { type BadRecord, type BestRecord, recordVersion } from '../../runtime/tuner/record.ts';
import { TunedStore } from '../../runtime/tuner/store.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'warploom tuned '));
  vi.stubEnv('WARPLOOM_CACHE', folder);
  vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
});
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

const chip = { chip: 'NVIDIA H100 80GB HBM3', driver: '13.0' };
const choices = legalKnobs({
  headDim: 64,
  valueDim: 64,
  arch: 'sm_90a',
  blockSharedBytes: 232_448,
});

const common = (choice: Choice, kernel: string) => ({
  version: recordVersion as typeof recordVersion,
  kernel,
  pattern: 'causal',
  headDim: 64,
  valueDim: 64,
  dtype: 'bf16' as const,
  ...chip,
  at: '2026-11-26T12:00:00.000Z',
  choice,
});
const bestRecord = (choice: Choice, kernel = 'k', length = '4096'): BestRecord => ({
  kind: 'best',
  ...common(choice, kernel),
  length,
  ms: 1,
  untunedMs: 2,
  rounds: 15,
  shape: [1, 8, 8, 4096, 4096],
  isComplete: true,
});
const badRecord = (choice: Choice, text: string, kernel = 'k'): BadRecord => ({
  kind: 'bad',
  ...common(choice, kernel),
  why: 'hangs',
  detail: 'no answer in 2000 ms',
  text,
});

describe('the store', () => {
  test('is read by another as it was written: the last line about a call counts', () =>
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(choices.length - 1), fc.nat(3), fc.constantFrom('64', '4096'))),
        (lines) => {
          const own = new TunedStore(mkdtempSync(join(tmpdir(), 'warploom tuned ')));
          const wanted = new Map<string, Choice>();
          for (const [at, kernel, length] of lines) {
            own.append(bestRecord(choices[at]!, `k${kernel}`, length));
            wanted.set(`k${kernel} ${length}`, choices[at]!);
          }
          const other = new TunedStore(join(own.file, '..'));
          for (const kernel of ['k0', 'k1', 'k2', 'k3'])
            for (const length of ['64', '4096']) {
              const key = { ...chip, kernel, length };
              const choice = wanted.get(`${kernel} ${length}`);
              expect(other.best(key)?.choice).toEqual(choice);
              expect(own.best(key)?.choice).toEqual(choice);
              expect(own.best({ ...key, driver: '12.8' })).toBeUndefined();
              expect(own.best({ ...key, chip: 'NVIDIA A100' })).toBeUndefined();
            }
        },
      ),
      { numRuns: 50 },
    ));

  test('leaves out damaged lines with a note, and reads the others', () =>
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            fc.constant('good'),
            fc.constantFrom('{"kind":"best"', 'nonsense', '{"version":1}', '[]', '\u0000\u0001'),
          ),
          { minLength: 1, maxLength: 12 },
        ),
        (lines) => {
          const own = new TunedStore(mkdtempSync(join(tmpdir(), 'warploom tuned ')));
          for (const [i, line] of lines.entries()) {
            if (line === 'good') own.append(bestRecord(choices[i]!, `k${i}`));
            else appendFileSync(own.file, `${line}\n`);
          }
          expect(own.damaged).toEqual(lines.flatMap((line, i) => (line === 'good' ? [] : [i + 1])));
          for (const [i, line] of lines.entries()) {
            const key = { ...chip, kernel: `k${i}`, length: '4096' };
            expect(own.best(key)?.choice).toEqual(line === 'good' ? choices[i] : undefined);
          }
        },
      ),
      { numRuns: 50 },
    ));

  test('a line that a crash cut off takes no other along', () => {
    const own = new TunedStore(folder);
    own.append(bestRecord(choices[0]!));
    own.append(bestRecord(choices[1]!, 'l'));
    truncateSync(own.file, readFileSync(own.file).length - 30);
    own.append(bestRecord(choices[2]!, 'm'));
    expect(own.damaged).toEqual([2]);
    expect(own.best({ ...chip, kernel: 'k', length: '4096' })?.choice).toEqual(choices[0]);
    expect(own.best({ ...chip, kernel: 'm', length: '4096' })?.choice).toEqual(choices[2]);
    expect(process.emitWarning).toHaveBeenCalledTimes(1);
  });

  test('lines of another version are not ours to judge', () => {
    const own = new TunedStore(folder);
    own.append({ ...bestRecord(choices[0]!), version: 2 as 1 });
    expect(own.best({ ...chip, kernel: 'k', length: '4096' })).toBeUndefined();
    expect(own.damaged).toEqual([]);
  });

  test('without a file nothing is tuned, and nothing is made', () => {
    const own = new TunedStore(join(folder, 'nowhere'));
    expect(own.best({ ...chip, kernel: 'k', length: '4096' })).toBeUndefined();
    expect(own.isBad('t', chip)).toBe(false);
    expect(existsSync(join(folder, 'nowhere'))).toBe(false);
  });

  test('processes that append at one time lose no line', async () => {
    const own = new TunedStore(folder);
    own.append(bestRecord(choices[0]!));
    const line = `${JSON.stringify(bestRecord(choices[1]!, 'KERNEL'))}`;
    const module = join(import.meta.dirname, '../../runtime/tuner/store.ts');
    const script = `
      import { TunedStore } from ${JSON.stringify(module)};
      const store = new TunedStore(${JSON.stringify(folder)});
      for (let i = 0; i < 100; i += 1)
        store.append(JSON.parse(${JSON.stringify(line)}.replace('KERNEL', process.argv[1] + '-' + i)));`;
    const loader = new URL('../../node_modules/tsx/dist/loader.mjs', import.meta.url).href;
    const writers = ['a', 'b', 'c'].map(
      (name) =>
        new Promise<number | null>((resolve) => {
          const args = ['--import', loader, '--input-type=module', '-e', script, name];
          spawn(process.execPath, args, { stdio: 'inherit' }).on('close', resolve);
        }),
    );
    expect(await Promise.all(writers)).toEqual([0, 0, 0]);
    expect(own.damaged).toEqual([]);
    for (const name of ['a', 'b', 'c'])
      for (let i = 0; i < 100; i += 1)
        expect(own.best({ ...chip, kernel: `${name}-${i}`, length: '4096' })).toBeDefined();
  });
});

describe('the kernel of a call', () => {
  const machine = (facts: Partial<Awaited<ReturnType<Machine['facts']>>> = {}): Machine =>
    ({
      name: 'cuda:0',
      arch: 'sm_90a',
      blockSharedBytes: 232_448,
      chip,
      facts: async () => ({ registers: 168, spillBytes: 0, isSerialized: false, ...facts }),
    }) as Partial<Machine> as Machine;
  const requestOf = ({ definition } = causal as { definition: unknown }): KernelRequest => ({
    definition: definition as KernelRequest['definition'],
    numbers: {},
    graph: {},
    shape: { headDim: 64, valueDim: 64, dtype: 'bf16' },
    segments: false,
    lengths: { qLen: 4000, kLen: 4000 },
  });
  const idOf = (request: KernelRequest) =>
    kernelId(specOf(request), statedText(request.definition.knobs));
  const chosen = async (request: KernelRequest, own = machine()) => {
    const { choice, isTuned } = await chooseKernel(request, own);
    return { choice: choiceName(choice), isTuned };
  };
  const tiles = hopperCandidates(64, 64, 4000, 'causal');
  const untuned = choiceName(ofHopper(tiles[0]!));
  const other = ofHopper({ ...tiles[1]!, kTile: 96 });

  test('is the winner, of the same lengths, chip and driver alone', async () => {
    const request = requestOf();
    expect(await chosen(request)).toEqual({ choice: untuned, isTuned: false });
    new TunedStore(folder).append(bestRecord(other, idOf(request)));
    expect(await chosen(request)).toEqual({ choice: choiceName(other), isTuned: true });
    for (const lengths of [{ qLen: 4097, kLen: 4097 }, { qLen: 64, kLen: 4096 }, undefined])
      expect(await chosen({ ...request, lengths })).toEqual({ choice: untuned, isTuned: false });
    const old = { ...machine(), chip: { ...chip, driver: '12.8' } };
    expect((await chosen(request, old)).isTuned).toBe(false);
    vi.stubEnv('WARPLOOM_TUNED', 'off');
    expect((await chosen(request)).isTuned).toBe(false);
  });

  test('of the same mask by another name is the same', () => {
    const renamed = pattern('another').mask(({ q: row, k: key }) => key <= row);
    expect(idOf(requestOf(renamed))).toBe(idOf(requestOf()));
    const fp16 = { ...requestOf(), shape: { headDim: 64, valueDim: 64, dtype: 'fp16' as const } };
    expect(idOf(fp16)).not.toBe(idOf(requestOf()));
  });

  test('is what its author states, or the winner among what the author lists', async () => {
    const stated = pattern('stated')
      .mask(({ q, k }) => k <= q)
      .schedule({ kTile: 64 });
    const listed = pattern('listed')
      .mask(({ q, k }) => k <= q)
      .schedule({ kTile: [64, 96] });
    const store = new TunedStore(folder);
    for (const one of [stated, listed]) store.append(bestRecord(other, idOf(requestOf(one))));
    expect(await chosen(requestOf(stated))).toMatchObject({ isTuned: false });
    expect(await chosen(requestOf(listed))).toEqual({ choice: choiceName(other), isTuned: true });
  });

  test('is never one that failed, hung or was wrong, tuned or not', async () => {
    const request = requestOf();
    const store = new TunedStore(folder);
    store.append(bestRecord(other, idOf(request)));
    const first = await chooseKernel(request, machine());
    store.append(badRecord(other, textId(first.kernel), idOf(request)));
    const second = await chooseKernel(request, machine());
    expect(choiceName(second.choice)).toBe(untuned);
    store.append(badRecord(second.choice, textId(second.kernel), idOf(request)));
    const third = await chosen(request);
    expect([untuned, choiceName(other)]).not.toContain(third.choice);
  });

  test('is a default where the file names what cannot be, or the compiler refuses the winner', async () => {
    const request = requestOf();
    const store = new TunedStore(folder);
    store.append(bestRecord(ofHopper({ ...tiles[0]!, kTile: 256 }), idOf(request)));
    expect(await chosen(request)).toEqual({ choice: untuned, isTuned: false });
    store.append(bestRecord(ofPortable({ ...choices.at(-1)!.knobs, qTile: 24 }), idOf(request)));
    expect(await chosen(request)).toEqual({ choice: untuned, isTuned: false });
    store.append(bestRecord(other, idOf(request)));
    let count = 0;
    const facts = async () => {
      count += 1;
      if (count === 1) throw new Error('refused');
      return { registers: 168, spillBytes: 0, isSerialized: false };
    };
    expect((await chosen(request, { ...machine(), facts })).isTuned).toBe(false);
  });
});

test('a class holds the lengths between two powers of two', () => {
  expect([0, 1, 64, 65, 4096, 4097, 1_000_000].map(classOf)).toEqual([
    64, 64, 64, 128, 4096, 8192, 1_048_576,
  ]);
  expect(lengthClass({ qLen: 5000, kLen: 8192 })).toBe('8192');
  expect(lengthClass({ qLen: 1, kLen: 8192 })).toBe('64x8192');
});
