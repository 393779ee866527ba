// The cache of compiled kernels: whatever happens to its files, a kernel is compiled once and is right.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { cacheFolder, KernelCache } from '../../runtime/cuda/cache.ts';
import { compileKernel } from '../../runtime/cuda/compiler.ts';
import { type CacheEntry, decodeEntry, encodeEntry } from '../../runtime/cuda/entry.ts';
import type { KernelReport } from '../../runtime/cuda/report.ts';
import { runs } from '../laws/settings.ts';

const root = mkdtempSync(join(tmpdir(), 'warploom-cache-'));
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});
let made = 0;
const newFolder = () => join(root, String(made++));

const report: KernelReport = {
  registers: 40,
  spillStores: 0,
  spillLoads: 4,
  stack: 8,
  staticShared: 1024,
  constant: 360,
  remarks: [{ code: 'C7510', what: 'serialized' }],
};
const entryOf = (bytes: number, value = 7): CacheEntry => ({
  cubin: new Uint8Array(bytes).fill(value),
  report,
  compiler: '13.0',
});
const key = 'a'.repeat(64);
const fileOf = (cache: KernelCache, name = key) => join(cache.folder, `${name}.kernel`);

/** A builder that counts its calls. */
function builder(entry: CacheEntry) {
  const build = async () => {
    build.calls += 1;
    await new Promise((resolve) => setTimeout(resolve, 1));
    return entry;
  };
  build.calls = 0;
  return build;
}

const kernelOf = (value: number | string) => ({
  name: 'k',
  source: `extern "C" __global__ void k(float* x) { x[threadIdx.x] *= ${value}; }`,
});

describe('a kernel that is kept', () => {
  it('is not compiled again, and comes back within milliseconds', async () => {
    const folder = newFolder();
    const cold = await compileKernel(kernelOf(3), 'sm_80', { cache: new KernelCache({ folder }) });
    const warm = await compileKernel(kernelOf(3), 'sm_80', { cache: new KernelCache({ folder }) });
    const again = await compileKernel(kernelOf(3), 'sm_80', { cache: new KernelCache({ folder }) });
    expect([cold.fromCache, warm.fromCache, again.fromCache]).toEqual([false, true, true]);
    expect(warm.cubin).toEqual(cold.cubin);
    expect(warm.report).toEqual(cold.report);
    const best = Math.min(warm.milliseconds, again.milliseconds);
    console.log(`cold ${cold.milliseconds.toFixed(1)} ms, from the cache ${best.toFixed(2)} ms`);
    expect(best).toBeLessThan(50);
  });

  it('is another when source, name, architecture or options are others', async () => {
    const cache = new KernelCache({ folder: newFolder() });
    const { source } = kernelOf(3);
    const named = { name: 'other', source: source.replace(' k(', ' other(') };
    const all = [
      await compileKernel(kernelOf(3), 'sm_80', { cache }),
      await compileKernel(kernelOf(4), 'sm_80', { cache }),
      await compileKernel(named, 'sm_80', { cache }),
      await compileKernel(kernelOf(3), 'sm_90', { cache }),
      await compileKernel(kernelOf(3), 'sm_90a', { cache }),
      await compileKernel(kernelOf(3), 'sm_80', { cache, options: ['--use_fast_math'] }),
    ];
    expect(all.map(({ fromCache }) => fromCache)).toEqual(all.map(() => false));
    expect(readdirSync(cache.folder)).toHaveLength(all.length);
  });

  it('is not kept when the compiler refuses it', async () => {
    const cache = new KernelCache({ folder: newFolder() });
    for (const _ of [1, 2]) {
      await expect(compileKernel(kernelOf('nothing'), 'sm_80', { cache })).rejects.toThrow('R011');
    }
    expect(existsSync(cache.folder)).toBe(false);
  });
});

