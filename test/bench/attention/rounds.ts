// Times calls in rounds that alternate, so that a clock that drifts does so for all of them, each round in another
// order: a chip at its limit of power is faster after light work, by up to 8 % for more than 60 ms (an H100, measured).
// Medians are taken by whoever reads the rounds.

import type { Device } from '../../../index.ts';
import { Gpu } from '../../../runtime/cuda/gpu.ts';
import { Clock } from './clock.ts';
import { dice, shuffled } from './draws.ts';

/** One thing to time: enqueues a call and gives back what it made. */
export type Call = () => Promise<void>;

/** One round: milliseconds of a call, and the clock while it lasted where there is one. */
export interface Round {
  readonly ms: number;
  readonly megahertz?: number | undefined;
}

export interface RoundOptions {
  readonly rounds: number;
  /** A round makes as many calls as take so long. */
  readonly roundMs: number;
}

/** Calls longer than this are timed in fewer rounds. */
const longMs = 1000;
const fewRounds = 3;

/** Times a number of calls in a row, without those before it. */
export interface Stopwatch {
  time(call: Call, calls: number): Promise<Round>;
}

/** By the device's own events; by the host's clock where there are none. */
export async function stopwatchOn(device: Device): Promise<Stopwatch> {
  if (device.kind === 'cpu' || !(device.machine instanceof Gpu)) {
    return {
      async time(call, calls) {
        const start = performance.now();
        for (let i = 0; i < calls; i += 1) await call();
        if (device.kind !== 'cpu') await device.synchronize();
        return { ms: (performance.now() - start) / calls };
      },
    };
  }
  const gpu = device.machine;
  const clock = await Clock.on(gpu);
  return {
    async time(call, calls) {
      clock.mark(0);
      const from = gpu.device.event();
      for (let i = 0; i < calls; i += 1) await call();
      const to = gpu.device.event();
      clock.mark(1);
      const ms = (await gpu.device.elapsed(from, to)) / calls;
      gpu.device.drop(from);
      gpu.device.drop(to);
      return { ms, megahertz: await clock.megahertz() };
    },
  };
}

/** All rounds of each call, which were made once before. */
export async function timeRounds(
  calls: readonly Call[],
  stopwatch: Stopwatch,
  { rounds, roundMs }: RoundOptions,
): Promise<Round[][]> {
  const plans: { readonly count: number; readonly rounds: number }[] = [];
  for (const call of calls) {
    const { ms } = await stopwatch.time(call, 1);
    const count = Math.max(1, Math.ceil(roundMs / ms));
    plans.push({ count, rounds: ms > longMs ? Math.min(fewRounds, rounds) : rounds });
  }
  const all: Round[][] = calls.map(() => []);
  for (let round = 0; round < rounds; round += 1) {
    for (const [i, call] of shuffled([...calls.entries()], dice(round))) {
      const { count, rounds: own } = plans[i]!;
      if (round >= own) continue;
      // Caches and clock are those of the call itself, not of the one before it.
      for (let warm = 0; warm < Math.floor(count / 4); warm += 1) await call();
      all[i]!.push(await stopwatch.time(call, count));
    }
  }
  return all;
}
