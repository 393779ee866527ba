// What `npm pack` makes installs into an empty project, and a user's own pattern runs there: from
// TypeScript through tsx, from plain JavaScript, bundled and minified, and through the command.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = resolve(import.meta.dirname, '../..');
const work = mkdtempSync(join(tmpdir(), 'warploom-pack-'));
const project = join(work, 'project');

const run = (command: string, args: readonly string[], cwd = project): string =>
  execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

const ownPattern = `
import { count, pattern } from 'warploom';

const NEAREST = 2;

/** A window and every key at a power of two back. */
export const echo = pattern('echo', { near: count.default(16) })
  .mask(({ q, k }, { near }) => {
    const d = q - k;
    if (d < 0) return false;
    return d < Math.max(near, NEAREST) || (d & (d - 1)) === 0;
  });
`;

const program = (file: string) => `
import { compile, openDevice, reference, tensor, verticalSlash } from 'warploom';
import { echo } from '${file}';

const make = (heads, seed) => tensor.random([1, heads, 200, 32], { seed });
const inputs = { q: make(4, 1), k: make(2, 2), v: make(2, 3) };
const device = await openDevice('cpu');
for (const pattern of [echo, verticalSlash]) {
  const attend = await compile(pattern, { heads: 4, kvHeads: 2, headDim: 32, dtype: 'fp32', device });
  const { out, chosen } = await attend(inputs);
  const exact = reference(pattern, { ...inputs, chosen }).out;
  const got = await out.read();
  const error = got.reduce((most, x, i) => Math.max(most, Math.abs(x - exact[i])), 0);
  console.log(pattern.name, device.products, error < 1e-4 ? 'agrees' : 'differs by ' + error);
}
await device.dispose();
`;

beforeAll(() => {
  mkdirSync(project);
  run('npm', ['pack', '--silent', '--pack-destination', work], root);
  const archive = readdirSync(work).find((name) => name.endsWith('.tgz'))!;
  writeFileSync(
    join(project, 'package.json'),
    '{ "name": "own", "private": true, "type": "module" }\n',
  );
  run('npm', ['install', '--silent', '--no-audit', '--no-fund', join(work, archive)]);
  writeFileSync(join(project, 'echo.ts'), ownPattern);
  writeFileSync(join(project, 'echo.js'), ownPattern);
  writeFileSync(
    join(project, 'main.ts'),
    program('./echo.ts')
      .replaceAll('(heads, seed)', '(heads: number, seed: number)')
      .replace('exact[i])', 'exact[i]!)'),
  );
  writeFileSync(join(project, 'main.js'), program('./echo.js'));
}, 240_000);

afterAll(() => rmSync(work, { recursive: true, force: true }));

const bin = (name: string) => join(project, 'node_modules', '.bin', name);
const bothAgree = /^echo \S+ agrees\nvertical-slash \S+ agrees\n$/;

describe('the package in an empty project', () => {
  it("runs a user's pattern from plain JavaScript", () => {
    expect(run('node', ['main.js'])).toMatch(bothAgree);
  });

  it("runs a user's pattern from TypeScript", () => {
    expect(run(bin('tsx'), ['main.ts'])).toMatch(bothAgree);
  });

  it("runs a user's pattern bundled and minified beside the package", () => {
    const esbuild = join(root, 'node_modules', '.bin', 'esbuild');
    run(esbuild, [
      'main.js',
      '--bundle',
      '--minify',
      '--format=esm',
      '--platform=node',
      '--external:warploom',
      '--outfile=out.mjs',
    ]);
    expect(run('node', ['out.mjs'])).toMatch(bothAgree);
  });

  it('has the addon built by the install', () => {
    const addon = join(project, 'node_modules/warploom/build/Release/warploom.node');
    expect(existsSync(addon)).toBe(true);
  });

  it('has types that a strict project compiles against', () => {
    const tsc = join(root, 'node_modules', '.bin', 'tsc');
    const options = [
      '--noEmit',
      '--strict',
      '--module',
      'nodenext',
      '--target',
      'es2023',
      '--allowImportingTsExtensions',
      '--types',
      'node',
      '--typeRoots',
      join(root, 'node_modules/@types'),
    ];
    expect(run(tsc, [...options, 'main.ts'])).toBe('');
  });

  it("runs, checks and draws a user's file by the command", () => {
    const warploom = (...args: string[]) => run(bin('warploom'), args);
    const report = JSON.parse(
      warploom(
        'run',
        'echo.ts#echo',
        '--random',
        '1,2,1,256,32',
        '--near',
        '8',
        '--check',
        '--json',
      ),
    );
    expect(report).toMatchObject({ pattern: 'echo' });
    expect(warploom('check', 'echo.ts')).toBe('1 file, 1 pattern: nothing wrong\n');
    warploom('draw', 'echo.ts#echo', '--length', '256', '--out', 'echo.svg');
    expect(existsSync(join(project, 'echo.svg'))).toBe(true);
  });

  it('runs built-in patterns without loading a parser', () => {
    const code = `
      import { compile, tensor, aShape } from 'warploom';
      const attend = await compile(aShape, { heads: 1, headDim: 8, dtype: 'fp32' });
      const x = tensor.random([1, 1, 40, 8]);
      await attend({ q: x, k: x, v: x });
      await attend.dispose();
      const { createRequire } = await import('node:module');
      const loaded = Object.keys(createRequire(import.meta.url).cache).some((file) => file.includes('ts-morph'));
      console.log(loaded ? 'parser loaded' : 'no parser');`;
    writeFileSync(join(project, 'lean.mjs'), code);
    expect(run('node', ['lean.mjs'])).toBe('no parser\n');
  });
});
