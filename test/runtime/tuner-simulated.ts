// A simulated device for searches: kernels with known times under a clock of the chip that drifts, and that falls with the
// power that they need; some that the compiler refuses, that throw, hang, or are wrong. Time passes when the device works, or where all
// wait.

import { type Choice, choiceName } from '../../codegen/attention/choice.ts';
import type { KernelFacts } from '../../runtime/cuda/machine.ts';
import type { Bench, Clock, Rows } from '../../runtime/tuner/bench.ts';

export type Fault =
  | 'refused'
  | 'compiles for ever'
  | 'spills'
  | 'throws'
  | 'hangs'
  | 'hangs later'
  | 'hangs at last'
  | 'hangs for long'
  | 'wrong'
  | 'unsteady';

export interface SimulatedKernel {
  /** Of a call, at the full clock. */
  readonly ms: number;
  /** So much of the clock is lost when the chip has done nothing else for long, as a share. */
  readonly power?: number;
  readonly fault?: Fault;
}

export interface SimulatedSettings {
  /** Kernels by the names of their choices. */
  readonly kernels: ReadonlyMap<string, SimulatedKernel>;
  /** How far the clock goes down and up again, as a share; within how many milliseconds; and where it begins. */
  readonly drift?: { readonly share: number; readonly periodMs: number; readonly phase: number };
  /** Standard deviation of a measurement, as a share. */
  readonly noise?: number;
  readonly compileMs?: number;
  readonly compilers?: number;
  /** Numbers in 0 .. 1. */
  random(): number;
}

const never = new Promise<never>(() => {});
/** Within which the clock follows the power, in milliseconds. */
const settlingMs = 60;

export class SimulatedDevice implements Bench, Clock {
  readonly compilers: number;
  readonly #settings: SimulatedSettings;
  readonly #calls = new Map<string, number>();
  /** What was called last, and how often on end. */
  #row = { name: '', calls: 0 };
  #now = 0;
  /** Who waits for a time to come. */
  readonly #timers = new Set<{ readonly at: number; resolve(): void }>();
  /** Of the clock, for the power of what was done last. */
  #lost = 0;
  #isHanging = false;
  resets = 0;
  compiled = 0;

  constructor(settings: SimulatedSettings) {
    this.#settings = settings;
    this.compilers = settings.compilers ?? 4;
  }

  now(): number {
    return this.#now;
  }

  /** Where all wait, time passes until the first of them need no longer. */
  after(ms: number) {
    let resolve = (): void => {};
    const done = new Promise<void>((resolved) => {
      resolve = resolved;
    });
    const timer = { at: this.#now + ms, resolve };
    this.#timers.add(timer);
    setImmediate(() => this.#wake());
    return { done, cancel: () => this.#timers.delete(timer) };
  }

  #wake(): void {
    const first = Math.min(...[...this.#timers].map(({ at }) => at));
    if (first === Number.POSITIVE_INFINITY) return;
    this.#now = Math.max(this.#now, first);
    for (const timer of this.#timers) {
      if (timer.at > first) continue;
      this.#timers.delete(timer);
      timer.resolve();
    }
    setImmediate(() => this.#wake());
  }

  async compile(choice: Choice): Promise<KernelFacts> {
    const { fault } = this.#kernel(choice);
    this.compiled += 1;
    if (fault === 'compiles for ever') return never;
    await this.after(this.#settings.compileMs ?? 50).done;
    if (fault === 'refused') throw new Error('the compiler refuses it');
    return { registers: 168, spillBytes: fault === 'spills' ? 560 : 0, isSerialized: false };
  }

  async run(choice: Choice, calls: number): Promise<number> {
    const ms = await this.#call(choice, calls);
    const { noise = 0, random } = this.#settings;
    const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    return ms * (1 + (noise * normal) / Math.sqrt(calls));
  }

  async rows(choice: Choice): Promise<Rows> {
    await this.#call(choice, 1);
    const { fault } = this.#kernel(choice);
    const rounding = fault === 'unsteady' ? this.#settings.random() * 1e-3 : 0;
    return Float32Array.of(1 + rounding, 2, Number.NaN, fault === 'wrong' ? 4 : 3);
  }

  difference(reference: Rows, rows: Rows): string | undefined {
    const far = rows.findIndex((value, i) => Math.abs(value - reference[i]!) > 1e-2);
    return far < 0 ? undefined : `row ${far} is off`;
  }

  async reset(): Promise<void> {
    this.resets += 1;
    this.#isHanging = false;
    this.#now += 500;
  }

  get #speed(): number {
    const { share = 0, periodMs = 1, phase = 0 } = this.#settings.drift ?? {};
    const drift = (share / 2) * (1 + Math.sin(2 * Math.PI * (this.#now / periodMs + phase)));
    return (1 - drift) * (1 - this.#lost);
  }

  #kernel(choice: Choice): SimulatedKernel {
    const kernel = this.#settings.kernels.get(choiceName(choice));
    if (!kernel) throw new Error(`there is no ${choiceName(choice)}`);
    return kernel;
  }

  /** Milliseconds of a call, the mean of so many. */
  async #call(choice: Choice, calls: number): Promise<number> {
    const kernel = this.#kernel(choice);
    const name = choiceName(choice);
    const count = (this.#calls.get(name) ?? 0) + 1;
    this.#calls.set(name, count);
    if (this.#isHanging) throw new Error('the device was not reset');
    const lasts = { hangs: 0, 'hangs later': 2, 'hangs at last': 7 } as Record<string, number>;
    this.#row = { name, calls: calls + (this.#row.name === name ? this.#row.calls : 0) };
    const isLong = kernel.fault === 'hangs for long' && this.#row.calls > 60;
    if (isLong || count > (lasts[kernel.fault ?? ''] ?? Number.POSITIVE_INFINITY)) {
      this.#isHanging = true;
      return never;
    }
    const start = this.#now;
    const power = kernel.power ?? 0;
    for (let i = 0; i < calls; i += 1) {
      const ms = kernel.ms / this.#speed;
      this.#now += ms;
      this.#lost = power + (this.#lost - power) * Math.exp(-ms / settlingMs);
    }
    const mean = (this.#now - start) / calls;
    this.#now += 0.2;
    if (kernel.fault === 'throws') throw new Error('an address that is nobody’s');
    return mean;
  }
}