describe('a damaged entry', () => {
  it('is seen whatever is done to its bytes', () => {
    const entry = entryOf(300);
    const whole = Buffer.from(encodeEntry(key, entry));
    expect(decodeEntry(key, whole)).toEqual(entry);
    expect(decodeEntry('b'.repeat(64), whole)).toBeUndefined();
    const damage = fc.oneof(
      fc.tuple(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 })).map(([at, flip]) => {
        const bytes = Buffer.from(whole);
        bytes[at]! ^= flip;
        return bytes;
      }),
      fc.nat(whole.length - 1).map((length) => whole.subarray(0, length)),
      fc.uint8Array({ minLength: 1 }).map((more) => Buffer.concat([whole, more])),
      fc.uint8Array({ maxLength: 400 }).map((other) => Buffer.from(other)),
    );
    fc.assert(
      fc.property(damage, (bytes) => decodeEntry(key, bytes) === undefined),
      runs(2000),
    );
  });

  it.each([
    ['empty', () => Buffer.alloc(0)],
    ['cut in half', (whole: Buffer) => whole.subarray(0, whole.length / 2)],
    ['of zeros, as a crash leaves it', (whole: Buffer) => Buffer.alloc(whole.length)],
    ['with one bit flipped', (whole: Buffer) => whole.fill(whole[99]! ^ 1, 99, 100)],
  ])('is built again and mended: %s', async (_, damage) => {
    const folder = newFolder();
    const build = builder(entryOf(300));
    const cache = new KernelCache({ folder });
    await cache.take(key, build);
    const whole = readFileSync(fileOf(cache));
    writeFileSync(fileOf(cache), damage(Buffer.from(whole)));
    const taken = await cache.take(key, build);
    expect(taken).toEqual({ entry: entryOf(300), fromCache: false });
    expect(readFileSync(fileOf(cache))).toEqual(whole);
    expect((await cache.take(key, build)).fromCache).toBe(true);
    expect(build.calls).toBe(2);
  });
});

describe('a folder that cannot be used', () => {
  const full = Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
  const aFile = () => {
    const path = newFolder();
    writeFileSync(path, '');
    return path;
  };
  const readOnly = () => {
    const path = newFolder();
    mkdirSync(join(path, 'kernels'), { recursive: true });
    chmodSync(join(path, 'kernels'), 0o500);
    return path;
  };
  const withADirectory = () => {
    const path = newFolder();
    mkdirSync(join(path, 'kernels', `${key}.kernel`), { recursive: true });
    return path;
  };

  it.each([
    [
      'a full disk',
      () => new KernelCache({ folder: newFolder(), write: () => Promise.reject(full) }),
    ],
    ['one that knows no names', () => new KernelCache({ folder: '/proc/warploom' })],
    ['a file in its place', () => new KernelCache({ folder: aFile() })],
    ['a folder in the place of an entry', () => new KernelCache({ folder: withADirectory() })],
    ...(process.getuid?.() === 0
      ? []
      : [['a read-only one', () => new KernelCache({ folder: readOnly() })] as const]),
  ] as const)('costs one warning, never a kernel: %s', async (_, makeCache) => {
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    const cache = makeCache();
    for (const name of [key, key, 'b'.repeat(64)]) {
      const { entry, fromCache } = await cache.take(name, builder(entryOf(300)));
      expect(entry).toEqual(entryOf(300));
      expect(fromCache).toBe(false);
    }
    const warnings = warn.mock.calls.map(([what]) => String(what));
    warn.mockRestore();
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(/^kernels cannot be kept in .*: ./);
  });

  it('of a user without rights is read all the same', async () => {
    const folder = newFolder();
    await new KernelCache({ folder }).take(key, builder(entryOf(300)));
    chmodSync(join(folder, 'kernels'), 0o500);
    const taken = await new KernelCache({ folder }).take(key, builder(entryOf(1)));
    chmodSync(join(folder, 'kernels'), 0o700);
    expect(taken).toEqual({ entry: entryOf(300), fromCache: true });
  });
});

describe('many at once', () => {
  it('equal requests of one process share one build', async () => {
    const cache = new KernelCache({ folder: newFolder() });
    const build = builder(entryOf(300));
    const all = await Promise.all(Array.from({ length: 20 }, () => cache.take(key, build)));
    expect(build.calls).toBe(1);
    expect(new Set(all.map(({ entry }) => entry)).size).toBe(1);
  });

  it('a build that fails fails for all who wait, and is tried again', async () => {
    const cache = new KernelCache({ folder: newFolder() });
    const failing = () => Promise.reject(new Error('refused'));
    const both = await Promise.allSettled([cache.take(key, failing), cache.take(key, failing)]);
    expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect((await cache.take(key, builder(entryOf(3)))).fromCache).toBe(false);
  });

  it('several processes leave one whole entry', async () => {
    const folder = newFolder();
    const module = new URL('../../runtime/cuda/compiler.ts', import.meta.url).href;
    const script = `
      import { compileKernel } from ${JSON.stringify(module)};
      process.stdout.write('ready');
      process.stdin.once('data', async () => {
        process.stdin.unref();
        const { cubin, fromCache } = await compileKernel(${JSON.stringify(kernelOf(5))}, 'sm_80');
        process.stdout.write(Buffer.from(cubin).toString('base64') + (fromCache ? ' kept' : ' built'));
      });`;
    const args = ['--import', 'tsx', '--input-type=module', '-e', script];
    const children = Array.from({ length: 4 }, () =>
      spawn(process.execPath, args, {
        stdio: ['pipe', 'pipe', 'inherit'],
        env: { ...process.env, WARPLOOM_CACHE: folder },
      }),
    );
    await Promise.all(children.map((child) => once(child.stdout, 'data')));
    const outputs = children.map(async (child) => {
      let text = '';
      child.stdout.on('data', (data) => (text += String(data)));
      child.stdin.end('go');
      const [status] = await once(child, 'close');
      expect(status).toBe(0);
      return text.split(' ');
    });
    const all = await Promise.all(outputs);
    expect(all.map(([, how]) => how)).toContain('built');
    expect(new Set(all.map(([cubin]) => cubin)).size).toBe(1);
    expect(readdirSync(join(folder, 'kernels'))).toHaveLength(1);
    const here = await compileKernel(kernelOf(5), 'sm_80', { cache: new KernelCache({ folder }) });
    expect(here.fromCache).toBe(true);
    expect(Buffer.from(here.cubin).toString('base64')).toBe(all[0]![0]);
  });
});

