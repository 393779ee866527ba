// Planted heads in the memory of a device, made by as many threads as there are cores and copied one head at a time: of
// long prompts the host never holds all. What is planted: examples/planted.

import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { Planted } from '../../examples/planted/heads.ts';
import { plantedTensors } from '../../examples/planted/rows.ts';
import { type Device, type FloatType, Tensor } from '../../index.ts';
import { Block, BlockMemory } from '../../runtime/cuda/block.ts';
import type { Machine } from '../../runtime/cuda/machine.ts';
import { bytesPerElement } from '../../runtime/dtype.ts';
import type { PlantedOrder } from './planted-worker.ts';

/** q [1, heads, qLen, headDim], k and v [1, kvHeads, length, headDim]. */
export async function plantedOn(
  device: Device,
  planted: Planted,
  dtype: FloatType,
): Promise<{ q: Tensor; k: Tensor; v: Tensor }> {
  if (device.kind === 'cpu') return plantedTensors(planted, dtype);
  const { machine } = device;
  const { heads, kvHeads, qLen, length, headDim } = planted;
  const makers = Array.from(
    { length: Math.min(heads, availableParallelism()) },
    () => new Maker(planted),
  );
  const make = async (rows: PlantedOrder['rows'], units: number, count: number) => {
    const bytes = count * headDim * bytesPerElement[dtype];
    const block = new Block(machine, units * bytes);
    let next = 0;
    const work = async (maker: Maker) => {
      for (let unit = next++; unit < units; unit = next++) {
        const memory = await maker.make(rows, unit, dtype, bytes);
        await uploadTo(machine, block.address + unit * bytes, new Uint8Array(memory));
      }
    };
    await Promise.all(makers.map(work));
    const shape = [1, units, count, headDim];
    return new Tensor({ data: new BlockMemory(block), dtype, shape });
  };
  try {
    return {
      q: await make('queries', heads, qLen),
      k: await make('keys', kvHeads, length),
      v: await make('values', kvHeads, length),
    };
  } finally {
    await Promise.all(makers.map((maker) => maker.end()));
  }
}

/** In pieces that one copy may have. */
async function uploadTo(machine: Machine, address: number, bytes: Uint8Array): Promise<void> {
  const most = 2 ** 30;
  for (let at = 0; at < bytes.length; at += most)
    await machine.upload(address + at, bytes.subarray(at, at + most));
}

/** One thread, for one order at a time. */
class Maker {
  readonly #worker: Worker;
  #memory = new SharedArrayBuffer(0);

  constructor(planted: Planted) {
    this.#worker = startWorker();
    this.#worker.postMessage(planted);
  }

  /** The rows in memory that the next order writes over. */
  async make(
    rows: PlantedOrder['rows'],
    unit: number,
    dtype: FloatType,
    bytes: number,
  ): Promise<SharedArrayBuffer> {
    if (this.#memory.byteLength !== bytes) this.#memory = new SharedArrayBuffer(bytes);
    const memory = this.#memory;
    const order: PlantedOrder = { rows, unit, dtype, memory };
    const worker = this.#worker;
    await new Promise((resolve, reject) => {
      worker.removeAllListeners();
      worker.once('message', resolve).once('error', reject);
      worker.postMessage(order);
    });
    return memory;
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }
}

/** From source the worker is TypeScript, which Node 20 loads through tsx alone. */
function startWorker(): Worker {
  if (!import.meta.url.endsWith('.ts'))
    return new Worker(new URL('./planted-worker.mjs', import.meta.url));
  const file = JSON.stringify(new URL('./planted-worker.ts', import.meta.url).href);
  const tsx = JSON.stringify(import.meta.resolve('tsx/esm/api'));
  const load = `import(${tsx}).then(({ register }) => { register(); return import(${file}); })`;
  return new Worker(load, { eval: true, execArgv: [] });
}
