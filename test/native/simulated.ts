// The simulated driver for tests: builds it once per source, points the native core to it, and knows its
// modules. What it simulates: simulated-driver.cc.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { CudaDevice } from '../../runtime/cuda/native.ts';

export const root = resolve(import.meta.dirname, '../..');
const sources = [
  'test/native/simulated-driver.cc',
  'test/native/simulated-device.h',
  'test/native/simulated-graph.h',
  'runtime/native/cuda/driver.h',
].map((path) => join(root, path));

/** Runs a compiler and throws what it says when it fails. */
export function compile(args: readonly string[], compiler = process.env.CXX ?? 'g++'): void {
  const { status, stderr, error } = spawnSync(compiler, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${compiler} failed: ${error?.message ?? stderr}`);
}

/** The path of the built driver. */
export function simulatedDriver(): string {
  const hash = createHash('sha256');
  for (const source of sources) hash.update(readFileSync(source));
  const folder = join(root, 'build', 'simulated', hash.digest('hex').slice(0, 16));
  const library = join(folder, 'libcuda.so.1');
  if (existsSync(library)) return library;
  mkdirSync(folder, { recursive: true });
  // Tests run at the same time: each builds its own, the last one stays.
  const own = `${library}.${process.pid}`;
  const flags = ['-std=c++17', '-O1', '-shared', '-fPIC', '-fvisibility=hidden', '-pthread'];
  compile([...flags, '-o', own, sources[0]!]);
  renameSync(own, library);
  return library;
}

/**
 * Makes this process use the simulated driver. Before anything of CUDA is called. `chips`: the compute
 * capability of each device, 90 for 9.0. `bare`: to time what calls it.
 */
export function useSimulatedDriver(
  settings: { devices?: number; memory?: number; chips?: readonly number[]; bare?: boolean } = {},
): void {
  process.env.WARPLOOM_LIBCUDA = simulatedDriver();
  process.env.SIMULATED_DEVICES = String(settings.devices ?? 1);
  process.env.SIMULATED_MEMORY = String(settings.memory ?? 2 ** 30);
  process.env.SIMULATED_CHIPS = (settings.chips ?? [90]).join(',');
  process.env.SIMULATED_BARE = settings.bare ? '1' : '0';
}

/** A module of the simulated driver. */
export const image = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Every kernel that the simulated driver knows. */
export const kernels = image(`kernel add_one registers=40 local=8 shared=16 threads=512 argument=16
kernel wait argument=16
kernel shape argument=16
kernel fault argument=16
`);

/** The argument of those kernels. */
export function argument(address: number, count: number): Uint8Array {
  return new Uint8Array(BigUint64Array.of(BigInt(address), BigInt(count)).buffer);
}

/** The n-th call of a function from now on fails with a code. */
export async function failCall(
  device: CudaDevice,
  call: string,
  code: number,
  n = 1,
): Promise<void> {
  await device.load(image(`control fail ${call} ${n} ${code}`));
}

/** How many objects of each kind are alive in the driver: 'streams', 'blocks', ... */
export const aliveObjects = (device: CudaDevice): Promise<Record<string, number>> =>
  askDriver(device, 'report');

/** How often each function of the driver was called since this was last asked; of those that steer work. */
export const driverCalls = (device: CudaDevice): Promise<Record<string, number>> =>
  askDriver(device, 'calls');

async function askDriver(device: CudaDevice, what: string): Promise<Record<string, number>> {
  try {
    await device.load(image(`control ${what}`));
  } catch (error) {
    const counts = (error as Error).message.matchAll(/(\w+)=(-?\d+)/g);
    return Object.fromEntries(
      [...counts]
        .map(([, kind, count]) => [kind, Number(count)] as const)
        .filter(([, count]) => count !== 0),
    );
  }
  throw new Error('the driver is not the simulated one');
}
