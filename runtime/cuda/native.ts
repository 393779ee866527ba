// The CUDA core as TypeScript sees it: devices, their memory, kernels, launches and events. It lets addresses
// and handles through as they are; what they stand for is said by those who call.

import { DeviceError, diagnostic } from '../../dsl/diagnostic.ts';
import { addonExports, addonStatus, isAddonOff } from '../native.ts';
import { deviceError, translated } from './driver-errors.ts';

/** What a device is. Bytes where the name says so. */
export interface CudaProperties {
  readonly ordinal: number;
  readonly name: string;
  /** Compute capability: 9 and 0 on an H100. */
  readonly major: number;
  readonly minor: number;
  readonly multiprocessors: number;
  readonly memoryBytes: number;
  /** The most shared memory of one block, and of one multiprocessor. */
  readonly blockSharedBytes: number;
  readonly sharedBytes: number;
  /** The L2 cache. */
  readonly cacheBytes: number;
  readonly clockKilohertz: number;
}

/** What there is, or why there is nothing. */
export interface CudaDevices {
  /** The CUDA version of the driver, such as '13.0'. */
  readonly driver?: string;
  readonly error?: string;
  readonly devices: readonly CudaProperties[];
}

/** A kernel that can be launched, and what the compiler made of it. */
export interface CudaFunction {
  readonly handle: number;
  readonly registers: number;
  /** Local memory per thread in bytes: spilled registers and arrays. */
  readonly spillBytes: number;
  /** Static shared memory per block in bytes. */
  readonly staticShared: number;
  readonly maxThreads: number;
}

/** `free` and `total` of the whole device; `held`: allocated here and not freed. Bytes. */
export interface CudaMemory {
  readonly free: number;
  readonly total: number;
  readonly held: number;
}

/** Host memory to copy from or to. Its buffer must not be resized or transferred while a copy runs. */
export type HostView = NodeJS.ArrayBufferView;

/** Where the address of a place, plus an offset, goes among the bytes of a list. */
export interface Patch {
  readonly at: number;
  readonly place: number;
  readonly offset: number;
}

/** When a list becomes a CUDA graph: with so many records, from this run on, counted from 1. 0 records: never. */
export interface GraphRule {
  readonly records: number;
  readonly run: number;
}

/** A launch list without its addresses. */
export interface ReplayPlan {
  /** `encodeLaunchList` */
  readonly list: Uint8Array;
  /** How many addresses a run gives. */
  readonly places: number;
  readonly addresses: readonly Patch[];
  /** Tensor maps among the bytes, each as `tensorMap` takes it. */
  readonly maps: readonly (Patch & { readonly map: object })[];
  readonly graphs: GraphRule;
}

const triples = (patches: readonly Patch[]): Float64Array =>
  Float64Array.from(patches.flatMap(({ at, place, offset }) => [at, place, offset]));

/** A device of the addon. Its methods throw errors of the native core. */
interface NativeDevice {
  properties(): CudaProperties & { readonly driver: string };
  alloc(bytes: number): number;
  free(address: number): void;
  upload(address: number, view: HostView): Promise<void>;
  download(address: number, view: HostView): Promise<void>;
  write(address: number, view: HostView): void;
  load(cubin: Uint8Array): Promise<number>;
  unload(module: number): Promise<void>;
  function(module: number, name: string, sharedBytes: number): CudaFunction;
  tensorMap(map: object): Uint8Array;
  run(list: Uint8Array): void;
  prepare(
    list: Uint8Array,
    places: number,
    addresses: Float64Array,
    mapAddresses: Float64Array,
    maps: readonly object[],
    graphRecords: number,
    graphRun: number,
  ): number;
  replay(list: number, places: Float64Array): void;
  step(list: number, places: Float64Array, record: number): void;
  forget(list: number): void;
  event(): number;
  drop(event: number): void;
  elapsed(from: number, to: number): Promise<number>;
  synchronize(): Promise<void>;
  memory(): CudaMemory;
  dispose(): Promise<void>;
}

interface CudaExports {
  cudaDevices(): CudaDevices;
  openCudaDevice(ordinal: number): Promise<NativeDevice>;
}

/** The CUDA part of the addon, or why it cannot be used. */
function cudaExports(): CudaExports | { readonly missing: string } {
  const contents = isAddonOff() ? undefined : addonExports<CudaExports>();
  if (contents?.openCudaDevice) return contents as CudaExports;
  const reason = addonStatus().reason ?? 'it was built from older sources';
  return { missing: `the native addon is not there (${reason})` };
}

/** The CUDA devices of this machine. Never throws. */
export function cudaDevices(): CudaDevices {
  const addon = cudaExports();
  return 'missing' in addon ? { error: addon.missing, devices: [] } : addon.cudaDevices();
}

/**
 * Opens a device by its number. throws: DeviceError R002 where there is none, R006 and R008 where it does
 * not open.
 */
