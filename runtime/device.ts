// Devices: where attention runs. Today the CPU, which is always there; a device is asked for by name.

import { availableParallelism } from 'node:os';
import { DeviceError, diagnostic } from '../dsl/diagnostic.ts';
import type { Backend } from './backend.ts';
import { CpuBackend } from './cpu/backend.ts';
import { Pool } from './cpu/pool.ts';
import { tileProducts } from './cpu/products.ts';

export interface DeviceOptions {
  /** Worker threads of the CPU device; 0 works on the calling thread. Default: one per core. */
  readonly threads?: number;
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

export type Device = CpuDevice;

/** The devices that this version has. */
export const deviceKinds = ['cpu'] as const;

/**
 * Opens a device: the named one, else the one that WARPLOOM_DEVICE names, else the best there is.
 * Throws DeviceError R002 for a device that is not there, R005 for options out of range.
 */
export async function openDevice(kind?: string, options: DeviceOptions = {}): Promise<Device> {
  const wanted = kind ?? process.env.WARPLOOM_DEVICE ?? 'cpu';
  if (wanted !== 'cpu') {
    throw new DeviceError([
      diagnostic('R002', `there is no device '${wanted}'`, {
        help: `this version has: ${deviceKinds.join(', ')}`,
      }),
    ]);
  }
  const { threads = availableParallelism() } = options;
  if (!Number.isInteger(threads) || threads < 0 || threads > 1024) {
    throw new DeviceError([
      diagnostic('R005', `threads is ${String(threads)}`, { help: 'give an integer from 0' }),
    ]);
  }
  return new CpuDevice(threads);
}
