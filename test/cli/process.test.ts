// The real process: files of a user, signals, pipes, exit codes.

import { type ChildProcess, spawnSync } from 'node:child_process';
import { closeSync, openSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { argumentsOf, folder, start, warploom } from './command.ts';

const files = {
  'mine.ts': `import { byHead, causal, count, pattern } from 'warploom';
import { twice } from './helper';

interface Wide { readonly window: number }
const wide: Wide = { window: 3 };

export const mine = pattern('mine', { window: count.default(64) })
  .mask(({ q, k }, { window }) => k <= q && q - k < twice(window));
export const mixed = byHead([mine, causal]);
export default wide;
`,
  'helper.ts': 'export const twice = (n: number): number => 2 * n;\n',
  'single.ts': `import { pattern } from 'warploom';
export const only = pattern('only').mask(({ q, k }) => k <= q);
`,
  'again.ts': "export { only } from './single.ts';\n",
  'wrong.ts': `import { pattern } from 'warploom';
export const first = pattern('first').mask(({ q, k }) => k <= q + Math.random()); export const second = pattern('second')
  .mask(({ q, k }) => k == q);
`,
  'syntax.ts': `import { pattern } from 'warploom';
export const broken = pattern('broken')
  .mask(({ q, k } => k <= q);
`,
  'syntax.mjs': 'export const = 3;\n',
  'imports-syntax.ts': "export * from './syntax.ts';\n",
  'throws.ts': `const none: { f(): void } | undefined = undefined;
none!.f();
`,
  'lost.ts': "export * from 'a-package-that-is-not-there';\n",
  'half.ts': "import { pattern } from 'warploom';\nexport const half = pattern('half');\nexport const number = 3;\n",
  'busy.ts': "export * from './single.ts';\nsetInterval(() => {}, 1000);\n",
}; // biome-ignore format: files

let dir: string;
beforeAll(() => {
  dir = folder(files);
});
afterAll(() => rmSync(dir, { recursive: true }));

const own = (name: string): string => join(dir, name);

describe("a user's file, outside any installation", () => {
  test('runs, with its parameters as options', async () => {
    const words = ['--random', '1,2,1,128,8', '--window', '4', '--check'];
    const { code, out, err } = await warploom('run', own('mine.ts#mine'), ...words);
    expect(err).toBe('');
    expect(out).toMatch(/^mine {2}\(window 4\)$/m);
    expect(out).toMatch(/within the bound/);
    expect(code).toBe(0);
  });

  test('a pattern for each head', async () => {
    const words = ['--random', '1,2,1,128,8', '--window', '4', '--check', '--json'];
    const { code, out } = await warploom('run', own('mine.ts#mixed'), ...words);
    const { byHead, heads, check } = JSON.parse(out);
    expect(byHead).toBe(true);
    expect(heads.map(({ pattern }: { pattern: string }) => pattern)).toEqual(['mine', 'causal']);
    expect([code, check.isWithin]).toEqual([0, true]);
  });

  test('its only pattern needs no name, and a timer of its own ends with the verb', async () => {
    const { code, out } = await warploom('explain', own('busy.ts'), '--length', '256');
    expect(out).toMatch(/^only$/m);
    expect(code).toBe(0);
  });

  test('several patterns need one', async () => {
    const { code, err } = await warploom('run', own('mine.ts'));
    expect(err).toMatch(/R001.*exports 2 patterns\n.*mine\.ts#mine; it exports mine, mixed/);
    expect(code).toBe(1);
  });

  test('what is no pattern', async () => {
    expect((await warploom('run', own('half.ts#half'))).err).toMatch(/is not a pattern yet/);
    expect((await warploom('run', own('mine.ts#min'))).err).toMatch(
      /no 'min'\n.*did you mean mine/,
    );
  });

  test('a syntax error is one diagnostic with its place', async () => {
    const { code, out, err } = await warploom('run', own('syntax.ts'));
    expect([code, out]).toEqual([1, '']);
    expect(err.replaceAll(dir, '')).toMatchInlineSnapshot(`
      "error[L021]: '/syntax.ts' cannot be parsed: ')' expected
       --> /syntax.ts:3:19
        |
      3 |   .mask(({ q, k } => k <= q);
        |                   ^^
        = help: mend the syntax; nothing of the file was run
      "
    `);
  });
});

describe('check', () => {
  test('every file of a folder, each pattern once, all that is wrong', async () => {
    const { code, out, err } = await start(['check', '.'], dir).ended;
    expect(code).toBe(1);
    expect(out).toMatchInlineSnapshot(`
      "12 files, 5 patterns: 6 errors
      "
    `);
    for (const what of ["syntax.ts' cannot be parsed", "syntax.mjs' cannot be parsed"]) {
      expect(err.split(what)).toHaveLength(2);
    }
    expect(err).toMatch(/'throws.ts' throws while it is loaded[\s\S]*throws\.ts:2:7/);
    expect(err).toMatch(/'lost.ts' cannot be loaded: cannot find package 'a-package/);
    expect(err).toMatch(/L006[\s\S]*wrong\.ts:2:67/);
    expect(err).toMatch(/L002[\s\S]*wrong\.ts:3:25/);
    expect(err).not.toMatch(/\n\s+at /);
  });

  test('the built-in patterns by a wildcard, as data', async () => {
    const { code, out, err } = await warploom('check', 'patterns/**', '--json');
    expect([code, err]).toEqual([0, '']);
    const { patterns, errors, diagnostics } = JSON.parse(out);
    expect(patterns).toHaveLength(14);
    expect([errors, diagnostics]).toEqual([0, []]);
  });
});

/** A process tells of its progress when it has been at work for a second, however long it took to start. */
const progressOf = (child: ChildProcess) =>
  new Promise((resolve) => child.stderr!.once('data', resolve));

describe('how a process ends', () => {
  test('Ctrl-C in a long run: 130, and no file', async () => {
    const target = folder();
    const file = join(target, 'o.safetensors');
    const { child, ended } = start(['run', 'causal', '--random', '1,8,8,32768,64', '--out', file]);
    await progressOf(child);
    child.kill('SIGINT');
    const { code, out, err } = await ended;
    expect([code, out]).toEqual([130, '']);
    expect(err).toMatch(/interrupted/);
    expect(readdirSync(target)).toEqual([]);
  });

  test.each(['explain', 'draw'])('Ctrl-C in a long %s: 130 in no time', async (verb) => {
    const mask = '({ q, k }) => (q ^ k) % 3 === 0';
    const text = `import { pattern } from 'warploom';\nexport const bits = pattern('bits').mask(${mask});\n`;
    const place = join(folder({ 'bits.ts': text }), 'bits.ts');
    const { child, ended } = start([verb, place, '--length', '1000000000']);
    await progressOf(child);
    const signalled = performance.now();
    child.kill('SIGINT');
    const { code, out } = await ended;
    expect([code, out]).toEqual([130, '']);
    expect(performance.now() - signalled, 'ms').toBeLessThan(3000);
  });

  test.each(['SIGINT', 'SIGTERM'] as const)('%s in a file that never ends', async (signal) => {
    const text = "console.error('begun');\nfor (;;);\n";
    const place = join(folder({ 'endless.ts': text }), 'endless.ts');
    const { child, ended } = start(['check', place]);
    await progressOf(child);
    child.kill(signal);
    await ended;
    expect(child.signalCode).toBe(signal);
  });

  test('a reader that has seen enough is no error', async () => {
    const { child, ended } = start(['draw', 'a-shape', '--length', '4096']);
    child.stdout.destroy();
    const { err } = await ended;
    expect(err).toBe('');
    expect(child.exitCode).toBe(0);
  });

  test('a full stdout is one error', () => {
    const full = openSync('/dev/full', 'w');
    const args = argumentsOf(['explain', 'causal', '--json']);
    const { status, stderr } = spawnSync(process.execPath, args, {
      stdio: ['ignore', full, 'pipe'],
      encoding: 'utf8',
    });
    closeSync(full);
    expect(stderr).toMatch(/^error\[F005\]: 'standard output' .* full\n {2}= help: .*\n$/);
    expect(status).toBe(1);
  });

  test('a promise that a file leaves behind is blamed on the file', async () => {
    const text = "Promise.reject(new Error('later'));\nawait new Promise(() => {});\n";
    const { code, err } = await warploom('check', join(folder({ 'stray.ts': text }), 'stray.ts'));
    expect(code).toBe(1);
    expect(err).toMatch(/R001.*stray\.ts' throws: later\n.*stray\.ts:1:16/);
    expect(err).not.toMatch(/fault of warploom/);
  });

  test('a file that ends the process, or never ends, is blamed', async () => {
    const texts = {
      'exits.ts': 'process.exit(0);\n',
      'never.ts': 'await new Promise(() => {});\n',
    };
    const place = folder(texts);
    for (const name of Object.keys(texts)) {
      const { code, err } = await warploom('explain', join(place, name));
      expect(code).toBe(1);
      expect(err).toMatch(
        /^error\[R001\]: .* ends the process while it is loaded\n {2}= help: .*\n$/,
      );
    }
  });

  test('what is thrown without a place has none of ours', async () => {
    const { code, err } = await warploom(
      'explain',
      join(folder({ 'five.ts': 'throw 5;\n' }), 'five.ts'),
    );
    expect(code).toBe(1);
    expect(err).toMatch(/^error\[R001\]: .* throws while it is loaded: 5\n {2}= help: .*\n$/);
  });

  test('usage errors end with 2, help and version with 0', async () => {
    const [misuse, help] = await Promise.all([warploom('run', 'a-shape', '--windw'), warploom()]);
    expect([misuse.code, help.code]).toEqual([2, 2]);
    expect(await warploom('--version')).toMatchObject({ code: 0, err: '' });
  });
});
