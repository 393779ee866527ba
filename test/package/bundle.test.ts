// What `npm run bundle` makes runs where nothing is installed: unpacked elsewhere, without Node on the path.

import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = resolve(import.meta.dirname, '../..');
const work = mkdtempSync(join(tmpdir(), 'warploom-bundle-'));
const unpacked = join(work, 'warploom-bundle');
const tools = join(work, 'tools');

beforeAll(() => {
  const archive = join(work, 'bundle.tar.gz');
  // Fails above 60 MB.
  const kernels = ['--compile', 'causal', '--arch', 'sm_80', '--head-dim', '64', '--length', '300'];
  execFileSync(process.execPath, ['runtime/bundle.mjs', '--out', archive, ...kernels], {
    cwd: root,
  });
  execFileSync('tar', ['-xzf', archive, '-C', work]);
  mkdirSync(tools);
  symlinkSync('/usr/bin/dirname', join(tools, 'dirname'));
}, 240_000);

afterAll(() => rmSync(work, { recursive: true, force: true }));

function warploom(args: readonly string[], path = tools, more: Record<string, string> = {}) {
  const env = { PATH: path, HOME: work, WARPLOOM_CACHE: join(work, 'cache'), ...more };
  const stdio = ['ignore', 'pipe', 'pipe'] as ['ignore', 'pipe', 'pipe'];
  return execFileSync(join(unpacked, 'warploom'), args, {
    cwd: work,
    env,
    encoding: 'utf8',
    stdio,
  });
}

const call = ['run', 'a-shape', '--random', '1,4,2,300,64', '--dtype', 'bf16', '--check'];

describe('the bundle, unpacked elsewhere', () => {
  it('says what the machine has, with its own addon', () => {
    const report = JSON.stringify(JSON.parse(warploom(['doctor', '--json'])));
    expect(report).toContain(join(unpacked, 'build', 'Release', 'warploom.node'));
  });

  it('runs on the CPU', () => {
    expect(warploom([...call, '--device', 'cpu'])).toContain('within the bound');
  });

  it('runs the generated CUDA C on the CPU, given a compiler', () => {
    const { PATH } = process.env;
    expect(warploom([...call, '--device', 'emulated:sm_80'], PATH)).toContain('within the bound');
  }, 180_000);

  it('has the cases of primitives, and the emulator that they are compared with', () => {
    const some = ['test:primitives', '--device', 'emulated:sm_90a', '--only', 'stmatrix'];
    expect(warploom(some, process.env.PATH)).toMatch(/stmatrix: the same\n1 cases, 0 differ/);
  }, 180_000);

  it('has the kernels of its first calls, where nobody may write and no NVRTC is', () => {
    chmodSync(join(unpacked, 'kernels', 'ahead'), 0o555);
    const explained = (dtype: string) => {
      const words = ['explain', 'causal', '--length', '300', '--dtype', dtype, '--arch', 'sm_80'];
      return warploom(words, tools, { WARPLOOM_NVRTC: '/nowhere' });
    };
    expect(explained('bf16')).toMatch(/\nattention +1 /);
    expect(explained('fp16')).toContain('WARPLOOM_NVRTC names no NVRTC');
    chmodSync(join(unpacked, 'kernels', 'ahead'), 0o755);
  });

  it('tries the laws in processes of its own', () => {
    const sizes = ['--device', 'cpu', '--cases', '60', '--processes', '2'];
    expect(warploom(['test:device', ...sizes])).toMatch(
      /cases on cpu in \d+ s, seed 1, 0 failures/,
    );
  });

  it('tries those that need no device, too', () => {
    const said = warploom(['test:laws', '--cases', '100']);
    expect(said).toMatch(/^100 of 100 cases of law 6, \d+ a second, seed 1, 0 failures$/m);
  }, 180_000);

  it('tries one law again', () => {
    const again = ['--device', 'cpu', '--law', '9 ones', '--seed', '7'];
    expect(warploom(['test:device', ...again])).toBe('10 cases of law 9 ones, all right\n');
  });

  it('skips the core without a GPU', () => {
    expect(warploom(['test:core'])).toMatch(/^(skipped: |.*driver)/);
  });

  it('has the bench of calls, which needs a GPU', () => {
    const nothing = ['bench:calls', '--device', 'cuda:99'];
    expect(() => warploom(nothing)).toThrow('there is no CUDA device 99');
  });
});
