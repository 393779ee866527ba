// Compiling kernels: what the report says, how NVRTC is found, and that nothing that happens to a process
// or thread on the way does harm.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  cpSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterAll, describe, expect, it } from 'vitest';
import { devicePrimitives } from '../../codegen/device.ts';
import { KernelCache } from '../../runtime/cuda/cache.ts';
import { compileKernel } from '../../runtime/cuda/compiler.ts';
import { findNvrtc, openFirst } from '../../runtime/cuda/nvrtc.ts';
import { reportOf } from '../../runtime/cuda/report.ts';
import { librariesIn, type Place, places } from '../../runtime/cuda/search.ts';
import { addonStatus } from '../../runtime/native.ts';

const nvrtc = await findNvrtc();
const folder = mkdtempSync(join(tmpdir(), 'warploom-compile-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Nothing of an earlier run is in the way. */
const cache = new KernelCache({ folder: join(folder, 'cache') });
const compile = (source: string, arch = 'sm_80') =>
  compileKernel({ name: 'k', source }, arch, { cache });

describe('the report of a kernel', () => {
  it('tells registers, shared memory and that nothing spills', async () => {
    const { report, cubin } = await compile(`extern "C" __global__ void k(float* x) {
      __shared__ float row[64];
      row[threadIdx.x] = x[threadIdx.x];
      __syncthreads();
      x[threadIdx.x] = row[63 - threadIdx.x];
    }`);
    expect(report).toMatchObject({ staticShared: 256, spillStores: 0, stack: 0, remarks: [] });
    expect(report.registers).toBeGreaterThan(4);
    expect(report.constant).toBeGreaterThan(0);
    expect(String.fromCharCode(...cubin.subarray(1, 4))).toBe('ELF');
  });

  it('tells spills', async () => {
    const { report } =
      await compile(`extern "C" __global__ void __launch_bounds__(1024, 2) k(float* x) {
      float all[64];
      for (int i = 0; i < 64; i++) all[i] = x[i * threadIdx.x];
      __syncthreads();
      for (int i = 0; i < 64; i++)
        for (int j = 0; j < 64; j++) all[i] += all[j] * x[i + j];
      for (int i = 0; i < 64; i++) x[i + threadIdx.x] = all[i];
    }`);
    expect(report.spillStores).toBeGreaterThan(0);
    expect(report.stack).toBeGreaterThanOrEqual(report.spillStores);
  });

  it('keeps the remarks of the assembler', async () => {
    const { report } = await compile(
      'extern "C" __global__ void k() { asm volatile("setmaxnreg.inc.sync.aligned.u32 232;"); }',
      'sm_90a',
    );
    expect(report.remarks.map(({ code }) => code)).toEqual(['C7508']);
    expect(report.remarks[0]!.what).toContain("'setmaxnreg' ignored");
  });

  it('is about one entry of several, with the functions that it calls', () => {
    const log = `ptxas info    : (C7519) warpgroup.arrive is injected in around line 55 by compiler to allow use of registers in GMMA in function 'k'
ptxas info    : (C7508) Potential Performance Loss: 'setmaxnreg' ignored; unable to determine register count at entry.
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'k2' for 'sm_80'
ptxas info    : Function properties for k2
ptxas         .     400 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 32 registers, used 0 barriers, 416 bytes cumulative stack size, 364 bytes cmem[0], 8 bytes cmem[2]
ptxas info    : Compile time = 6.218 ms
ptxas info    : Function properties for _Z3bigPfi
ptxas         .     16 bytes stack frame, 4 bytes spill stores, 4 bytes spill loads
ptxas info    : Compiling entry function 'k' for 'sm_80'
ptxas info    : Function properties for k
ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 168 registers, used 1 barriers, 256 bytes smem`;
    const common = { code: 'C7508', what: expect.stringContaining('setmaxnreg') };
    expect(reportOf(log, 'k2')).toEqual({
      registers: 32,
      spillStores: 12,
      spillLoads: 16,
      stack: 416,
      staticShared: 0,
      constant: 372,
      remarks: [common],
    });
    expect(reportOf(log, 'k')).toEqual({
      registers: 168,
      spillStores: 0,
      spillLoads: 0,
      stack: 0,
      staticShared: 256,
      constant: 0,
      remarks: [{ code: 'C7519', what: expect.stringContaining('injected') }, common],
    });
    expect(() => reportOf(log, 'k3')).toThrow("ptxas says nothing about a kernel 'k3'");
  });
});

describe('compiling', () => {
  const product = (value: number) =>
    `${devicePrimitives('shared', 'async-copy', 'matrix', 'numbers')}
extern "C" __global__ void k(float* x, const u16* y) {
  __shared__ alignas(16) u16 tile[64 * 16];
  copy_async_16(shared_address(tile + 8 * threadIdx.x), y + 8 * threadIdx.x, true);
  copy_commit();
  copy_wait<0>();
  __syncthreads();
  u32 a[4];
  float d[4] = {};
  load_matrices(a, shared_address(tile + (threadIdx.x % 16) * 64 + threadIdx.x / 16 * 8));
  multiply_bf16(d, a, a[0], a[1]);
  for (int i = 0; i < 4; i++) x[threadIdx.x * 4 + i] = exp2_fast(d[i] + ${value}.0f);
}`;

  it.each(['sm_80', 'sm_89', 'sm_90', 'sm_90a', 'sm_100'])('for %s', async (arch) => {
    const { report, milliseconds } = await compile(product(1), arch);
    console.log(`${arch}: ${milliseconds.toFixed(0)} ms cold, ${report.registers} registers`);
    expect(report.spillStores).toBe(0);
    expect(milliseconds).toBeLessThan(20_000);
  });

  it('leaves the calling thread free', async () => {
    let ticks = 0;
    const timer = setInterval(() => (ticks += 1), 1);
    const start = performance.now();
    await Promise.all([2, 3, 4, 5, 6, 7, 8, 9].map((value) => compile(product(value))));
    const elapsed = performance.now() - start;
    clearInterval(timer);
    console.log(
      `8 kernels at once in ${elapsed.toFixed(0)} ms, ${ticks} ticks of a timer meanwhile`,
    );
    expect(ticks).toBeGreaterThan(5);
  });

  it('refuses arguments of another type', async () => {
    const call = (request: object) => nvrtc.compile(request as never);
    const arch = 'sm_80';
    await expect(call({ source: 7, name: 'k', arch })).rejects.toThrow(TypeError);
    await expect(call({ source: '', name: 'k', arch, options: [7] })).rejects.toThrow(TypeError);
  });

  const slow = `extern "C" __global__ void k(float* x) {\n${Array.from({ length: 600 }, (_, i) => `x[${i}] = x[${i + 1}] * ${i}.0f;`).join('\n')}\n}`;
  const inProcess = (lines: string) => `
    import { findNvrtc } from ${JSON.stringify(new URL('../../runtime/cuda/nvrtc.ts', import.meta.url).href)};
    const nvrtc = await findNvrtc();
    const source = ${JSON.stringify(slow)};
    const compiling = nvrtc.compile({ source, name: 'k', arch: 'sm_80' });
    ${lines}`;
  const node = ['--import', 'tsx', '--input-type=module', '-e'];

  it('does not keep a process from ending while it runs', async () => {
    const child = spawn(process.execPath, [
      ...node,
      inProcess('setTimeout(() => process.exit(7), 20);'),
    ]);
    const [status, signal] = await once(child, 'exit');
    expect([status, signal]).toEqual([7, null]);
  });

  it('ends a process that waits for it when it is done', async () => {
    const { status, stdout } = spawnSync(
      process.execPath,
      [...node, inProcess('console.log((await compiling).cubin.length > 1000);')],
      { encoding: 'utf8' },
    );
    expect([status, stdout]).toEqual([0, 'true\n']);
  });

  it('works on worker threads, and ends with one that is ended', async () => {
    const script = `
      const { parentPort } = require('node:worker_threads');
      const { openNvrtc } = require(${JSON.stringify(addonStatus().path)});
      const source = ${JSON.stringify(slow)};
      openNvrtc(${JSON.stringify(nvrtc.path)}).then(async ({ compile }) => {
        const small = await compile('extern "C" __global__ void k() {}', 'k.cu', []);
        const running = compile(source, 'k.cu', ['--gpu-architecture=sm_80']);
        parentPort.postMessage(small.status);
        await running;
        parentPort.postMessage('done');
      });`;
    for (const isEnded of [true, false]) {
      const worker = new Worker(script, { eval: true });
      expect(await once(worker, 'message')).toEqual([0]);
      if (isEnded) await worker.terminate();
      else expect(await once(worker, 'message')).toEqual(['done']);
    }
    expect((await compile(product(77))).fromCache).toBe(false);
  });
});

describe('finding NVRTC', () => {
  const found = async (environment: Record<string, string>): Promise<Place[]> => {
    const all: Place[] = [];
    for await (const place of places(environment)) all.push(place);
    return all;
  };

  it('goes by the loader, the toolkit, our own folder, and Python last', async () => {
    const named = (await found({ CUDA_HOME: '/a' })).map(({ place }) => place);
    expect(named).toEqual([
      "the loader's path",
      'CUDA_HOME=/a',
      'CUDA_PATH',
      '/usr/local/cuda*',
      expect.stringMatching(/\.warploom.nvrtc$/),
      'the packages of Python',
    ]);
  });

  it('takes the newest of a folder, and nothing that only looks like it', () => {
    const own = join(folder, 'several');
    mkdirSync(own);
    for (const name of [
      'libnvrtc.so.9',
      'libnvrtc.so.12',
      'libnvrtc.so.13.0.88',
      'libnvrtc.alt.so.13',
      'libnvrtc-builtins.so.13.0',
      'libnvrtc_static.a',
    ]) {
      writeFileSync(join(own, name), '');
    }
    expect(librariesIn(own).map((path) => basename(path))).toEqual([
      'libnvrtc.so.13.0.88',
      'libnvrtc.so.12',
      'libnvrtc.so.9',
    ]);
  });

  it('finds the toolkit of CUDA_HOME', async () => {
    const home = join(folder, 'cuda');
    mkdirSync(join(home, 'lib64'), { recursive: true });
    symlinkSync(nvrtc.path, join(home, 'lib64', basename(nvrtc.path)));
    const place = (await found({ CUDA_HOME: home })).find((one) => one.place.endsWith(home))!;
    expect(place.libraries).toEqual([join(home, 'lib64', basename(nvrtc.path))]);
    expect((await openFirst([place])).version).toBe(nvrtc.version);
  });

  it('finds what pip installed, the newest first, and says when there is no Python', async () => {
    const site = join(folder, 'site-packages');
    for (const file of ['cuda_nvrtc/lib/libnvrtc.so.12', 'cu13/lib/libnvrtc.so.13']) {
      mkdirSync(join(site, 'nvidia', dirname(file)), { recursive: true });
      writeFileSync(join(site, 'nvidia', file), '');
    }
    const bin = join(folder, 'bin');
    mkdirSync(bin);
    const python = join(bin, 'python3');
    writeFileSync(python, `#!/bin/sh\necho '["", "/none", "${site}"]'\n`);
    chmodSync(python, 0o755);
    const last = async (PATH: string) => (await found({ PATH })).at(-1)!;
    expect((await last(`${bin}:/bin:/usr/bin`)).libraries).toEqual([
      join(site, 'nvidia/cu13/lib/libnvrtc.so.13'),
      join(site, 'nvidia/cuda_nvrtc/lib/libnvrtc.so.12'),
    ]);
    expect(await last(join(folder, 'nothing'))).toMatchObject({
      libraries: [],
      otherwise: 'there is no python3 on the path',
    });
  });

  it('goes on past one that does not open, and lists every place when there is none', async () => {
    const broken = join(folder, 'several', 'libnvrtc.so.12');
    const wrong: Place = { place: 'first', libraries: [broken], otherwise: '' };
    const none: Place = { place: 'second', libraries: [], otherwise: 'no libnvrtc.so*' };
    const right: Place = { place: 'third', libraries: [nvrtc.path], otherwise: '' };
    expect((await openFirst([wrong, none, right])).path).toBe(nvrtc.path);
    const error = await openFirst([wrong, none]).catch((reason: unknown) => reason);
    expect((error as Error).message.replaceAll(folder, 'FOLDER')).toMatchInlineSnapshot(`
      "error[R009]: NVRTC, the run-time compiler of CUDA, is not there
        = note: first: FOLDER/several/libnvrtc.so.12: file too short
        = note: second: no libnvrtc.so*
        = help: pip install nvidia-cuda-nvrtc, or set WARPLOOM_NVRTC to libnvrtc.so.* or its folder; or run 'warploom compile' where one is: its kernels need none"
    `);
  });

  // Where the loader knows an NVRTC, it finds the built-in functions of that one.
  it.skipIf(!nvrtc.path.includes('.warploom'))('says when a part of it is missing', () => {
    const alone = join(folder, 'alone');
    mkdirSync(alone);
    const copy = join(alone, basename(nvrtc.path));
    try {
      linkSync(nvrtc.path, copy);
    } catch {
      cpSync(nvrtc.path, copy);
    }
    const module = new URL('../../runtime/cuda/nvrtc.ts', import.meta.url).href;
    const script = `
      import { findNvrtc } from ${JSON.stringify(module)};
      const source = 'extern "C" __global__ void k() {}';
      const request = { source, name: 'k', arch: 'sm_80' };
      await (await findNvrtc()).compile(request).catch(({ message }) => console.log(message));`;
    const { stdout } = spawnSync(
      process.execPath,
      ['--import', 'tsx', '--input-type=module', '-e', script],
      { encoding: 'utf8', env: { ...process.env, WARPLOOM_NVRTC: copy } },
    );
    const text = stdout.replaceAll(folder, 'FOLDER').replaceAll(nvrtc.version, 'V.V');
    expect(text.replaceAll(/\.so\.\d+/g, '.so.V')).toMatchInlineSnapshot(`
      "error[R009]: a part of NVRTC is missing: nvrtc: error: failed to open libnvrtc-builtins.so.V.V.
        Make sure that libnvrtc-builtins.so.V.V is installed correctly.
        = note: NVRTC V.V is FOLDER/alone/libnvrtc.so.V
        = help: install all of it: pip install nvidia-cuda-nvrtc, or set WARPLOOM_NVRTC to libnvrtc.so.* or its folder
      "
    `);
  });
});
