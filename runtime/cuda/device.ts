// The CUDA device as users hold it, also an emulated one: what it is, tensors brought to it, and its end.

import { DeviceError, diagnostic } from '../../dsl/diagnostic.ts';
import type { Backend } from '../backend.ts';
import { Tensor } from '../tensor.ts';
import { CudaBackend } from './backend.ts';
import { Block, BlockMemory } from './block.ts';
import { Gpu } from './gpu.ts';
import type { Machine } from './machine.ts';
import { type CudaProperties, openCudaDevice } from './native.ts';

/** A GPU, or its emulation: kernels generated, compiled when first needed, launched in the order of the calls. */
export class GpuDevice {
  readonly kind: 'cuda' | 'emulated';
  /** For people: the name of the chip, and how it is reached. */
  readonly description: string;
  /** What the chip is; undefined where it is emulated. */
  readonly properties: CudaProperties | undefined;
  /** @internal */
  readonly machine: Machine;
  /** @internal */
  readonly backend: Backend;
  #disposed = false;

  constructor(machine: Machine, properties?: CudaProperties) {
    this.kind = properties ? 'cuda' : 'emulated';
    this.machine = machine;
    this.properties = properties;
    this.description = properties ? `${machine.name}, ${properties.name}` : machine.name;
    this.backend = new CudaBackend(machine);
  }

  /** `cuda:0`, `emulated:sm_80` */
  get name(): string {
    return this.machine.name;
  }

  /** Throws DeviceError R003 after `dispose`, R008 after a fault. */
  check(): void {
    if (this.#disposed) {
      throw new DeviceError([
        diagnostic('R003', 'this device was disposed', { help: 'open another with openDevice()' }),
      ]);
    }
    this.machine.check();
  }

  /** A copy of a tensor in the memory of this device: calls with it copy nothing. throws: DeviceError R007. */
  async upload(tensor: Tensor): Promise<Tensor> {
    this.check();
    const { dtype, shape, layout, data } = tensor;
    const block = new Block(this.machine, data.byteLength);
    try {
      await this.machine.upload(block.address, data);
    } catch (error) {
      block.release();
      throw error;
    }
    return new Tensor({ data: new BlockMemory(block), dtype, shape, layout });
  }

  /** Resolves when all work enqueued before is done. */
  async synchronize(): Promise<void> {
    this.check();
    await this.machine.synchronize();
  }

  /** Waits for the work at hand, then frees everything on the device. May be called again. */
  async dispose(): Promise<void> {
    this.#disposed = true;
    await this.machine.dispose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }
}

/** throws: DeviceError R002 without such a device, R005 for a WARPLOOM_ARCH that is not for it, R006 and R008 where it does not open. */
export async function openCuda(ordinal: number): Promise<GpuDevice> {
  const device = await openCudaDevice(ordinal);
  try {
    return new GpuDevice(new Gpu(device), device.properties);
  } catch (error) {
    await device.dispose();
    throw error;
  }
}
