// The parts of the command that need no command line.

import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { describe, expect, test, vi } from 'vitest';
import { z } from 'zod';
import { count, fixed } from '../../dsl/given.ts';
import { pattern } from '../../dsl/pattern.ts';
import { compile } from '../../runtime/attend.ts';
import { nodeOf } from '../../runtime/commands/doctor.ts';
import { failureOf } from '../../runtime/commands/failure.ts';
import { expand, matcher } from '../../runtime/commands/files.ts';
import { nearest } from '../../runtime/commands/nearest.ts';
import { checkOutput } from '../../runtime/commands/oracle.ts';
import {
  describe as describeParameter,
  kebab,
  numbersFrom,
  parameterOptions,
} from '../../runtime/commands/parameters.ts';
import { definitionsOf, splitName } from '../../runtime/commands/target.ts';
import { duration, Terminal, table } from '../../runtime/commands/terminal.ts';
import { openDevice } from '../../runtime/device.ts';
import { planCall } from '../../runtime/plans.ts';
import { tensor } from '../../runtime/tensor.ts';
import { folder } from './command.ts';

describe('the check against the oracle', () => {
  const window = pattern('window').mask(({ q, k }) => k <= q && q - k < 9);
  const make = (seed: number) => tensor.random([1, 2, 40, 8], { seed });
  const inputs = { q: make(1), k: make(2), v: make(3) };

  async function checked(disturb: (out: Float32Array, lse: Float32Array) => void, rows?: number) {
    const own = window as never;
    const device = await openDevice('cpu', { threads: 0 });
    const attend = await compile(window, { heads: 2, headDim: 8, dtype: 'fp32', device });
    const result = await attend(inputs);
    const out = (await result.out.read()) as Float32Array;
    const lse = (await result.lse.read()) as Float32Array;
    disturb(out, lse);
    const target = { name: 'window', pattern: own, definitions: definitionsOf(own) };
    const planned = await planCall(own, inputs);
    return checkOutput({ out, lse }, { target, inputs, params: {}, planned }, rows ? { rows } : {});
  }

  test('passes what is right', async () => {
    const { isWithin, rows, error, bound } = await checked(() => {});
    expect([isWithin, rows]).toEqual([true, 40]);
    expect(error.out).toBeLessThan(bound.out);
  });

  test('refuses one wrong element of out or lse, and a NaN', async () => {
    const wrong = [
      (out: Float32Array) => { out[333]! += 1e-3; },
      (_: Float32Array, lse: Float32Array) => { lse[77]! -= 1e-3; },
      (out: Float32Array) => { out[0] = Number.NaN; },
      (_: Float32Array, lse: Float32Array) => { lse[0] = -Infinity; },
    ]; // biome-ignore format: a list
    for (const disturb of wrong) expect((await checked(disturb)).isWithin).toBe(false);
  });

  test('looks only at the rows it is asked for', async () => {
    // Of 40 rows, 2 evenly spaced ones are 10 and 30.
    const at = (row: number) => (out: Float32Array) => { out[row * 8]! += 1; }; // biome-ignore format: short
    expect(await checked(at(11), 2)).toMatchObject({ rows: 2, isWithin: true });
    expect(await checked(at(30), 2)).toMatchObject({ rows: 2, isWithin: false });
  });
});

describe('parameters as options', () => {
  test('names in kebab case', () => {
    const names = ['blocksPerRow', 'window', 'kLen', 'a_b', 'topK2'];
    expect(names.map(kebab)).toEqual(['blocks-per-row', 'window', 'k-len', 'a-b', 'top-k2']);
  });

  test('a name that the verb has, or that commander reads otherwise, gets a longer one', () => {
    const one = pattern('one', { seed: count.default(1), noSinks: count.default(1) });
    const { definition } = one.mask(({ q, k }, { seed, noSinks }) => k <= q + seed + noSinks);
    const options = parameterOptions([definition], new Set(['--seed']));
    expect(options.map(({ option }) => option.long)).toEqual([
      '--parameter-seed',
      '--parameter-no-sinks',
    ]);
  });

  test('one number, or one per head', () => {
    expect(numbersFrom('12')).toBe(12);
    expect(numbersFrom('0.5,-1,1e3')).toEqual([0.5, -1, 1000]);
    expect(numbersFrom('NaN')).toBeNaN();
    for (const text of ['', 'x', '1,,2', '1;2']) expect(() => numbersFrom(text)).toThrow(/number/);
  });

  test('type, bounds and default in words', () => {
    expect(describeParameter(count.default(128))).toBe('integer from 0 (default: 128)');
    expect(describeParameter(z.number().positive().lt(1))).toBe(
      'number above 0 below 1 (required)',
    );
    expect(describeParameter(fixed(64))).toBe(
      'integer from 1 (default: 64; fixed: another value is another kernel)',
    );
  });
});