describe('its size', () => {
  const name = (i: number) => String(i).padStart(64, '0');
  const old = (path: string, minutes: number) => {
    const time = new Date(Date.now() - minutes * 60_000);
    utimesSync(path, time, time);
  };

  it('stays under the limit, and what was used last stays', async () => {
    const limitBytes = 10.5 * encodeEntry(key, entryOf(800)).length;
    const cache = new KernelCache({ folder: newFolder(), limitBytes });
    for (let i = 0; i < 10; i++) {
      await cache.take(name(i), builder(entryOf(800)));
      old(fileOf(cache, name(i)), 100 - i);
    }
    expect(readdirSync(cache.folder)).toHaveLength(10);
    expect((await cache.take(name(0), builder(entryOf(800)))).fromCache).toBe(true);
    await cache.take(name(10), builder(entryOf(800)));
    const kept = readdirSync(cache.folder).sort();
    const bytes = kept.reduce((sum, file) => sum + statSync(join(cache.folder, file)).size, 0);
    expect(bytes).toBeLessThanOrEqual(limitBytes);
    expect(kept.map((file) => Number.parseInt(file, 10))).toEqual([0, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  it('may be cut by several at once while they read', async () => {
    const folder = newFolder();
    const caches = [1, 2, 3].map(() => new KernelCache({ folder, limitBytes: 5000 }));
    const calls = Array.from({ length: 300 }, async (_, i) => {
      const value = (i * 7) % 20;
      const { entry } = await caches[i % 3]!.take(name(value), builder(entryOf(800, value)));
      expect(entry).toEqual(entryOf(800, value));
    });
    await Promise.all(calls);
    // Each cut what it saw; one more write brings the folder below the limit.
    await caches[0]!.take(name(99), builder(entryOf(800)));
    expect(readdirSync(caches[0]!.folder).length).toBeLessThanOrEqual(5);
  });

  it('counts the remains of crashes as nothing worth keeping, and leaves the files of others', async () => {
    const cache = new KernelCache({ folder: newFolder(), limitBytes: 2000 });
    mkdirSync(cache.folder, { recursive: true });
    for (const file of ['.warploom-1-old.tmp', '.warploom-2-new.tmp', 'notes.txt']) {
      writeFileSync(join(cache.folder, file), 'x'.repeat(5000));
    }
    old(join(cache.folder, '.warploom-1-old.tmp'), 61);
    old(join(cache.folder, 'notes.txt'), 10_000);
    await cache.take(key, builder(entryOf(800)));
    expect(readdirSync(cache.folder).sort()).toEqual(
      ['.warploom-2-new.tmp', `${key}.kernel`, 'notes.txt'].sort(),
    );
  });
});

describe('its folder', () => {
  it.each([
    ['linux', { HOME: '/home/a' }, '/home/a/.cache/warploom'],
    ['linux', { HOME: '/home/a', XDG_CACHE_HOME: '/fast' }, '/fast/warploom'],
    ['linux', { HOME: '/home/a', XDG_CACHE_HOME: 'relative' }, '/home/a/.cache/warploom'],
    ['darwin', { HOME: '/Users/a' }, '/Users/a/Library/Caches/warploom'],
    ['win32', { HOME: '/a', LOCALAPPDATA: '/a/Local' }, '/a/Local/warploom/cache'],
    ['linux', { HOME: '/home/a', WARPLOOM_CACHE: '/mine' }, '/mine'],
  ] as const)('on %s with %j', (platform, environment, folder) => {
    expect(cacheFolder(environment, platform)).toBe(folder);
  });
});
