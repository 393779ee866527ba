// A kernel that is kept needs no compiler: whether a process opens NVRTC is seen in its memory map.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';

const root = mkdtempSync(join(tmpdir(), 'warploom-known-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let folder = root;
beforeEach(() => {
  folder = mkdtempSync(join(root, 'cache-'));
});

const module = new URL('../../runtime/cuda/compiler.ts', import.meta.url).href;

/** What another process says of compiling one kernel: was it kept, and is NVRTC open afterwards? */
function compiled(value: number, environment: Record<string, string> = {}): string {
  const source = `extern "C" __global__ void k(float* x) { x[threadIdx.x] *= ${value}; }`;
  const script = `
    import { readFileSync } from 'node:fs';
    import { compileKernel } from ${JSON.stringify(module)};
    const { fromCache } = await compileKernel(${JSON.stringify({ name: 'k', source })}, 'sm_80');
    const isOpen = readFileSync('/proc/self/maps', 'utf8').includes('libnvrtc');
    process.stdout.write((fromCache ? 'kept' : 'built') + (isOpen ? ', opened' : ''));`;
  const args = ['--import', 'tsx', '--input-type=module', '-e', script];
  const { stdout, stderr } = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    env: { ...process.env, WARPLOOM_CACHE: folder, ...environment },
  });
  return stdout === '' ? stderr : stdout;
}

const records = () => readdirSync(folder).filter((name) => name.startsWith('nvrtc-'));

describe.runIf(process.platform === 'linux')('a process that finds its kernel in the cache', () => {
  it('opens no NVRTC, and one that has to compile opens it', () => {
    expect([compiled(3), compiled(3), compiled(4), compiled(4)]).toEqual([
      'built, opened',
      'kept',
      'built, opened',
      'kept',
    ]);
  });

  it('opens it when the library is not as it was, or what is known is damaged', () => {
    compiled(3);
    const [name] = records();
    const file = join(folder, name!);
    const known = JSON.parse(readFileSync(file, 'utf8'));
    for (const text of [JSON.stringify({ ...known, identity: '1 bytes of 0' }), '{"version":']) {
      writeFileSync(file, text);
      expect(compiled(3), text).toBe('kept, opened');
      expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual(known);
    }
  });

  it('asks the library for its version where nothing is kept under the one that was known', () => {
    compiled(3);
    const file = join(folder, records()[0]!);
    const known = JSON.parse(readFileSync(file, 'utf8'));
    writeFileSync(file, JSON.stringify({ ...known, version: '12.4' }));
    // Nothing is kept under that version: the library says which one it is.
    expect(compiled(3)).toBe('kept, opened');
    expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual(known);
  });

  it('knows nothing of another search', () => {
    compiled(3);
    const [name] = records();
    const { path } = JSON.parse(readFileSync(join(folder, name!), 'utf8'));
    expect(compiled(3, { WARPLOOM_NVRTC: path })).toBe('kept, opened');
    expect(compiled(3, { WARPLOOM_NVRTC: path })).toBe('kept');
    expect(compiled(3, { WARPLOOM_NVRTC: join(folder, 'nowhere') })).toContain('R009');
  });
});