describe('names', () => {
  test('the nearest come first, distant ones not at all', () => {
    const known = ['a-shape', 'tri-shape', 'causal', 'vertical-slash'];
    expect(nearest('ashape', known)).toEqual(['a-shape']);
    expect(nearest('casual', known)).toEqual(['causal']);
    expect(nearest('vertical', known)).toEqual(['vertical-slash']);
    expect(nearest('flash', known)).toEqual([]);
  });

  test('a file and an export; a file whose name has a #', () => {
    expect(splitName('a/b.ts#c')).toEqual({ path: 'a/b.ts', name: 'c' });
    const odd = join(folder({ 'a#b.ts': '' }), 'a#b.ts');
    expect(splitName(odd)).toEqual({ path: odd, name: undefined });
    expect(splitName(`${odd}#c`)).toEqual({ path: odd, name: 'c' });
  });

  test('wildcards', () => {
    const match = (pattern: string, path: string) => matcher(pattern).test(path);
    expect(match('src/**', 'src/a/b.ts')).toBe(true);
    expect(match('src/**/*.ts', 'src/b.ts')).toBe(true);
    expect(match('src/*.ts', 'src/a/b.ts')).toBe(false);
    expect(match('src/{a,b}.ts', 'src/b.ts')).toBe(true);
    expect(match('src/a.ts', 'src/axts')).toBe(false);
  });

  test('a folder means its modules, without declarations and packages', () => {
    const dir = folder({ 'a.ts': '', 'b.mjs': '', 'c.d.ts': '', 'd.txt': '' });
    const names = expand([dir, join(dir, '*.mjs'), join(dir, 'none.ts')]);
    expect(names.map((name) => name.slice(dir.length + 1))).toEqual(['a.ts', 'b.mjs', 'none.ts']);
  });
});

test('a fault of ours is one line, and its stack only when asked for', () => {
  const { text, code } = failureOf(new TypeError('x is undefined'));
  expect(code).toBe(1);
  expect(text).toMatch(/^warploom: x is undefined: this is a fault of warploom/);
  expect(text).not.toMatch(/\n\s+at /);
});

test('an old Node is broken', () => {
  expect(nodeOf('18.20.0')).toMatchObject({ state: 'broken', fix: expect.any(String) });
  expect(nodeOf('20.16.0').state).toBe('broken');
  expect(nodeOf('20.17.0').state).toBe('ok');
  expect(nodeOf('22.1.0').state).toBe('ok');
});

test('times and tables', () => {
  expect([3.1, 85.4, 1234, 12_345, 180_000].map(duration)).toEqual([
    '3.1 ms', '85 ms', '1.23 s', '12 s', '3 min',
  ]); // biome-ignore format: a list
  expect(table([['a', 'long'], ['bb', '1']])).toBe('a   long\nbb     1'); // biome-ignore format: short
});

describe('progress', () => {
  function watch(isTTY: boolean, steps: readonly [ms: number, share: number][]): string {
    vi.useFakeTimers({ toFake: ['performance'] });
    try {
      const [out, err] = [new PassThrough(), Object.assign(new PassThrough(), { isTTY })];
      const terminal = new Terminal(out, err);
      const progress = terminal.progress('working');
      for (const [ms, share] of steps) {
        vi.advanceTimersByTime(ms);
        progress.update(share);
      }
      progress.done();
      terminal.printJson({});
      expect(String(out.read())).toBe('{}\n');
      return String(err.read() ?? '');
    } finally {
      vi.useRealTimers();
    }
  }

  test('is silent for a second, and where nobody looks', () => {
    expect(watch(true, [[400, 0.5], [500, 0.9]])).toBe(''); // biome-ignore format: short
    expect(watch(false, [[3000, 0.5]])).toBe('');
  });

  test('rewrites one line on a screen, and adds lines to a log', () => {
    const screen = watch(true, [[2000, 0.5], [500, 0.75]]); // biome-ignore format: short
    expect(screen).toMatch(/^working 50 %, 2\.00 s left.+working 75 %, 833 ms left/);
    expect(screen).not.toContain('\n');
    expect(watch(false, [[12_000, 0.5]])).toBe('working 50 %, 12 s left\n');
  });
});
