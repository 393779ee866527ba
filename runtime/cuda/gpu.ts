// A CUDA device as a machine: kernels compiled by NVRTC and kept loaded, launch lists encoded once and
// given their addresses before each run.

import type { BoxMap, Kernel, LaunchList, Step } from '../../codegen/kernel.ts';
import { DeviceError, diagnostic, invariant } from '../../dsl/diagnostic.ts';
import { compileKernel } from './compiler.ts';
import {
  encodeLaunchList,
  type LaunchRecord,
  offsetsOfArguments,
  startsOf,
} from './launch-list.ts';
import type { ChipName, KernelFacts, Machine, Places, Range, ReadyList } from './machine.ts';
import type { CudaDevice, CudaFunction, CudaProperties, HostView } from './native.ts';
import { factsOf } from './report.ts';
import { type StepTime, StepTimes } from './step-times.ts';
import { encodeTensorMap } from './tensor-map.ts';

/** A tensor map among the bytes: it is encoded anew where its tensor has moved. */
interface MapPatch {
  readonly at: number;
  readonly buffer: string;
  readonly offset: number;
  readonly map: BoxMap;
  address: number | undefined;
}

/** The bytes of a list, and where the addresses of its buffers go. */
class EncodedList implements ReadyList {
  readonly list: LaunchList;
  readonly bytes: Uint8Array;
  /** Where the steps begin among the bytes, and the last one ends. */
  readonly starts: readonly number[];
  readonly #view: DataView;
  readonly #patches: readonly {
    readonly at: number;
    readonly buffer: string;
    readonly offset: number;
  }[];
  readonly #maps: readonly MapPatch[];

  constructor(list: LaunchList, functionOf: (kernel: Kernel) => CudaFunction) {
    this.list = list;
    const records = list.steps.map((step) => recordOf(step, functionOf));
    this.bytes = encodeLaunchList(records);
    this.starts = startsOf(records);
    this.#view = new DataView(this.bytes.buffer);
    const places = offsetsOfArguments(records);
    this.#patches = list.steps.flatMap((step, i) => {
      const at = places[i]!;
      if (step.op === 'fill') return [{ at, buffer: step.buffer, offset: step.offset }];
      return Object.entries(step.buffers).map(([field, { buffer, offset }]) => ({
        at: at + step.kernel.params.offsets[field]!,
        buffer,
        offset,
      }));
    });
    this.#maps = list.steps.flatMap((step, i) => {
      if (step.op === 'fill' || !step.maps) return [];
      const { offsets } = step.kernel.params;
      return Object.entries(step.maps).map(
        ([field, { buffer, offset, ...map }]): MapPatch => ({
          at: places[i]! + offsets[field]!,
          buffer,
          offset,
          map,
          address: undefined,
        }),
      );
    });
  }

  /** The bytes with the addresses of a run: good until the next. */
  placed(places: Places, device: CudaDevice): Uint8Array {
    for (const { at, buffer, offset } of this.#patches) {
      const address = places[buffer];
      invariant(address !== undefined, `the buffer '${buffer}' has no place`);
      const value = address + offset;
      this.#view.setUint32(at, value % 2 ** 32, true);
      this.#view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
    }
    for (const patch of this.#maps) {
      const place = places[patch.buffer];
      invariant(place !== undefined, `the buffer '${patch.buffer}' has no place`);
      const address = place + patch.offset;
      if (patch.address === address) continue;
      this.bytes.set(encodeTensorMap(device, { ...patch.map, address }), patch.at);
      patch.address = address;
    }
    return this.bytes;
  }
}

function recordOf(step: Step, functionOf: (kernel: Kernel) => CudaFunction): LaunchRecord {
  if (step.op === 'fill') return { op: 'fill', address: 0, bytes: step.bytes, value: step.value };
  const { kernel, grid, args, buffers } = step;
  const values = { ...args };
  for (const field of Object.keys(buffers)) values[field] = 0;
  return {
    op: 'launch',
    handle: functionOf(kernel).handle,
    grid,
    block: [kernel.threads, 1, 1],
    sharedBytes: kernel.sharedBytes,
    args: kernel.params.pack(values),
  };
}

