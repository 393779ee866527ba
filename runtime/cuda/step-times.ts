// What each step of launch lists takes on a GPU: every step enqueued alone, between events. For reports; the events
// take some microseconds themselves, and steps cannot overlap.

import type { Step } from '../../codegen/kernel.ts';
import type { CudaDevice } from './native.ts';

export interface StepTime {
  /** The kernel, or `fill`. */
  readonly name: string;
  readonly ms: number;
}

/** Steps as they are enqueued, with the events around them. */
export class StepTimes {
  readonly #device: CudaDevice;
  readonly #steps: { readonly name: string; readonly from: number; readonly to: number }[] = [];
  readonly #events: number[] = [];

  constructor(device: CudaDevice) {
    this.#device = device;
  }

  /** Enqueues steps by their number. */
  run(steps: readonly Step[], enqueue: (step: number) => void): void {
    let from = this.#event();
    for (const [i, step] of steps.entries()) {
      enqueue(i);
      const to = this.#event();
      this.#steps.push({ name: step.op === 'launch' ? step.kernel.name : step.op, from, to });
      from = to;
    }
  }

  /** Waits for the steps. */
  async read(): Promise<StepTime[]> {
    const times: StepTime[] = [];
    for (const { name, from, to } of this.#steps)
      times.push({ name, ms: await this.#device.elapsed(from, to) });
    return times;
  }

  drop(): void {
    for (const event of this.#events.splice(0)) this.#device.drop(event);
  }

  #event(): number {
    const event = this.#device.event();
    this.#events.push(event);
    return event;
  }
}
