// Where each choice of a search stands: what became of it, and its times so far.

import { type Choice, choiceName } from '../../codegen/attention/choice.ts';

/**
 * `waiting`: not tried yet; `racing`: timed round after round; `slower`: left behind; `refused`: by the compiler, or
 * for what it says; the others failed on the device.
 */
export type State = 'waiting' | 'racing' | 'slower' | 'refused' | 'fails' | 'hangs' | 'wrong';

export class Standing {
  readonly choice: Choice;
  readonly name: string;
  state: State = 'waiting';
  /** Why, where the state is no good one. */
  why: string | undefined;
  /** Of a call, relative to the untuned one's at the same time. */
  readonly ratios: number[] = [];
  readonly times: number[] = [];

  constructor(choice: Choice) {
    this.choice = choice;
    this.name = choiceName(choice);
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

  add(ms: number, ratio: number): void {
    this.times.push(ms);
    this.ratios.push(ratio);
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