/** A function is made ready for so much shared memory: the same text with more of it is another one. */
const functionKey = ({ source, sharedBytes }: Kernel): string => `${sharedBytes} ${source}`;

/** What kernels for a chip are compiled for. What only one family of chips has is asked for by name. */
export const archOf = ({ major, minor }: Pick<CudaProperties, 'major' | 'minor'>): string =>
  major === 9 && minor === 0 ? 'sm_90a' : `sm_${major}${minor}`;

export class Gpu implements Machine {
  readonly name: string;
  readonly arch: string;
  readonly blockSharedBytes: number;
  readonly multiprocessors: number;
  readonly chip: ChipName;
  readonly reusesMemory = true;
  readonly device: CudaDevice;
  /** Equal kernels are loaded once. */
  readonly #functions = new Map<string, Promise<CudaFunction>>();
  #disposed: Promise<void> | undefined;
  #times: StepTimes | undefined;

  constructor(device: CudaDevice) {
    const { ordinal, name, driver, blockSharedBytes, multiprocessors } = device.properties;
    this.device = device;
    this.name = `cuda:${ordinal}`;
    this.arch = archOf(device.properties);
    this.blockSharedBytes = blockSharedBytes;
    this.multiprocessors = multiprocessors;
    this.chip = { chip: name, driver };
  }

  /** A fault shows with the next call of the driver: asking for it here would cost more than a launch. */
  check(): void {
    if (!this.#disposed) return;
    throw new DeviceError([
      diagnostic('R003', 'this device was disposed', { help: 'open another with openDevice()' }),
    ]);
  }

  alloc(bytes: number): Range {
    return { address: this.device.alloc(Math.max(1, bytes)), bytes };
  }

  free({ address }: Range): void {
    if (!this.#disposed) this.device.free(address);
  }

  async upload(address: number, view: HostView): Promise<void> {
    if (view.byteLength > 0) await this.device.upload(address, view);
  }

  write(address: number, view: HostView): void {
    if (view.byteLength > 0) this.device.write(address, view);
  }

  async download(address: number, view: HostView): Promise<void> {
    if (view.byteLength > 0) await this.device.download(address, view);
  }

  async facts(kernel: Kernel): Promise<KernelFacts> {
    return factsOf((await compileKernel(kernel, this.arch)).report);
  }

  async prepare(list: LaunchList): Promise<ReadyList> {
    const functions = new Map<string, CudaFunction>();
    const kernels = list.steps.flatMap((step) => (step.op === 'launch' ? [step.kernel] : []));
    await Promise.all(
      kernels.map(async (kernel) => functions.set(functionKey(kernel), await this.#load(kernel))),
    );
    return new EncodedList(list, (kernel) => functions.get(functionKey(kernel))!);
  }

  run(ready: ReadyList, places: Places): void {
    invariant(ready instanceof EncodedList, 'a list was made ready by another machine');
    if (ready.bytes.length === 0) return;
    const bytes = ready.placed(places, this.device);
    if (this.#times) this.#times.run(ready.list.steps, bytes, ready.starts);
    else this.device.run(bytes);
  }

  /** Does work and waits for it: what each step of its launch lists took, in their order. */
  async timeSteps(work: () => Promise<unknown>): Promise<StepTime[]> {
    const times = new StepTimes(this.device);
    this.#times = times;
    try {
      await work();
      await this.synchronize();
      return await times.read();
    } finally {
      this.#times = undefined;
      times.drop();
    }
  }

  async synchronize(): Promise<void> {
    await this.device.synchronize();
  }

  async dispose(): Promise<void> {
    this.#disposed ??= this.device.dispose();
    await this.#disposed;
  }

  #load(kernel: Kernel): Promise<CudaFunction> {
    const { name, sharedBytes } = kernel;
    const key = functionKey(kernel);
    let loading = this.#functions.get(key);
    if (!loading) {
      loading = compileKernel(kernel, this.arch).then(async ({ cubin }) =>
        this.device.function(await this.device.load(cubin), name, sharedBytes),
      );
      this.#functions.set(key, loading);
      loading.catch(() => this.#functions.delete(key));
    }
    return loading;
  }
}
