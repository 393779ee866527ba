// The work of a job as a shared queue: threads take query tiles by a counter, in order, so that
// neighbouring tiles of one head share its plan. The same loop runs in workers and on the main thread.

import { TileInterpreter } from './attention.ts';
import { type Job, Planner, tilesPerUnit, unitOfJob, unitsOfJob } from './job.ts';
import { tileProducts } from './products.ts';

/** Slots of the control words that all threads of a call share. */
export const control = { next: 0, done: 1, stop: 2, words: 3 } as const;

/** A row that came out as no number. */
export interface BadRow {
  readonly batch: number;
  readonly head: number;
  readonly row: number;
}

export const itemsOf = (job: Job): number => unitsOfJob(job) * tilesPerUnit(job);

/** Takes items until there are none, or the stop word is set; yields after each. */
export function* work(job: Job, words: Int32Array): Generator<void, BadRow | undefined> {
  const planner = new Planner(job);
  const interpreter = new TileInterpreter(tileProducts(), job.buffers, job.qTile, job.kTile);
  const tiles = tilesPerUnit(job);
  const items = itemsOf(job);
  let bad: BadRow | undefined;
  for (;;) {
    const item = Atomics.add(words, control.next, 1);
    if (item >= items || Atomics.load(words, control.stop) !== 0) return bad;
    const i = Math.floor(item / tiles);
    const plan = planner.plan(i);
    // Packed sequences may be shorter than the longest.
    const row = item % tiles < plan.tiles ? interpreter.run(plan, item % tiles) : -1;
    if (row >= 0 && !bad) {
      const { batch, head } = unitOfJob(job, i);
      bad = { batch, head, row };
    }
    Atomics.add(words, control.done, 1);
    yield;
  }
}
