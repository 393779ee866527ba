// The part of a search before anything is called: choices compiled several at a time, those first that have to be there,
// the others while there is time. What is there can be checked while the rest is under way.

import { type Bench, type Clock, within } from './bench.ts';
import type { Standing } from './standing.ts';

export interface CompilingOptions {
  readonly bench: Pick<Bench, 'compile' | 'compilers'>;
  readonly clock: Clock;
  /** Whatever it takes, and whatever the compiler says of them. */
  readonly needed: readonly Standing[];
  readonly others: readonly Standing[];
  /** No other is begun from then on, by the clock. */
  readonly lastStart: number;
  /** Others that are under way then are not waited for. */
  readonly end: number;
  /** Ctrl-C: nothing is begun any more. */
  isStopped(): boolean;
  onChange(): void;
}

/** More bytes of spills are never fastest; a few may be. */
const mostSpilled = 64;
const compileMs = 60_000;

export class Compiling {
  /** Those that may be called, in the order in which they were there. */
  readonly compiled: Standing[] = [];
  /** When nothing more is waited for. */
  readonly over: Promise<void>;
  readonly #options: CompilingOptions;
  /** What has to be there and is not. */
  readonly #missing: Set<Standing>;
  /** Who waits for the next that is there. */
  readonly #listeners: (() => void)[] = [];
  #isOver = false;

  constructor(options: CompilingOptions) {
    this.#options = options;
    this.#missing = new Set(options.needed);
    this.over = this.#compileAll();
  }

  /** Whether nothing more is waited for. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Nothing is begun any more, and what is under way is of no use. */
  stop(): void {
    this.#isOver = true;
  }

  /** When what has to be there is, or will never be. */
  async whenReady(): Promise<void> {
    while (this.#missing.size > 0 && !this.#isOver) await this.whenMore();
  }

  /** When one more is there, or nothing more is waited for. */
  whenMore(): Promise<void> {
    return Promise.race([this.#next(), this.over]);
  }

  #next(): Promise<void> {
    return new Promise((resolve) => this.#listeners.push(resolve));
  }

  async #compileAll(): Promise<void> {
    const { bench, clock, needed, others, lastStart, end, isStopped, onChange } = this.#options;
    const waiting = [...needed, ...others];
    const work = async (): Promise<void> => {
      for (;;) {
        const standing = waiting.shift();
        if (!standing || isStopped() || this.#isOver) return;
        const isNeeded = this.#missing.has(standing);
        if (!isNeeded && clock.now() >= lastStart) return;
        const refusal = await this.#refusalOf(standing, isNeeded);
        // What is not there in time was not refused.
        if (this.#isOver) return;
        if (refusal === undefined) this.compiled.push(standing);
        else standing.end('refused', refusal);
        this.#missing.delete(standing);
        for (const resolve of this.#listeners.splice(0)) resolve();
        onChange();
      }
    };
    const all = Promise.all(Array.from({ length: Math.max(1, bench.compilers) }, work));
    const timer = clock.after(Math.max(0, end - clock.now()));
    const ready = async (): Promise<void> => {
      while (this.#missing.size > 0) await this.#next();
    };
    await Promise.race([all, Promise.all([ready(), timer.done])]);
    timer.cancel();
    this.#isOver = true;
  }

  /** Why it is not called, if it is not. */
  async #refusalOf({ choice }: Standing, isNeeded: boolean): Promise<string | undefined> {
    const { bench, clock } = this.#options;
    try {
      const { isSerialized, spillBytes } = await within(bench.compile(choice), compileMs, clock);
      if (isNeeded) return undefined;
      if (isSerialized) return 'its products are serialised';
      return spillBytes > mostSpilled ? `${spillBytes} bytes of spills` : undefined;
    } catch (error) {
      return messageOf(error);
    }
  }
}

/** Of an error, the first line. */
export const messageOf = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split('\n')[0]!;
