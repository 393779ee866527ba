// Kernels that were compiled ahead, by this NVRTC or another, beside the cache and a driver that may not take them.

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Kernel, LaunchList } from '../../codegen/kernel.ts';
import { Struct } from '../../codegen/struct.ts';
import { compileAhead, compileKernel } from '../../runtime/cuda/compiler.ts';
import { decodeEntry, encodeEntry } from '../../runtime/cuda/entry.ts';
import { Gpu } from '../../runtime/cuda/gpu.ts';
import { openCudaDevice } from '../../runtime/cuda/native.ts';
import { findNvrtc } from '../../runtime/cuda/nvrtc.ts';
import { failCall, useSimulatedDriver } from '../native/simulated.ts';

useSimulatedDriver({ devices: 1 });
const nvrtc = await findNvrtc();
const root = mkdtempSync(join(tmpdir(), 'warploom-ahead-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let shipped = root;
let own = root;
const { WARPLOOM_CACHE } = process.env;
beforeEach(() => {
  [shipped, own] = [mkdtempSync(join(root, 'shipped-')), mkdtempSync(join(root, 'own-'))];
  Object.assign(process.env, { WARPLOOM_CACHE: own, WARPLOOM_KERNELS: shipped });
});
afterEach(() => {
  Object.assign(process.env, { WARPLOOM_CACHE });
  delete process.env.WARPLOOM_KERNELS;
  delete process.env.WARPLOOM_NVRTC;
});

const kernel: Kernel = {
  name: 'k',
  source: 'extern "C" __global__ void k(float* x) { x[threadIdx.x] *= 3; }',
  threads: 32,
  sharedBytes: 0,
  params: new Struct('Arguments', []),
};
const arch = 'sm_90a';
const entriesOf = (folder: string, name: string): string[] => {
  try {
    return readdirSync(join(folder, name));
  } catch {
    return [];
  }
};

/** As if another NVRTC had compiled what is there. */
function ageEntry(): void {
  const [name] = entriesOf(shipped, 'ahead');
  const file = join(shipped, 'ahead', name!);
  const key = name!.replace('.kernel', '');
  const entry = decodeEntry(key, readFileSync(file))!;
  writeFileSync(file, encodeEntry(key, { ...entry, compiler: '12.0' }));
}

describe('a kernel that was compiled ahead', () => {
  it('is taken by whoever compiles, and kept nowhere else', async () => {
    expect(await compileKernel(kernel, arch)).toMatchObject({ fromCache: false, isAhead: false });
    rmSync(own, { recursive: true });
    expect(await compileAhead(kernel, arch, shipped)).toMatchObject({ fromCache: false });
    expect(await compileKernel(kernel, arch)).toMatchObject({ fromCache: true, isAhead: true });
    expect(entriesOf(own, 'kernels')).toEqual([]);
    expect(await compileKernel(kernel, arch, { nvrtc })).toMatchObject({ isAhead: false });
  });

  it('serves another NVRTC, which compiles it anew when it is asked to compile ahead', async () => {
    await compileAhead(kernel, arch, shipped);
    ageEntry();
    expect(await compileKernel(kernel, arch)).toMatchObject({ isAhead: true });
    expect(await compileAhead(kernel, arch, shipped)).toMatchObject({ fromCache: false });
    expect(await compileAhead(kernel, arch, shipped)).toMatchObject({ fromCache: true });
  });

  it('is what the cache has, where that has it', async () => {
    const { cubin } = await compileKernel(kernel, arch);
    const ahead = await compileAhead(kernel, arch, shipped);
    expect(ahead.fromCache).toBe(true);
    expect(ahead.cubin).toEqual(cubin);
  });
});

describe('a driver that does not take it', () => {
  const grid = [1, 1, 1] as const;
  const list: LaunchList = {
    workspace: [],
    steps: [{ op: 'launch', kernel, grid, args: {}, buffers: {} }],
  };

  async function loaded(): Promise<unknown> {
    await compileAhead(kernel, arch, shipped);
    ageEntry();
    const device = await openCudaDevice();
    const gpu = new Gpu(device);
    try {
      await failCall(device, 'cuModuleLoadDataEx', 222);
      return await gpu.prepare(list).then(
        () => 'loaded',
        (error: Error) => error.message,
      );
    } finally {
      await gpu.dispose();
    }
  }

  it('gets one by the NVRTC that is there', async () => {
    expect(await loaded()).toBe('loaded');
    expect(entriesOf(own, 'kernels')).toHaveLength(1);
  });

  it('is told, where there is none', async () => {
    await compileAhead(kernel, arch, shipped);
    process.env.WARPLOOM_NVRTC = '/nowhere';
    const said = await loaded();
    expect(said).toMatch(/error\[R0\d\d\]/);
    expect(said).not.toContain('R009');
  });
});
