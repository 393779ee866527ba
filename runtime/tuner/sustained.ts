// The last part of a search: the fastest of the race once more, each for so long that the chip finds the clock that it can
// hold under that one. At its limit of power a chip slows down by what it does, and takes a tenth of a second for it: within
// the race all share a clock, and one that needs more power than others looks faster there than to those who call nothing
// else. (An H200, causal attention of D = 64 at 16K: one order of work took 0.979 of another's time in the race, and 1.035
// of it in rounds of 300 ms.)

import type { Bench } from './bench.ts';
import { isWell, leastRounds, type RoundOptions, runRound, shuffled } from './race.ts';
import { median, type Standing } from './standing.ts';
import { byTraffic } from './traffic.ts';

/** So many are compared. */
const mostFinalists = 4;
/** Times of all rounds, the pace-maker before and after each; one more, since no two are of one length. */
const slots = (mostFinalists + 2) * leastRounds + 1;
/** Of the budget. */
const budgetShare = 0.19;
const [leastSlotMs, mostSlotMs] = [100, 400];
/** Of a slot, while the clock still is the one before's. */
const settlingShare = 1 / 3;
/** Enqueued together, so that what lies between weighs little; of calls that the host is slower with, so many. */
const [batchMs, mostCalls] = [40, 200];
/** What was further behind in the race does not need so much less power. */
const mostBehind = 0.04;
/** What is faster by so little in the race may owe it to the power that it need not pay for there. */
const worthOfPower = 0.015;
/** What is faster by less does not take the place of the one that won the race. */
const leastGain = 0.01;

/** What one is called for at a time, in milliseconds; undefined where a budget has no room for it. */
export function slotOf(budgetMs: number): number | undefined {
  const ms = Math.min(mostSlotMs, (budgetShare * budgetMs) / slots);
  return ms < leastSlotMs ? undefined : ms;
}

/** What all of it takes. */
export const sustainedMs = (slotMs: number): number => slots * slotMs;

/** The fastest ones of the race, beside the untuned one: of those that move as much the first, then others. */
export function finalistsOf(standings: readonly Standing[], pace: Standing): Standing[] {
  const timed = standings.filter((one) => isWell(one) && one.rounds >= leastRounds);
  const best = Math.min(...timed.map(({ ratio }) => ratio));
  const close = timed
    .filter((one) => one !== pace && one.ratio <= best * (1 + mostBehind))
    .sort((a, b) => a.ratio - b.ratio);
  const firsts = byTraffic(close, ({ choice }) => choice).map(([first]) => first!);
  return [...new Set([...firsts, ...close])].slice(0, mostFinalists);
}

/** Milliseconds of a call when the chip has had about a slot of it; of long ones there is one. */
export async function timeAlone(
  bench: Pick<Bench, 'run'>,
  { choice, ms }: Standing,
  slotMs: number,
  { now, random }: { now(): number; random(): number },
): Promise<number> {
  // Never the same twice: a clock that swings at the pace of the rounds would favour the same ones in each.
  const length = slotMs * (0.75 + 0.5 * random());
  const batch = Math.min(batchMs, length / 6);
  const calls = Math.max(1, Math.min(mostCalls, Math.round(batch / ms)));
  const start = now();
  const seen: number[] = [];
  for (let end = 0; end + batch / 2 < length || seen.length === 0; ) {
    const begin = end;
    const mean = await bench.run(choice, calls);
    end = now() - start;
    // Most of it.
    if (begin + end > 2 * settlingShare * length) seen.push(mean);
  }
  return seen.reduce((sum, one) => sum + one, 0) / seen.length;
}

/** Rounds of them; true where none is missing. */
export async function sustain(
  finalists: readonly Standing[],
  options: Omit<RoundOptions, 'keep' | 'groupSize'>,
  random: () => number,
): Promise<boolean> {
  const round: RoundOptions = {
    ...options,
    groupSize: mostFinalists,
    keep: ({ sustained }, ms, ratio) => sustained.add(ms, ratio),
  };
  for (let done = 0; done < leastRounds; done += 1)
    if (!(await runRound(shuffled(finalists.filter(isWell), random), round))) return false;
  return true;
}

/**
 * The one to be kept: the winner of the race, unless another is faster by more than rounds of either differ. Where the
 * clock drifts within a round they differ much, and the race, which is used to that, is right. But the untuned one stays
 * where a winner by no more than its power may be worth is no faster than it alone.
 */
export function heldOf(winner: Standing, finalists: readonly Standing[], pace: Standing): Standing {
  const ratiosOf = (one: Standing): readonly number[] =>
    one === pace ? Array(leastRounds).fill(1) : one.sustained.ratios;
  const its = ratiosOf(winner);
  const gainOf = (one: Standing): number => 1 - median(ratiosOf(one)) / median(its);
  const isFaster = (one: Standing): boolean => {
    const ratios = ratiosOf(one);
    if (ratios.length < leastRounds || its.length < leastRounds) return false;
    return gainOf(one) > Math.max(leastGain, spreadOf(ratios), spreadOf(its));
  };
  const faster = [...finalists, pace].filter((one) => isWell(one) && isFaster(one));
  const [best = winner] = faster.sort((a, b) => gainOf(b) - gainOf(a));
  const isDoubted = best === winner && winner.ratio > 1 - worthOfPower && median(its) >= 1;
  return isDoubted && isWell(pace) ? pace : best;
}

const spreadOf = (ratios: readonly number[]): number => Math.max(...ratios) - Math.min(...ratios);
