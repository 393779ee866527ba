// Keeps long work off the event loop's back: a pause is due every few milliseconds. No work itself.

/** Lets others run between two pieces of work; also reports how much is done. */
export class Pace {
  readonly #yieldNow: () => Promise<void>;
  readonly #onProgress: ((fraction: number) => void) | undefined;
  #total = 0;
  #done = 0;
  #since = performance.now();

  constructor(
    yieldNow: (() => Promise<void>) | undefined,
    onProgress: ((fraction: number) => void) | undefined,
  ) {
    this.#yieldNow = yieldNow ?? (() => new Promise((resolve) => setImmediate(resolve)));
    this.#onProgress = onProgress;
  }

  /** Work that is still to come, in any unit. */
  expect(work: number): void {
    this.#total += work;
  }

  /** Work that is done; a promise to wait for when it is time to pause. */
  did(work: number): Promise<void> | undefined {
    this.#done += work;
    if (performance.now() - this.#since < 8) return undefined;
    return this.#pause();
  }

  /** The last report. */
  finish(): void {
    this.#onProgress?.(1);
  }

  async #pause(): Promise<void> {
    if (this.#total > 0) this.#onProgress?.(Math.min(1, this.#done / this.#total));
    await this.#yieldNow();
    this.#since = performance.now();
  }
}
