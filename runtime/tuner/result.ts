// What a tuning tells, as plain data.

import type { Choice } from '../../codegen/attention/choice.ts';
import type { AnyPattern } from '../../dsl/pattern.ts';
import type { LaunchShape } from '../../dsl/shape.ts';
import type { ChipName } from '../cuda/machine.ts';
import type { FloatType } from '../dtype.ts';
import type { Keeper } from './keeper.ts';
import type { SearchResult } from './search.ts';
import type { Standing } from './standing.ts';

/** What became of one way to make the kernel. */
export interface TunedCandidate {
  /** `hopper 128x128, 2 stages, 2 Q buffers, speculative` */
  readonly name: string;
  readonly choice: Choice;
  readonly state: Standing['state'];
  /** Why, where it was refused, failed, hung or was wrong. */
  readonly why?: string;
  /** Medians of the race: milliseconds of a call, and relative to the untuned choice at the same time. */
  readonly ms?: number;
  readonly ratio?: number;
  readonly rounds: number;
  /** The same of the fastest ones, and of the untuned one, at the clock that the chip holds under each alone. */
  readonly sustained?: { readonly ms: number; readonly ratio: number; readonly rounds: number };
}

export interface TuneResult {
  readonly pattern: string;
  readonly shape: LaunchShape;
  readonly dtype: FloatType;
  /** The class of lengths that it holds for. */
  readonly length: string;
  readonly device: string;
  /** Undefined where times mean nothing: an emulated device. */
  readonly chip: ChipName | undefined;
  readonly best: TunedCandidate;
  readonly untuned: TunedCandidate;
  /** The fastest of the race first. */
  readonly candidates: readonly TunedCandidate[];
  /** False where the budget or the signal came before the best was known. */
  readonly isComplete: boolean;
  /** The file that the winner was written to. */
  readonly file: string | undefined;
}

/** A standing as plain data. */
export function candidateOf(standing: Standing): TunedCandidate {
  const { name, choice, state, why, rounds, ms, ratio, sustained } = standing;
  return {
    ...{ name, choice, state, rounds },
    ...(why !== undefined && { why }),
    ...(rounds > 0 && { ms, ratio }),
    ...(sustained.rounds > 0 && {
      sustained: { ms: sustained.ms, ratio: sustained.ratio, rounds: sustained.rounds },
    }),
  };
}

export function resultOf(
  call: {
    readonly pattern: AnyPattern;
    readonly shape: LaunchShape;
    readonly dtype: FloatType;
    readonly device: string;
  },
  { length, chip, store }: Keeper,
  { best, untuned, standings, isComplete }: SearchResult,
  isKept: boolean,
): TuneResult {
  const order = (one: TunedCandidate): number => one.ratio ?? Number.POSITIVE_INFINITY;
  return {
    ...call,
    pattern: call.pattern.definition.name,
    length,
    chip,
    best: candidateOf(best),
    untuned: candidateOf(untuned),
    candidates: standings.map(candidateOf).sort((a, b) => (order(a) < order(b) ? -1 : 1)),
    isComplete,
    file: isKept ? store.file : undefined,
  };
}
