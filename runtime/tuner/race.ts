// The timed part of a search: rounds over all choices that are still in the race. The clock of a chip drifts by
// several percent within seconds, so a time says nothing by itself: the untuned choice is timed again and again
// between the others, and each counts by its ratio to what that one took at the same moment. Those that are
// clearly behind are left behind, so that rounds become short and the last ones are compared most often.

import type { Standing } from './standing.ts';

/** Times a choice: milliseconds, or undefined where it did not end well and is out of the race. */
export type Time = (standing: Standing) => Promise<number | undefined>;

export interface RoundOptions {
  /** The untuned choice: all others are relative to it. */
  readonly pace: Standing;
  readonly time: Time;
  now(): number;
  /** No other choice is to be timed. */
  isOver(): boolean;
  /** Choices between two times of the pace-maker. */
  readonly groupSize: number;
  /** A time, and its ratio to the pace-maker's at that moment. */
  keep(standing: Standing, ms: number, ratio: number): void;
  /** After each group. */
  onTime?(): void;
}

export interface RaceOptions extends Omit<RoundOptions, 'groupSize' | 'keep'> {
  /** In the race, the pace-maker not among them. */
  readonly field: readonly Standing[];
  /** When it has to be over, by `now`. */
  readonly deadline: number;
  /** 0 .. 1 */
  random(): number;
}

const groupSize = 4;
/** Rounds of those that are compared to the end. */
const mostRounds = 15;
/** So much slower than the best is left behind after 1, 2, ... rounds of its own. */
const slackOf = (rounds: number): number => Math.max(0.012, 0.12 / rounds);
/** Fewer rounds do not make a winner. */
export const leastRounds = 3;
/** Of the time, what the first round may take: who is not timed in it has to wait, or none would have enough rounds. */
const firstShare = 0.5;
/** A race has to have so many times of what one time of each takes, or some will have to wait. */
export const leastTimes = (1 + 1 / groupSize) / firstShare;

/** Runs rounds until the best is known or time is up; true where it is known, and nobody had to wait. */
export async function race(options: RaceOptions): Promise<boolean> {
  const { field, pace, now, deadline } = options;
  const keep: RoundOptions['keep'] = (standing, ms, ratio) => standing.add(ms, ratio);
  let isWhole = true;
  for (let round = 1; round <= mostRounds; round += 1) {
    const begun = now();
    const racing = field.filter(({ state }) => state === 'racing');
    const running = round === 1 ? racing : racing.filter(isTimed);
    if (running.length === 0) return isWhole;
    const end = round === 1 ? begun + firstShare * (deadline - begun) : deadline;
    const isOver = () => options.isOver() || now() >= end;
    const order = shuffled(running, options.random);
    const isDone = await runRound(order, { ...options, isOver, groupSize, keep });
    if (!isDone && (round > 1 || options.isOver() || !isWell(pace))) return false;
    isWhole &&= isDone;
    const ran = running.filter(isTimed);
    leaveBehind([...field, pace], [...ran, pace]);
    const left = field.filter((one) => one.state === 'racing' && isTimed(one));
    const isClose = left.length > 0 && (left.length > 1 || round < 2 * leastRounds);
    if (!isClose) return isWhole;
    spareTime(left, round, now() - begun, deadline - now(), ran.length);
  }
  return isWhole;
}

/** All of a round, in groups with the pace-maker before and after; false where time was up first. */
export async function runRound(
  order: readonly Standing[],
  options: RoundOptions,
): Promise<boolean> {
  const { time, now, isOver, groupSize, keep, onTime } = options;
  let before = await pacemaker(options);
  if (!before) return false;
  for (let from = 0; from < order.length; from += groupSize) {
    const timed: { standing: Standing; ms: number; at: number }[] = [];
    for (const standing of order.slice(from, from + groupSize)) {
      if (isOver()) return false;
      const start = now();
      const ms = await time(standing);
      if (ms !== undefined) timed.push({ standing, ms, at: (start + now()) / 2 });
    }
    const after = await pacemaker(options);
    if (!after) return false;
    const span = Math.max(1e-9, after.at - before.at);
    for (const { standing, ms, at } of timed) {
      const share = (at - before.at) / span;
      keep(standing, ms, ms / (before.ms + share * (after.ms - before.ms)));
    }
    before = after;
    onTime?.();
  }
  return true;
}

/** Undefined where it did not end well: then nothing can be compared any more. */
async function pacemaker({ pace, time, now, keep }: RoundOptions) {
  const start = now();
  const ms = await time(pace);
  if (ms === undefined) return undefined;
  keep(pace, ms, 1);
  return { ms, at: (start + now()) / 2 };
}

/**
 * Leaves behind whom the rounds show to be slower than the best that still runs, and takes back whom it was left behind
 * for by chance.
 */
function leaveBehind(field: readonly Standing[], running: readonly Standing[]): void {
  const best = Math.min(...running.filter(isWell).map(({ ratio }) => ratio));
  for (const one of field)
    if (isWell(one) && isTimed(one))
      one.end(one.ratio > best * (1 + slackOf(one.rounds)) ? 'slower' : 'racing');
}

/** Where the time left is not enough for as many rounds as a winner needs, the slower half goes. */
function spareTime(
  left: readonly Standing[],
  rounds: number,
  roundMs: number,
  leftMs: number,
  ran: number,
): void {
  const wanted = Math.max(1, 2 * leastRounds - rounds);
  const affordable = Math.floor(leftMs / wanted / (roundMs / ran));
  if (left.length <= affordable) return;
  const order = [...left].sort((a, b) => a.ratio - b.ratio);
  for (const one of order.slice(Math.max(2, affordable))) one.end('slower');
}

/** In an order of chance. */
export function shuffled<Item>(items: readonly Item[], random: () => number): Item[] {
  const all = [...items];
  for (let i = all.length - 1; i > 0; i -= 1) {
    const j = Math.floor(random() * (i + 1));
    [all[i], all[j]] = [all[j]!, all[i]!];
  }
  return all;
}

const isTimed = ({ rounds }: Standing): boolean => rounds > 0;

/** Whether a choice was called, and may be called again. */
export const isWell = ({ state }: Standing): boolean => state === 'racing' || state === 'slower';

/** The best by ratio of those with enough rounds; the untuned one where none is faster by more than noise. */
export function bestOf(standings: readonly Standing[], pace: Standing): Standing {
  const timed = standings.filter((one) => isWell(one) && isTimed(one));
  // Where time was up early, few rounds are all there are.
  const most = Math.max(0, ...timed.filter((one) => one !== pace).map(({ rounds }) => rounds));
  const enough = timed.filter(({ rounds }) => rounds >= Math.min(leastRounds, most));
  const [best = pace] = [...enough].sort((a, b) => a.ratio - b.ratio);
  return isWell(pace) && best.ratio >= 1 - noiseOf(best.rounds) ? pace : best;
}

/** Ratios this close to 1 are 1. */
const noiseOf = (rounds: number): number => (rounds < leastRounds ? slackOf(rounds) : 0.004);
