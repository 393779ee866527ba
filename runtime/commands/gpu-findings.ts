// What `warploom doctor` finds of CUDA: the driver and its devices, the compiler NVRTC, the cache of kernels,
// and whether a tiny kernel compiles and runs. A machine without a GPU is well without them.

import { existsSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pattern } from '../../dsl/pattern.ts';
import { bytesText } from '../../dsl/plan/explain.ts';
import { compile } from '../attend.ts';
import { aheadCache, aheadFolders } from '../cuda/ahead.ts';
import { archOf, ownArch } from '../cuda/arch.ts';
import { cacheFolder, type KernelCache, kernelCache } from '../cuda/cache.ts';
import { compileKernel } from '../cuda/compiler.ts';
import { openCuda } from '../cuda/device.ts';
import { type CudaDevices, cudaDevices } from '../cuda/native.ts';
import { findNvrtc } from '../cuda/nvrtc.ts';
import { openDevice } from '../device.ts';
import { codeOf } from '../files/atomic.ts';
import { addonStatus } from '../native.ts';
import { tensor } from '../tensor.ts';
import { diagnosticsOf } from './failure.ts';
import { statOf } from './files.ts';
import type { Finding } from './finding.ts';
import { usualArch } from './kernels.ts';
import { duration } from './terminal.ts';

/** Everything about CUDA, in the order in which one thing needs the other. */
export async function gpuFindings(): Promise<Finding[]> {
  const cuda = cudaDevices();
  const compiler = await compilerOf();
  const ahead = await Promise.all(aheadFolders(cacheFolder()).map(aheadOf));
  const cache = await cacheOf(kernelCache());
  const findings = [driverOf(cuda), ...devicesOf(cuda), compiler, cache, ...ahead.flat()];
  if (compiler.state === 'ok') findings.push(await wellDone('kernel', compileTest));
  if (compiler.state === 'ok' && cuda.devices.length > 0)
    findings.push(await wellDone('attention on the GPU', runTest));
  return [...findings, await wellDone('device', openTest)];
}

function driverOf({ driver, error }: CudaDevices): Finding {
  if (driver !== undefined && error === undefined)
    return { what: 'driver', state: 'ok', found: `for CUDA ${driver}` };
  // No GPU is wanting where nobody meant to have one; who names a driver does.
  const isNamed = Boolean(process.env.WARPLOOM_LIBCUDA);
  const fix = isNamed
    ? 'name the library libcuda.so.1, or unset WARPLOOM_LIBCUDA'
    : 'on a machine with an NVIDIA GPU, install its driver (or name it: WARPLOOM_LIBCUDA)';
  const state = isNamed ? 'missing' : 'ok';
  return { what: 'driver', state, found: `none: ${error ?? 'no answer'}`, fix };
}

const devicesOf = ({ devices }: CudaDevices): Finding[] =>
  devices.map((gpu) => {
    const { ordinal, name, major, multiprocessors, memoryBytes } = gpu;
    const what = `cuda:${ordinal}`;
    const found = `${name}, ${ownArch(gpu)}, ${multiprocessors} multiprocessors, ${bytesText(memoryBytes)}`;
    if (major < 8)
      return {
        what,
        state: 'broken',
        found,
        fix: "kernels need sm_80 or later: openDevice('cpu')",
      };
    try {
      const arch = archOf(gpu);
      const asked = arch === ownArch(gpu) ? '' : `\nkernels are for ${arch}, as WARPLOOM_ARCH asks`;
      return { what, state: 'ok', found: `${found}${asked}` };
    } catch (error) {
      return { what, state: 'broken', ...reasonOf(error) };
    }
  });

async function compilerOf(): Promise<Finding> {
  try {
    const { path, version, architectures } = await findNvrtc();
    const found = `${version}, ${path}\nfor ${architectures.join(', ')}`;
    return { what: 'nvrtc', state: 'ok', found };
  } catch (error) {
    const isAddonHere = addonStatus().loaded;
    const reason = { ...reasonOf(error), ...(!isAddonHere && { fix: 'see addon' }) };
    return { what: 'nvrtc', state: 'missing', ...reason };
  }
}

