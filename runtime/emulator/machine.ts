// The emulator as a machine: memory on the host, launch lists run one after another by processes that
// execute the generated CUDA C on the CPU.

import type { Kernel, LaunchList, Step } from '../../codegen/kernel.ts';
import { DeviceError, diagnostic, invariant } from '../../dsl/diagnostic.ts';
import type { KernelFacts, Machine, Places, Range, ReadyList } from '../cuda/machine.ts';
import type { HostView } from '../cuda/native.ts';
import { KernelFault } from './fault.ts';
import { type EmulatorOptions, runEmulated } from './run.ts';

/** The most shared memory of a block: on a sm_80 what every chip from there on has, on a sm_90a Hopper's. */
const sharedBytesOf = { sm_80: 99 * 1024, sm_90a: 227 * 1024 } as const;

/** What can be emulated: the portable kernels, and those of Hopper. */
export type EmulatedArch = keyof typeof sharedBytesOf;
export const emulatedArchs = Object.keys(sharedBytesOf) as readonly EmulatedArch[];

const alignment = 256;

export class EmulatedMachine implements Machine {
  readonly name: string;
  readonly arch: string;
  readonly blockSharedBytes: number;
  readonly multiprocessors = 4;
  readonly #options: EmulatorOptions;
  /** By address, which counts up and is never used twice. */
  readonly #memory = new Map<number, Uint8Array>();
  /** Allocations that nothing has written yet: kernels must not read them. */
  readonly #fresh = new Set<number>();
  #next = alignment;
  /** The work so far. */
  #work: Promise<void> = Promise.resolve();
  #fault: unknown;
  #disposed = false;

  constructor(arch: EmulatedArch, options: EmulatorOptions = {}) {
    this.arch = arch;
    this.name = `emulated:${arch}`;
    this.blockSharedBytes = sharedBytesOf[arch];
    this.#options = options;
  }

  check(): void {
    if (this.#fault) throw this.#fault;
    if (!this.#disposed) return;
    throw new DeviceError([
      diagnostic('R003', 'this device was disposed', { help: 'open another with openDevice()' }),
    ]);
  }

  alloc(bytes: number): Range {
    this.check();
    const address = this.#next;
    // A gap after each: the end of one, where empty buffers may lie, is not the start of another.
    this.#next += (Math.ceil(bytes / alignment) + 1) * alignment;
    this.#memory.set(address, new Uint8Array(bytes).fill(0xff));
    this.#fresh.add(address);
    return { address, bytes };
  }

  free({ address }: Range): void {
    this.#enqueue(() => {
      this.#memory.delete(address);
      this.#fresh.delete(address);
    });
  }

  async upload(address: number, view: HostView): Promise<void> {
    this.write(address, view);
    await this.synchronize();
  }

  write(address: number, view: HostView): void {
    const bytes = copyOf(view);
    this.#enqueue(() => {
      const { start, memory, offset } = this.#find(address);
      memory.set(bytes, offset);
      this.#fresh.delete(start);
    });
  }

  async download(address: number, view: HostView): Promise<void> {
    await this.synchronize();
    const { memory, offset } = this.#find(address);
    const target = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    target.set(memory.subarray(offset, offset + target.length));
  }

  async facts(_kernel: Kernel): Promise<KernelFacts> {
    return { registers: 0, spillBytes: 0, isSerialized: false };
  }

  async prepare(list: LaunchList): Promise<ReadyList> {
    return { list };
  }

  run({ list }: ReadyList, places: Places): void {
    this.check();
    const now = { ...places };
    this.#enqueue(() => this.#execute(list, now));
  }

  async synchronize(): Promise<void> {
    await this.#work;
    this.check();
  }

  async dispose(): Promise<void> {
    this.#disposed = true;
    await this.#work;
    this.#memory.clear();
  }

  /** A fault stays: what comes after it is not run. */
  #enqueue(work: () => void | Promise<void>): void {
    this.#work = this.#work.then(async () => {
      if (this.#fault) return;
      try {
        await work();
      } catch (error) {
        this.#fault = error;
      }
    });
  }

  #find(address: number): { start: number; memory: Uint8Array; offset: number } {
    for (const [start, memory] of this.#memory)
      if (address >= start && address <= start + memory.length)
        return { start, memory, offset: address - start };
    invariant(false, `nothing is allocated at ${address}`);
  }

  /** The list over whole allocations instead of its named buffers; workspace stays apart, with guards. */
  async #execute(list: LaunchList, places: Places): Promise<void> {
    const used = new Map<number, Uint8Array>();
    const workspace = new Set(list.workspace.map(({ name }) => name));
    const placed = (buffer: string, offset: number): { buffer: string; offset: number } => {
      if (workspace.has(buffer)) return { buffer, offset };
      const address = places[buffer];
      invariant(address !== undefined, `the buffer '${buffer}' has no place`);
      const { start, memory, offset: inside } = this.#find(address);
      used.set(start, memory);
      return { buffer: `${start}`, offset: inside + offset };
    };
    const steps = list.steps.map((step): Step => {
      if (step.op === 'fill') return { ...step, ...placed(step.buffer, step.offset) };
      const buffers = Object.entries(step.buffers).map(
        ([field, { buffer, offset }]) => [field, placed(buffer, offset)] as const,
      );
      const maps = Object.entries(step.maps ?? {}).map(
        ([field, map]) => [field, { ...map, ...placed(map.buffer, map.offset) }] as const,
      );
      return {
        ...step,
        buffers: Object.fromEntries(buffers),
        maps: Object.fromEntries(maps),
      };
    });
    const contents = [...used].map(([start, memory]) => {
      return [`${start}`, this.#fresh.has(start) ? { bytes: memory.length } : memory] as const;
    });
    const after = await runEmulated(
      { workspace: list.workspace, steps },
      Object.fromEntries(contents),
      this.#options,
    ).catch((error: unknown) => {
      throw this.#tooLarge(error) ?? error;
    });
    for (const [start, memory] of used) {
      memory.set(after[`${start}`]!);
      this.#fresh.delete(start);
    }
  }

  /** Threads that wait for each other are found out; a launch that goes on has much to do. */
  #tooLarge(error: unknown): DeviceError | undefined {
    if (!(error instanceof KernelFault) || error.kind !== 'timeout') return undefined;
    const what = `'${error.kernel}' ${error.what} on ${this.name}`;
    const help =
      'emulated devices are for small calls (report one that takes so long): shorten the sequences, or take the CPU or a GPU';
    return new DeviceError([diagnostic('R014', what, { help })]);
  }
}

const copyOf = (view: HostView): Uint8Array =>
  new Uint8Array(view.buffer, view.byteOffset, view.byteLength).slice();
