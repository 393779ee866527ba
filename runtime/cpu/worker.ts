// A worker thread of the CPU device: takes jobs as messages, answers with what came of them.

import { parentPort } from 'node:worker_threads';
import { type BadRow, control, work } from './items.ts';
import type { Job } from './job.ts';

export interface Order {
  readonly id: number;
  readonly job: Job;
  readonly words: Int32Array;
}

export type Reply =
  | { readonly id: number; readonly bad: BadRow | undefined }
  | { readonly id: number; readonly error: unknown };

parentPort?.on('message', ({ id, job, words }: Order) => {
  let reply: Reply;
  try {
    const run = work(job, words);
    let step = run.next();
    while (!step.done) step = run.next();
    reply = { id, bad: step.value };
  } catch (error) {
    Atomics.store(words, control.stop, 1);
    reply = { id, error };
  }
  parentPort!.postMessage(reply);
});