export async function openCudaDevice(ordinal = 0): Promise<CudaDevice> {
  const addon = cudaExports();
  const { devices, error } = cudaDevices();
  if ('missing' in addon || devices[ordinal] === undefined) {
    const reason = error ?? `the driver shows ${devices.length}`;
    throw new DeviceError([
      diagnostic('R002', `there is no CUDA device ${ordinal}: ${reason}`, {
        help: "see 'warploom doctor', or use the CPU: --device cpu, openDevice('cpu')",
      }),
    ]);
  }
  return new CudaDevice(await settled(addon.openCudaDevice(ordinal)));
}

async function settled<Result>(promise: Promise<Result>): Promise<Result> {
  try {
    return await promise;
  } catch (error) {
    throw deviceError(error);
  }
}

/**
 * An open device. Work goes into one stream, in the order of the calls, and no call waits for it unless it
 * returns a promise. Every method throws DeviceError R003 after `dispose`, R006 where the driver fails, R008
 * where a kernel has faulted, and RangeError or TypeError for mistakes of ours.
 */
export class CudaDevice {
  readonly properties: CudaProperties & { readonly driver: string };
  readonly #native: NativeDevice;

  constructor(native: NativeDevice) {
    this.#native = native;
    this.properties = Object.freeze(native.properties());
  }

  /** The address of new memory, aligned to 256 bytes. throws: DeviceError R007 where there is no room. */
  alloc(bytes: number): number {
    return translated(() => this.#native.alloc(bytes));
  }

  /** Frees memory once the work before is done with it. */
  free(address: number): void {
    translated(() => this.#native.free(address));
  }

  /**
   * Copies to the device after the work before; once it resolves, later work sees the bytes. The view may
   * lie over shared memory, and must not change until then.
   */
  async upload(address: number, view: HostView): Promise<void> {
    await settled(translated(() => this.#native.upload(address, view)));
  }

  /**
   * Copies from the device what the work before leaves there. Work that is enqueued before this resolves
   * must not write there; freeing is fine.
   */
  async download(address: number, view: HostView): Promise<void> {
    await settled(translated(() => this.#native.download(address, view)));
  }

  /** Writes up to 64 KB in the order of the work; the view may change at once. */
  write(address: number, view: HostView): void {
    translated(() => this.#native.write(address, view));
  }

  /** Loads a cubin; the handle of the module. */
  async load(cubin: Uint8Array): Promise<number> {
    return settled(translated(() => this.#native.load(cubin)));
  }

  /** Waits for the work before, then unloads; its kernels cannot be launched from now on. */
  async unload(module: number): Promise<void> {
    await settled(translated(() => this.#native.unload(module)));
  }

  /** A kernel of a module, for launches with up to `sharedBytes` of dynamic shared memory. */
  function(module: number, name: string, sharedBytes: number): CudaFunction {
    return translated(() => this.#native.function(module, name, sharedBytes));
  }

  /** The 128 bytes of a tensor map, described with the driver's numbers: `encodeTensorMap` has words. */
  tensorMap(map: object): Uint8Array {
    return translated(() => this.#native.tensorMap(map));
  }

  /** Enqueues a launch list (`encodeLaunchList`); it is read before this returns. */
  run(list: Uint8Array): void {
    translated(() => this.#native.run(list));
  }

  /** Keeps a launch list that is run again and again over other addresses; its number. */
  prepare({ list, places, addresses, maps, graphs }: ReplayPlan): number {
    return translated(() =>
      this.#native.prepare(
        list,
        places,
        triples(addresses),
        triples(maps),
        maps.map(({ map }) => map),
        graphs.records,
        graphs.run,
      ),
    );
  }

  /** Enqueues it over these addresses, which are read before this returns. */
  replay(list: number, places: Float64Array): void {
    translated(() => this.#native.replay(list, places));
  }

  /** Enqueues one record of it, counted from 0. */
  step(list: number, places: Float64Array, record: number): void {
    translated(() => this.#native.step(list, places, record));
  }

  /** Gives a list back; runs that are enqueued take place. */
  forget(list: number): void {
    translated(() => this.#native.forget(list));
  }

  /** A point in the work, for `elapsed`, kept until `drop`. */
  event(): number {
    return translated(() => this.#native.event());
  }

  drop(event: number): void {
    translated(() => this.#native.drop(event));
  }

  /** Milliseconds on the device between two points, once both are reached. */
  async elapsed(from: number, to: number): Promise<number> {
    return settled(translated(() => this.#native.elapsed(from, to)));
  }

  /** Resolves when the work before is done. */
  async synchronize(): Promise<void> {
    await settled(translated(() => this.#native.synchronize()));
  }

  memory(): CudaMemory {
    return translated(() => this.#native.memory());
  }

  /** Takes no more work, waits for what is there, then frees all that is left. May be called again. */
  async dispose(): Promise<void> {
    await settled(this.#native.dispose());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }
}
