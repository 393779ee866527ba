// A CUDA device as a machine: kernels compiled by NVRTC and kept loaded, launch lists encoded once and kept by the
// native core, which is given their addresses for each run.

import type { Kernel, LaunchList } from '../../codegen/kernel.ts';
import { DeviceError, diagnostic, invariant } from '../../dsl/diagnostic.ts';
import { switchOf } from '../switches.ts';
import { archOf } from './arch.ts';
import { compileKernel } from './compiler.ts';
import { EncodedList, fillPlaces, joined } from './encoded.ts';
import type {
  ChipName,
  KernelFacts,
  Machine,
  Places,
  Range,
  ReadyList,
  Sequence,
} from './machine.ts';
import type { CudaDevice, CudaFunction, GraphRule, HostView } from './native.ts';
import { factsOf } from './report.ts';
import { type StepTime, StepTimes } from './step-times.ts';

/**
 * Fewer records than these are launched one by one: a graph of one kernel saves nothing. From how many on it does is a
 * guess until test/device/core.ts, which times both, has been run. A first call may be the only one of its kind.
 */
const usualGraphs: GraphRule = { records: 3, run: 2 };

/** By WARPLOOM_GRAPHS: 'off' where every kernel is to be seen, as by some profilers, 'always' in tests. */
const graphRules = {
  off: { records: 0, run: 1 },
  always: { records: 1, run: 1 },
} as const;

const graphRule = (): GraphRule => {
  const word = switchOf('WARPLOOM_GRAPHS');
  return word ? graphRules[word] : usualGraphs;
};

/** A sequence that was dropped, and its list in the native core. */
const collected = new FinalizationRegistry<{ device: WeakRef<CudaDevice>; list: number }>(
  ({ device, list }) => {
    try {
      device.deref()?.forget(list);
    } catch {
      // The device was disposed or lost, and its lists with it.
    }
  },
);

/** Lists that the native core keeps as one. */
class GpuSequence implements Sequence {
  readonly lists: readonly EncodedList[];
  readonly #gpu: Gpu;
  readonly #list: number;
  /** Filled in by each run. */
  readonly #places: Float64Array;

  constructor(gpu: Gpu, lists: readonly EncodedList[]) {
    this.#gpu = gpu;
    this.lists = lists;
    const plan = joined(lists);
    this.#list = gpu.device.prepare({ ...plan, graphs: graphRule() });
    this.#places = new Float64Array(plan.places);
    collected.register(this, { device: new WeakRef(gpu.device), list: this.#list });
  }

  run(places: readonly Places[]): void {
    fillPlaces(this.#places, this.lists, places);
    const { times, device } = this.#gpu;
    if (times) {
      const steps = this.lists.flatMap(({ list }) => list.steps);
      times.run(steps, (step) => device.step(this.#list, this.#places, step));
    } else device.replay(this.#list, this.#places);
  }
}

/** A function is made ready for so much shared memory: the same text with more of it is another one. */
const functionKey = ({ source, sharedBytes }: Kernel): string => `${sharedBytes} ${source}`;

export class Gpu implements Machine {
  readonly name: string;
  readonly arch: string;
  readonly blockSharedBytes: number;
  readonly multiprocessors: number;
  readonly chip: ChipName;
  readonly keptBytes: number;
  readonly device: CudaDevice;
  /** Equal kernels are loaded once. */
  readonly #functions = new Map<string, Promise<CudaFunction>>();
  readonly #alone = new WeakMap<ReadyList, Sequence>();
  #disposed: Promise<void> | undefined;
  #times: StepTimes | undefined;

  constructor(device: CudaDevice) {
    const { ordinal, name, driver, blockSharedBytes, multiprocessors, memoryBytes } =
      device.properties;
    this.device = device;
    this.name = `cuda:${ordinal}`;
    this.arch = archOf(device.properties);
    this.blockSharedBytes = blockSharedBytes;
    this.multiprocessors = multiprocessors;
    this.keptBytes = memoryBytes / 8;
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
    let alone = this.#alone.get(ready);
    if (!alone) {
      alone = this.join([ready]);
      this.#alone.set(ready, alone);
    }
    alone.run([places]);
  }

  join(lists: readonly ReadyList[]): Sequence {
    const encoded = lists.map((ready) => {
      invariant(ready instanceof EncodedList, 'a list was made ready by another machine');
      return ready;
    });
    return new GpuSequence(this, encoded);
  }

  /** Where the times of steps go, while somebody asks for them. */
  get times(): StepTimes | undefined {
    return this.#times;
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

  async #module(kernel: Kernel): ReturnType<CudaDevice['load']> {
    const { cubin, isAhead } = await compileKernel(kernel, this.arch);
    try {
      return await this.device.load(cubin);
    } catch (error) {
      if (!isAhead) throw error;
      // The driver may be older than the NVRTC of another machine: the one that is here may fit it.
      const own = await compileKernel(kernel, this.arch, { takesAhead: false }).catch(() => {
        throw error;
      });
      return this.device.load(own.cubin);
    }
  }

  #load(kernel: Kernel): Promise<CudaFunction> {
    const { name, sharedBytes } = kernel;
    const key = functionKey(kernel);
    let loading = this.#functions.get(key);
    if (!loading) {
      loading = this.#module(kernel).then((module) =>
        this.device.function(module, name, sharedBytes),
      );
      this.#functions.set(key, loading);
      loading.catch(() => this.#functions.delete(key));
    }
    return loading;
  }
}