/** Where nothing can be kept, all works: every process compiles anew what it needs, and tunes for itself. */
async function cacheOf(cache: KernelCache): Promise<Finding> {
  const fix = 'name another folder: WARPLOOM_CACHE';
  try {
    await cache.open();
  } catch (error) {
    return { what: 'cache', state: 'missing', found: reasonOf(error).found, fix };
  }
  return kernelsIn('cache', cache, fix);
}

async function kernelsIn(what: string, { folder }: KernelCache, fix: string): Promise<Finding> {
  try {
    const names = (await readdir(folder)).filter((name) => name.endsWith('.kernel'));
    const sizes = await Promise.all(
      names.map(async (name) => (await stat(join(folder, name))).size),
    );
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    const found = `${folder}, ${names.length} kernels, ${bytesText(bytes)}`;
    return { what, state: 'ok', found };
  } catch (error) {
    return { what, state: 'missing', found: `${folder} cannot be read: ${codeOf(error)}`, fix };
  }
}

/** Kernels compiled ahead. The cache folder need not have any; one that is named for them has to. */
async function aheadOf(home: string): Promise<Finding[]> {
  const what = 'compiled ahead';
  const fix = "name the folder of 'warploom compile --cache FOLDER', or unset WARPLOOM_KERNELS";
  const cache = aheadCache(home);
  if (existsSync(cache.folder)) return [await kernelsIn(what, cache, fix)];
  if (home === cacheFolder()) return [];
  const place = statOf(home);
  const found = place?.isDirectory()
    ? `${home} holds no kernels that were compiled ahead`
    : `WARPLOOM_KERNELS names ${home}, which ${place ? 'is no folder' : 'does not exist'}`;
  return [{ what, state: 'missing', found, fix }];
}

async function wellDone(what: string, work: () => Promise<string>): Promise<Finding> {
  try {
    return { what, state: 'ok', found: await work() };
  } catch (error) {
    return { what, state: 'broken', ...reasonOf(error) };
  }
}

function reasonOf(error: unknown): { found: string; fix: string } {
  const [first] = diagnosticsOf(error) ?? [];
  const message = error instanceof Error ? error.message : String(error);
  const usual = 'report it, with what stands above';
  if (!first) return { found: message.split('\n')[0] ?? message, fix: usual };
  const notes = first.notes.map(({ what }) => `  ${what}`);
  return { found: [first.what, ...notes].join('\n'), fix: first.help ?? usual };
}

/** A kernel that does nothing much, past the cache that may hold it. */
async function compileTest(): Promise<string> {
  const source = 'extern "C" __global__ void doctor(float* x) { x[threadIdx.x] = 1; }';
  const { milliseconds, fromCache } = await compileKernel({ name: 'doctor', source }, usualArch());
  const how = fromCache ? 'comes from the cache' : 'compiles';
  return `a tiny kernel for ${usualArch()} ${how} (${duration(milliseconds)})`;
}

/** What everybody gets who names no device. */
async function openTest(): Promise<string> {
  const device = await openDevice();
  await device.dispose();
  const isNamed = Boolean(process.env.WARPLOOM_DEVICE);
  return `${device.description}: ${isNamed ? 'WARPLOOM_DEVICE names it' : 'the best there is'}`;
}

/** Each row attends to itself alone, so that the output is v. */
async function runTest(): Promise<string> {
  const start = performance.now();
  const device = await openCuda(0);
  try {
    const self = pattern('doctor').mask(({ q, k }) => k === q);
    const attend = await compile(self, { heads: 1, headDim: 64, dtype: 'bf16', device });
    const make = (seed: number) => tensor.random([1, 1, 128, 64], { seed, dtype: 'bf16' });
    const v = make(3);
    const { out } = await attend({ q: make(1), k: make(2), v });
    const [got, expected] = [await out.read(), await v.read()];
    if (!got.every((value, i) => value === expected[i]))
      throw new Error('a kernel computes otherwise');
    return `rows that see themselves alone give v (${duration(performance.now() - start)})`;
  } finally {
    await device.dispose();
  }
}
