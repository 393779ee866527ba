// A machine in another process: everything that works on a machine works on it as well, and when it hangs it can
// be ended. What nothing waits for is sent along with the next that does, so that launches are enqueued together.

import type { Kernel, LaunchList } from '../../codegen/kernel.ts';
import type { KernelFacts, Machine, Places, Range, ReadyList } from '../cuda/machine.ts';
import type { HostView } from '../cuda/native.ts';
import { bytesOf } from '../dtype.ts';
import { Helper, type Start } from './process.ts';
import { addressStride, type Command, type DeviceFacts } from './protocol.ts';

/** Bytes of one message at most: there is one more copy of them meanwhile. */
const pieceBytes = 2 ** 24;

class RemoteList implements ReadyList {
  readonly list: LaunchList;
  readonly id: number;

  constructor(list: LaunchList, id: number) {
    this.list = list;
    this.id = id;
  }
}

/** A message that is about to go, and who waits for its values, in their order. */
interface Sending {
  readonly values: { resolve(value: unknown): void }[];
  readonly done: Promise<void>;
}

export class RemoteMachine implements Machine {
  readonly name: string;
  readonly arch: string;
  readonly blockSharedBytes: number;
  readonly multiprocessors: number;
  readonly chip: Machine['chip'];
  readonly properties: DeviceFacts['properties'];
  /** New memory is marked while this is set. */
  isMarking = false;
  readonly #helper: Helper;
  readonly #facts: (kernel: Kernel) => Promise<KernelFacts>;
  #queue: Command[] = [];
  #sending: Sending | undefined;
  readonly #freeSlots: number[] = [];
  #slots = 0;
  #next = 0;
  #isGone = false;

  private constructor(
    helper: Helper,
    facts: DeviceFacts,
    compile: (kernel: Kernel) => Promise<KernelFacts>,
  ) {
    this.name = facts.name;
    this.arch = facts.arch;
    this.blockSharedBytes = facts.blockSharedBytes;
    this.multiprocessors = facts.multiprocessors;
    this.chip = facts.chip;
    this.properties = facts.properties;
    this.#helper = helper;
    this.#facts = compile;
  }

  /** Opens a device by its name in a process of its own. throws: what `openDevice` throws there. */
  static async open(
    device: string,
    compile: (kernel: Kernel, arch: string) => Promise<KernelFacts>,
    start?: Start,
  ): Promise<RemoteMachine> {
    const helper = new Helper(['device', device], start);
    try {
      const facts = await helper.ask<DeviceFacts>('open');
      return new RemoteMachine(helper, facts, (kernel) => compile(kernel, facts.arch));
    } catch (error) {
      helper.kill();
      throw error;
    }
  }

  check(): void {}

  alloc(bytes: number): Range {
    const slot = this.#freeSlots.pop() ?? ++this.#slots;
    const address = slot * addressStride;
    this.#queue.push({ op: 'alloc', address, bytes, isMarked: this.isMarking });
    return { address, bytes };
  }

  free({ address }: Range): void {
    if (this.#isGone) return;
    this.#queue.push({ op: 'free', address });
    this.#freeSlots.push(address / addressStride);
  }

  async upload(address: number, view: HostView): Promise<void> {
    for (let from = 0; from < view.byteLength; from += pieceBytes) {
      const piece = Uint8Array.from(bytesOf(view, from, pieceBytes));
      await this.#sent({ op: 'upload', address: address + from, bytes: piece });
    }
  }

  write(address: number, view: HostView): void {
    const bytes = Uint8Array.from(bytesOf(view, 0, view.byteLength));
    if (bytes.length > 0) this.#queue.push({ op: 'write', address, bytes });
  }

  async download(address: number, view: HostView): Promise<void> {
    const into = bytesOf(view, 0, view.byteLength);
    if (into.length === 0) return;
    into.set(await this.#valueOf<Uint8Array>({ op: 'download', address, bytes: into.length }));
  }

  facts(kernel: Kernel): Promise<KernelFacts> {
    return this.#facts(kernel);
  }

  async prepare(list: LaunchList): Promise<ReadyList> {
    const ready = new RemoteList(list, this.#next);
    this.#next += 1;
    await this.#sent({ op: 'prepare', id: ready.id, list });
    return ready;
  }

  run(ready: ReadyList, places: Places): void {
    const { id } = ready as RemoteList;
    this.#queue.push({ op: 'run', id, places: { ...places } });
  }

  /** A point in the work, for one call of `elapsed`. */
  event(): number {
    const id = this.#next;
    this.#next += 1;
    this.#queue.push({ op: 'event', id });
    return id;
  }

  /** Milliseconds between two points. */
  elapsed(from: number, to: number): Promise<number> {
    return this.#valueOf<number>({ op: 'elapsed', from, to });
  }

  synchronize(): Promise<void> {
    return this.#sent({ op: 'synchronize' });
  }

  /** Ends the process at once: whatever it does, nobody waits for it. */
  kill(): void {
    this.#isGone = true;
    this.#helper.kill();
  }

  async dispose(): Promise<void> {
    this.kill();
  }

  #sent(command: Command): Promise<void> {
    this.#queue.push(command);
    return this.#flush().done;
  }

  async #valueOf<Value>(command: Command): Promise<Value> {
    this.#queue.push(command);
    const sending = this.#flush();
    const value = new Promise<Value>((resolve) => {
      sending.values.push({ resolve: resolve as (value: unknown) => void });
    });
    await sending.done;
    return value;
  }

  /** Sends all at the end of this turn: those who ask in the same turn share a message. */
  #flush(): Sending {
    if (this.#sending) return this.#sending;
    const values: Sending['values'] = [];
    const done = Promise.resolve().then(async () => {
      const commands = this.#queue;
      this.#queue = [];
      this.#sending = undefined;
      const results = await this.#helper.ask<unknown[]>(commands);
      for (const [i, result] of results.entries()) values[i]!.resolve(result);
    });
    this.#sending = { values, done };
    return this.#sending;
  }
}
