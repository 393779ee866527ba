// What runs launch lists: a CUDA device, or the emulator. Memory, copies, kernels made ready, launches in
// the order of the calls. What is launched, and why, is not known here.

import type { Kernel, LaunchList } from '../../codegen/kernel.ts';
import type { HostView } from './native.ts';

/** A range of a machine's memory. */
export interface Range {
  /** A device address, or a number that the machine understands. */
  readonly address: number;
  readonly bytes: number;
}

/** The named buffers of a launch list: addresses. */
export type Places = Readonly<Record<string, number>>;

/** A launch list whose kernels are compiled and loaded. */
export interface ReadyList {
  readonly list: LaunchList;
}

/** Lists that run one after the other as one piece of work. */
export interface Sequence {
  readonly lists: readonly ReadyList[];
  /** Enqueues them, each over its own places, which are read before this returns. */
  run(places: readonly Places[]): void;
}

/** What the compiler says about a kernel: all in one thread, or one block. */
export interface KernelFacts {
  readonly registers: number;
  readonly spillBytes: number;
  /** Products of warpgroups wait for each other: correct, and slow. */
  readonly isSerialized: boolean;
}

/** `NVIDIA H100 80GB HBM3` and `13.0`. */
export interface ChipName {
  readonly chip: string;
  readonly driver: string;
}

/**
 * `Range`s come from `alloc` and stay until `free`. Work is in the order of the calls; only what returns a
 * promise waits for anything.
 */
export interface Machine {
  /** `cuda:0`. */
  readonly name: string;
  /** What kernels are compiled for: `sm_90`. */
  readonly arch: string;
  /** The most shared memory of a block, in bytes. */
  readonly blockSharedBytes: number;
  readonly multiprocessors: number;
  /** What times depend on: the name of the chip, and the CUDA version of its driver. Undefined where times mean nothing. */
  readonly chip?: ChipName | undefined;
  /** So much memory may be kept to be used again without `free` and `alloc`: none where new memory has to be seen as new. */
  readonly keptBytes?: number;
  /** Throws DeviceError R003 after `dispose`. */
  check(): void;
  alloc(bytes: number): Range;
  free(range: Range): void;
  upload(address: number, view: HostView): Promise<void>;
  /** At most 64 KB; the view may change at once. */
  write(address: number, view: HostView): void;
  download(address: number, view: HostView): Promise<void>;
  facts(kernel: Kernel): Promise<KernelFacts>;
  /** Compiles and loads the kernels of a list. */
  prepare(list: LaunchList): Promise<ReadyList>;
  /** Enqueues a list over the places of all buffers that it names, which are read before this returns. */
  run(ready: ReadyList, places: Places): void;
  /** Makes one piece of lists that will run one after the other more than once, where that is cheaper. */
  join?(lists: readonly ReadyList[]): Sequence;
  synchronize(): Promise<void>;
  dispose(): Promise<void>;
}
