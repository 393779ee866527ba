// The threads of the CPU device. Small jobs run on the calling thread; large ones on workers that are
// started at the first large job and kept. Nothing here knows attention.

import { setMaxListeners } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { DeviceError, diagnostic } from '../../dsl/diagnostic.ts';
import { inTurns } from '../turns.ts';
import { type BadRow, control, itemsOf, work } from './items.ts';
import type { Job } from './job.ts';
import type { Order, Reply } from './worker.ts';

export interface RunOptions {
  /** Called now and then with the share of the work that is done, 0 .. 1. */
  readonly onProgress?: ((share: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Multiply-adds of a job below which starting threads costs more than it saves (about 20 ms of work). */
const smallJob = 2 ** 28;

const costOf = ({ shape, headList }: Job): number =>
  shape.batch * headList.length * shape.qLen * shape.kLen * (shape.headDim + shape.valueDim);

function startWorker(): Worker {
  const url = new URL('./worker.js', import.meta.url);
  // From source (tests, tsx) the worker is TypeScript, which Node 20 loads through tsx alone.
  const source = import.meta.url.endsWith('.ts');
  if (!source) return new Worker(url);
  const file = JSON.stringify(new URL('./worker.ts', import.meta.url).href);
  const tsx = JSON.stringify(import.meta.resolve('tsx/esm/api'));
  return new Worker(
    `import(${tsx}).then(({ register }) => { register(); return import(${file}); })`,
    {
      eval: true,
      execArgv: [],
      name: fileURLToPath(url),
    },
  );
}

export class Pool {
  readonly #threads: number;
  #workers: Worker[] = [];
  #isClosed = false;
  #next = 0;
  readonly #waiting = new Map<
    number,
    {
      left: number;
      bad: BadRow | undefined;
      settle: (error: unknown, bad: BadRow | undefined) => void;
    }
  >();

  /** `threads` workers; 0 runs everything on the calling thread, giving way between tiles. */
  constructor(threads: number) {
    this.#threads = threads;
  }

  /** Runs a job to its end. Resolves with a row that is no number, if there is one. */
  async run(job: Job, options: RunOptions = {}): Promise<BadRow | undefined> {
    options.signal?.throwIfAborted();
    this.#checkOpen();
    const small = costOf(job) < smallJob;
    const words = new Int32Array(new SharedArrayBuffer(4 * control.words));
    if (this.#threads === 0 || small || job.stated) return this.#inline(job, words, options);
    return this.#onWorkers(job, words, options);
  }

  async #inline(
    job: Job,
    words: Int32Array,
    { onProgress, signal }: RunOptions,
  ): Promise<BadRow | undefined> {
    const items = itemsOf(job);
    const onTurn = () => {
      this.#checkOpen();
      onProgress?.(words[control.done]! / items);
    };
    return inTurns(work(job, words), { onTurn, signal });
  }

  async #onWorkers(
    job: Job,
    words: Int32Array,
    { onProgress, signal }: RunOptions,
  ): Promise<BadRow | undefined> {
    while (this.#workers.length < this.#threads) this.#workers.push(this.#start());
    const id = this.#next;
    this.#next += 1;
    const items = itemsOf(job);
    const stop = () => Atomics.store(words, control.stop, 1);
    // What the caller's function throws is the call's: nobody hears it from a timer.
    let thrown: { readonly error: unknown } | undefined;
    const tell = () => {
      try {
        onProgress?.(Atomics.load(words, control.done) / items);
      } catch (error) {
        thrown ??= { error };
        stop();
      }
    };
    const timer = onProgress && setInterval(tell, 100);
    // Every call in flight has a listener, and takes it away: many are no leak.
    if (signal) setMaxListeners(0, signal);
    signal?.addEventListener('abort', stop);
    try {
      const bad = await new Promise<BadRow | undefined>((resolve, reject) => {
        const settle = (error: unknown, row: BadRow | undefined) =>
          error === undefined ? resolve(row) : reject(error);
        this.#waiting.set(id, { left: this.#workers.length, bad: undefined, settle });
        const order: Order = { id, job, words };
        for (const worker of this.#workers) {
          worker.ref();
          worker.postMessage(order);
        }
      });
      if (thrown) throw thrown.error;
      signal?.throwIfAborted();
      return bad;
    } finally {
      clearInterval(timer);
      signal?.removeEventListener('abort', stop);
      if (this.#waiting.size === 0) for (const worker of this.#workers) worker.unref();
    }
  }

  #start(): Worker {
    const worker = startWorker();
    worker.on('message', (reply: Reply) => {
      const waiting = this.#waiting.get(reply.id);
      if (!waiting) return;
      waiting.left -= 1;
      if ('bad' in reply) waiting.bad ??= reply.bad;
      if ('error' in reply) this.#settle(reply.id, reply.error);
      else if (waiting.left === 0) this.#settle(reply.id, undefined);
    });
    worker.on('error', (cause) => this.#fail(cause));
    worker.on('exit', (code) => {
      if (this.#workers.includes(worker)) this.#fail(new Error(`a worker ended with code ${code}`));
    });
    return worker;
  }

  #settle(id: number, error: unknown): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    waiting?.settle(error, waiting.bad);
  }

  /** A worker is gone: all that wait are told, and the next job starts anew. */
  #fail(cause: unknown): void {
    const why = cause instanceof Error ? cause.message : String(cause);
    const finding = diagnostic('R004', `a worker thread of the CPU device failed: ${why}`, {
      help: "run it on one thread: openDevice('cpu', { threads: 0 })",
    });
    const old = this.#workers;
    this.#workers = [];
    for (const worker of old) void worker.terminate();
    for (const id of [...this.#waiting.keys()])
      this.#settle(id, new DeviceError([finding], { cause }));
  }

  /** Ends the workers; a job that still runs is rejected, and so is one that comes later. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const old = this.#workers;
    this.#workers = [];
    await Promise.all(old.map((worker) => worker.terminate()));
    for (const id of [...this.#waiting.keys()]) this.#settle(id, disposedError());
  }

  /** throws: DeviceError R003 once it is closed. */
  #checkOpen(): void {
    if (this.#isClosed) throw disposedError();
  }
}

const disposedError = (): DeviceError =>
  new DeviceError([
    diagnostic('R003', 'the device was disposed while it worked', {
      help: 'await its calls before you dispose of it',
    }),
  ]);
