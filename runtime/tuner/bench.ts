// What a search needs of a device: kernels compiled, called, and asked for results. Times and order are its own.

import type { Choice } from '../../codegen/attention/choice.ts';
import type { KernelFacts } from '../cuda/machine.ts';

/** Outputs of a kernel on rows that are the same for all choices: values, then the LSE, of each. */
export type Rows = Float32Array;

/** A device on which choices are tried. All but `compile` are called one at a time. */
export interface Bench {
  /** How many compilations may run at a time. */
  readonly compilers: number;
  /** What the compiler says. Rejects where it refuses. */
  compile(choice: Choice): Promise<KernelFacts>;
  /** Milliseconds on the device of one call, the mean of so many that are enqueued together. */
  run(choice: Choice, calls: number): Promise<number>;
  /** One call, into memory that says when nothing was written. */
  rows(choice: Choice): Promise<Rows>;
  /** Why results are not those of the reference within rounding, or undefined. */
  difference(reference: Rows, rows: Rows): string | undefined;
  /** Gives up what the device is doing, and makes it ready anew. */
  reset(): Promise<void>;
}

/** Time as the search sees it. */
export interface Clock {
  /** Milliseconds. */
  now(): number;
  /** Resolves after so many milliseconds, or never once it was cancelled. */
  after(ms: number): { readonly done: Promise<void>; cancel(): void };
}

export const realClock: Clock = {
  now: () => performance.now(),
  after(ms) {
    let timer: NodeJS.Timeout | undefined;
    const done = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms);
    });
    return { done, cancel: () => clearTimeout(timer) };
  },
};

/** What does not answer. */
export class HangError extends Error {}

/** A promise that has to settle in time. throws: HangError. */
export async function within<Value>(
  promise: Promise<Value>,
  ms: number,
  clock: Clock,
): Promise<Value> {
  const timer = clock.after(ms);
  // It may still reject, long after anybody listens.
  promise.catch(() => {});
  try {
    return await Promise.race([
      promise,
      timer.done.then((): never => {
        throw new HangError(`no answer in ${Math.round(ms)} ms`);
      }),
    ]);
  } finally {
    timer.cancel();
  }
}
