// The other side of a remote machine: commands done on a real one, in their order.

import type { LaunchList } from '../../codegen/kernel.ts';
import { invariant } from '../../dsl/diagnostic.ts';
import type { Machine, Range, ReadyList } from '../cuda/machine.ts';
import {
  type Answer,
  addressStride,
  type Command,
  type DeviceFacts,
  plainError,
  type Question,
  revivedList,
} from './protocol.ts';

/** Points in the work of a device, and the milliseconds between them. */
export interface Timer {
  event(): number;
  elapsed(from: number, to: number): Promise<number>;
  drop(event: number): void;
}

/** Does commands for another process. */
export class MachineServer {
  readonly #machine: Machine;
  /** Where there is none, the clock of the host. */
  readonly #timer: Timer | undefined;
  /** By the addresses of the other process. */
  readonly #ranges = new Map<number, Range>();
  readonly #lists = new Map<number, ReadyList>();
  /** Events of the device, or milliseconds where it has none. */
  readonly #events = new Map<number, number>();
  readonly #fills = new Map<number, ReadyList>();

  constructor(machine: Machine, timer: Timer | undefined) {
    this.#machine = machine;
    this.#timer = timer;
  }

  /** The results of those that have one, in their order. Throws what the first that fails throws; the rest is not done. */
  async perform(commands: readonly Command[]): Promise<unknown[]> {
    const values: unknown[] = [];
    for (const command of commands) {
      const value = this.#perform(command);
      // Between two launches nothing is awaited: the device is not to wait for us.
      if (value instanceof Promise) values.push(...(await value));
    }
    return values;
  }

  #perform(command: Command): Promise<unknown[]> | undefined {
    const machine = this.#machine;
    switch (command.op) {
      case 'alloc': {
        const range = machine.alloc(command.bytes);
        this.#ranges.set(command.address, range);
        return command.isMarked && command.bytes > 0 ? this.#mark(range) : undefined;
      }
      case 'free': {
        const range = this.#ranges.get(command.address);
        this.#ranges.delete(command.address);
        if (range) machine.free(range);
        return undefined;
      }
      case 'write':
        machine.write(this.#real(command.address), command.bytes);
        return undefined;
      case 'upload':
        return machine.upload(this.#real(command.address), command.bytes).then(() => []);
      case 'download': {
        const bytes = new Uint8Array(command.bytes);
        return machine.download(this.#real(command.address), bytes).then(() => [bytes]);
      }
      case 'prepare':
        return this.#prepare(command.id, command.list);
      case 'run': {
        const list = this.#lists.get(command.id);
        invariant(list, 'a list is run that was not made ready');
        const places = Object.entries(command.places).map(([name, at]) => [name, this.#real(at)]);
        machine.run(list, Object.fromEntries(places));
        return undefined;
      }
      case 'event':
        return this.#event(command.id);
      case 'elapsed':
        return this.#elapsed(command.from, command.to);
      case 'synchronize':
        return machine.synchronize().then(() => []);
    }
  }

  #real(address: number): number {
    const offset = address % addressStride;
    const range = this.#ranges.get(address - offset);
    invariant(range, `there is no memory at ${address}`);
    return range.address + offset;
  }

  async #prepare(id: number, list: LaunchList): Promise<unknown[]> {
    this.#lists.set(id, await this.#machine.prepare(revivedList(list)));
    return [];
  }

  async #mark(range: Range): Promise<unknown[]> {
    let fill = this.#fills.get(range.bytes);
    if (!fill) {
      const { bytes } = range;
      const step = { op: 'fill', buffer: 'memory', offset: 0, bytes, value: 0xff } as const;
      fill = await this.#machine.prepare({ workspace: [], steps: [step] });
      this.#fills.set(bytes, fill);
    }
    this.#machine.run(fill, { memory: range.address });
    return [];
  }

  #event(id: number): Promise<unknown[]> | undefined {
    if (this.#timer) {
      this.#events.set(id, this.#timer.event());
      return undefined;
    }
    return this.#machine.synchronize().then(() => {
      this.#events.set(id, performance.now());
      return [];
    });
  }

  async #elapsed(from: number, to: number): Promise<unknown[]> {
    const [start, end] = [from, to].map((id) => {
      const event = this.#events.get(id)!;
      this.#events.delete(id);
      return event;
    }) as [number, number];
    if (!this.#timer) return [end - start];
    const ms = await this.#timer.elapsed(start, end);
    this.#timer.drop(start);
    this.#timer.drop(end);
    return [ms];
  }
}

/** Answers the questions of the parent one after the other, to its end. */
export function serveParent(answer: (body: unknown) => Promise<unknown>): void {
  let last: Promise<void> = Promise.resolve();
  process.on('message', ({ id, body }: Question) => {
    last = last.then(async () => {
      const reply = await answer(body).then(
        (value): Answer => ({ id, value }),
        (error: unknown): Answer => ({ id, error: plainError(error) }),
      );
      process.send?.(reply);
    });
  });
  process.on('disconnect', () => process.exit(0));
  // Ctrl-C reaches the whole group: the parent says when to end, and nobody is blamed for it.
  process.on('SIGINT', () => {});
}

/** A device that is opened by the first question, and answers it with what it is. */
export function deviceRole(
  open: () => Promise<{
    readonly machine: Machine;
    readonly timer: Timer | undefined;
    readonly properties: DeviceFacts['properties'];
  }>,
): (body: unknown) => Promise<unknown> {
  let server: MachineServer | undefined;
  return async (body) => {
    if (server) return server.perform(body as readonly Command[]);
    const { machine, timer, properties } = await open();
    server = new MachineServer(machine, timer);
    const { name, arch, blockSharedBytes, multiprocessors, chip } = machine;
    const facts: DeviceFacts = { name, arch, blockSharedBytes, multiprocessors, chip, properties };
    return facts;
  };
}
