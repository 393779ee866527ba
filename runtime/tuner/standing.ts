// Where each choice of a search stands: what became of it, and its times so far.

import { type Choice, choiceName } from '../../codegen/attention/choice.ts';

/**
 * `waiting`: not tried yet; `racing`: timed round after round; `slower`: left behind; `refused`: by the compiler, or
 * for what it says; the others failed on the device.
 */
export type State = 'waiting' | 'racing' | 'slower' | 'refused' | 'fails' | 'hangs' | 'wrong';

/** Times of calls, and what they are relative to those of the untuned choice at the same moments. */
export class Times {
  readonly times: number[] = [];
  readonly ratios: number[] = [];

  add(ms: number, ratio: number): void {
    this.times.push(ms);
    this.ratios.push(ratio);
  }

  /** Compared with the untuned choice, whatever the clock did meanwhile. */
  get ratio(): number {
    return median(this.ratios);
  }

  get ms(): number {
    return median(this.times);
  }

  get rounds(): number {
    return this.ratios.length;
  }
}

/** Its own times are those of the race. */
export class Standing extends Times {
  readonly choice: Choice;
  readonly name: string;
  state: State = 'waiting';
  /** Why, where the state is no good one. */
  why: string | undefined;
  /** Of rounds in which the chip had nothing else to do for long (sustained.ts). */
  readonly sustained = new Times();

  constructor(choice: Choice) {
    super();
    this.choice = choice;
    this.name = choiceName(choice);
  }

  end(state: State, why?: string): void {
    this.state = state;
    this.why = why;
  }
}

/** NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  if (sorted.length % 2 === 1) return sorted[Math.floor(middle)]!;
  return (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The times of two that can be compared: sustained ones where both have any. */
export const comparedTimes = (a: Standing, b: Standing): readonly [Times, Times] =>
  a.sustained.rounds > 0 && b.sustained.rounds > 0 ? [a.sustained, b.sustained] : [a, b];
