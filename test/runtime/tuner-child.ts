// The processes of a tuning on a machine that only counts: an H100 whose kernels take a time that their tiles
// decide, under a clock that drifts. SIMULATED_TUNING names, by tile, those that hang, fail, are wrong or write nothing; no
// kernel is compiled.

import type { LaunchList } from '../../codegen/kernel.ts';
import type { Machine, Places, Range, ReadyList } from '../../runtime/cuda/machine.ts';
import { deviceRole, serveParent, type Timer } from '../../runtime/tuner/serve.ts';

export type SimulatedFaults = Readonly<Record<string, 'hangs' | 'fails' | 'wrong' | 'blank'>>;

const faults = JSON.parse(process.env.SIMULATED_TUNING ?? '{}') as SimulatedFaults;

/** `128x96` of the text of a kernel. */
function tileOf(source: string): string {
  const [, q, k] = /q_tile = (\d+), k_tile = (\d+)/.exec(source) ?? [];
  return `${q}x${k}`;
}

/** 128x112 is the fastest. */
function costOf(tile: string): number {
  const [q, k] = tile.split('x').map(Number) as [number, number];
  return 2 + Math.abs(q - 128) / 64 + Math.abs(k - 112) / 50;
}

class CountingMachine implements Machine, Timer {
  readonly name = 'cuda:0';
  readonly arch = 'sm_90a';
  readonly blockSharedBytes = 232_448;
  readonly multiprocessors = 132;
  readonly chip = { chip: 'a chip that counts', driver: '13.0' };
  readonly #memory = new Map<number, Uint8Array>();
  #next = 2 ** 20;
  /** Milliseconds that kernels took. */
  #now = 0;

  check(): void {}

  alloc(bytes: number): Range {
    const address = this.#next;
    this.#next += 256 * (1 + Math.ceil(bytes / 256));
    this.#memory.set(address, new Uint8Array(bytes));
    return { address, bytes };
  }

  free({ address }: Range): void {
    this.#memory.delete(address);
  }

  #bytes(address: number, count?: number): Uint8Array {
    for (const [from, bytes] of this.#memory)
      if (address >= from && address < from + bytes.length)
        return bytes.subarray(address - from, count && address - from + count);
    throw new Error(`nobody's address: ${address}`);
  }

  async upload(address: number, view: Uint8Array): Promise<void> {
    this.write(address, view);
  }

  write(address: number, view: Uint8Array): void {
    this.#bytes(address).set(view);
  }

  async download(address: number, view: Uint8Array): Promise<void> {
    view.set(this.#bytes(address, view.length));
  }

  async facts() {
    return { registers: 168, spillBytes: 0, isSerialized: false };
  }

  async prepare(list: LaunchList): Promise<ReadyList> {
    return { list };
  }

  run({ list }: ReadyList, places: Places): void {
    for (const step of list.steps) {
      if (step.op === 'fill') this.#bytes(places[step.buffer]!, step.bytes).fill(step.value);
      else if (step.kernel.name === 'attention') {
        const tile = tileOf(step.kernel.source);
        const fault = faults[tile];
        if (fault === 'hangs') for (;;);
        if (fault === 'fails') throw new Error('an address that is nobody’s');
        this.#now += costOf(tile) * (1.04 + 0.04 * Math.sin(this.#now / 700));
        if (fault === 'blank') continue;
        this.#bytes(places.lse!).fill(0x3f);
        this.#bytes(places.out!).fill(fault === 'wrong' ? 0x41 : 0x3f);
      }
    }
  }

  event(): number {
    return this.#now;
  }

  async elapsed(from: number, to: number): Promise<number> {
    return to - from;
  }

  drop(): void {}

  async synchronize(): Promise<void> {}

  async dispose(): Promise<void> {}
}

const machine = new CountingMachine();
serveParent(
  process.argv[2] === 'device'
    ? deviceRole(async () => ({ machine, timer: machine, properties: undefined }))
    : () => machine.facts(),
);
