// Devices: where attention runs. The CPU, which is always there, and CUDA; a device is asked for by name.

import { availableParallelism } from 'node:os';
import { DeviceError, diagnostic } from '../dsl/diagnostic.ts';
import { checkOptions } from './arguments.ts';
import type { Backend } from './backend.ts';
import { CpuBackend } from './cpu/backend.ts';
import { Pool } from './cpu/pool.ts';
import { tileProducts } from './cpu/products.ts';
import { isAnyAhead } from './cuda/ahead.ts';
import { cacheFolder } from './cuda/cache.ts';
import { GpuDevice, openCuda } from './cuda/device.ts';
import { nvrtcVersion } from './cuda/known-nvrtc.ts';
import { cudaDevices } from './cuda/native.ts';
import { EmulatedMachine, emulatedArchs } from './emulator/machine.ts';

export interface DeviceOptions {
  /** Worker threads of the CPU device; 0 works on the calling thread. Default: one per core. */
  readonly threads?: number;
  /** Of an emulated device: 0 (by default) is the latest that copies land, any other a random legal order. */
  readonly seed?: number;
  /** Of an emulated device: are products fused with sums, as GPUs' compilers do? By default as WARPLOOM_EMULATOR_FMA says. */
  readonly fma?: boolean;
}

/** The CPU device: plans interpreted tile by tile on worker threads. */
export class CpuDevice {
  readonly kind = 'cpu';
  readonly threads: number;
  /** @internal */
  readonly backend: Backend;
  readonly #pool: Pool;
  #disposed = false;

  constructor(threads: number) {
    this.threads = threads;
    this.#pool = new Pool(threads);
    this.backend = new CpuBackend(this.#pool);
  }

  /** What does the tile products: 'avx512', 'avx2', 'neon', 'portable' or 'typescript'. */
  get products(): string {
    return tileProducts().name;
  }

  /** For people: threads, and what does the tile products. */
  get description(): string {
    return `cpu, ${this.threads} threads, ${this.products} products`;
  }

  /** Throws DeviceError R003 after `dispose`. */
  check(): void {
    if (this.#disposed) {
      throw new DeviceError([
        diagnostic('R003', 'this device was disposed', { help: 'open another with openDevice()' }),
      ]);
    }
  }

  /** Ends the worker threads. Calls in flight are rejected. */
  async dispose(): Promise<void> {
    this.#disposed = true;
    await this.#pool.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }
}

export type Device = CpuDevice | GpuDevice;

/** The devices that this version has; `cuda:1` is the second GPU. */
export const deviceKinds = ['cpu', 'cuda', 'emulated:sm_80', 'emulated:sm_90a'] as const;

/**
 * Opens a device: the named one, else the one that WARPLOOM_DEVICE names, else the best there is: a GPU if
 * its driver is there and the compiler NVRTC, or kernels that were compiled ahead; or the CPU. Throws DeviceError R002
 * for a device that is not there, R005 for options out of range, R006 and R008 for one that does not open.
 */
export async function openDevice(kind: 'cpu', options?: DeviceOptions): Promise<CpuDevice>;
export async function openDevice(kind: 'cuda' | `cuda:${number}`): Promise<GpuDevice>;
export async function openDevice(kind?: string, options?: DeviceOptions): Promise<Device>;
export async function openDevice(kind?: string, options: DeviceOptions = {}): Promise<Device> {
  checkOptions('openDevice', options, ['threads', 'seed', 'fma']);
  // An empty variable says nothing, as one that is not set.
  const wanted = kind ?? (process.env.WARPLOOM_DEVICE || (await bestKind()));
  if (wanted === 'cpu') return openCpu(options);
  const [, ordinal] = /^cuda(?::(\d+))?$/.exec(wanted) ?? [undefined, undefined];
  if (wanted === 'cuda' || ordinal !== undefined) return openCuda(Number(ordinal ?? 0));
  const arch = emulatedArchs.find((one) => wanted === `emulated:${one}`);
  const { seed = 0, fma } = options;
  if (arch !== undefined) {
    if (!Number.isSafeInteger(seed) || seed < 0)
      refuseOption('seed', seed, 'a whole number from 0');
    return new GpuDevice(new EmulatedMachine(arch, { seed, fma }));
  }
  throw new DeviceError([
    diagnostic('R002', `there is no device '${wanted}'`, {
      help: `this version has: ${deviceKinds.join(', ')}; 'cuda:1' is the second GPU`,
    }),
  ]);
}

async function bestKind(): Promise<'cpu' | 'cuda'> {
  if (cudaDevices().devices.length === 0) return 'cpu';
  if (isAnyAhead(cacheFolder())) return 'cuda';
  try {
    await nvrtcVersion(cacheFolder());
    return 'cuda';
  } catch {
    return 'cpu';
  }
}

function openCpu({ threads = availableParallelism() }: DeviceOptions): CpuDevice {
  if (!Number.isInteger(threads) || threads < 0 || threads > 1024) {
    refuseOption('threads', threads, 'an integer from 0 to 1024');
  }
  return new CpuDevice(threads);
}

function refuseOption(name: string, value: unknown, wanted: string): never {
  throw new DeviceError([
    diagnostic('R005', `${name} is ${String(value)}`, { help: `give ${wanted}` }),
  ]);
}
