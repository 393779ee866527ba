// Long work of this thread: every few milliseconds others have their turn, so that timers, signals and progress are
// heard. The work itself is a generator that yields where it can pause (dsl/turns.ts).

import { setImmediate as nextTurn } from 'node:timers/promises';
import type { CallOptions } from './parts.ts';

const turnMs = 20;

export interface TurnOptions<Told> {
  /** Told what the work yielded last, before others run. */
  readonly onTurn?: ((told: Told) => void) | undefined;
  /** Ends the work between two turns. */
  readonly signal?: AbortSignal | undefined;
}

/** What planning tells in a call with these options, and what ends it. */
export const planningIn = ({ onProgress, signal }: CallOptions): TurnOptions<number> => ({
  onTurn: (share) => onProgress?.(share, 'plan'),
  signal,
});

/** The result of the work. Rejects with the signal's reason where that ends it. */
export async function inTurns<Told, T>(
  work: Generator<Told, T, void>,
  { onTurn, signal }: TurnOptions<Told> = {},
): Promise<T> {
  for (let since = performance.now(); ; ) {
    const turn = work.next();
    if (turn.done) return turn.value;
    if (performance.now() - since < turnMs) continue;
    onTurn?.(turn.value);
    await nextTurn();
    signal?.throwIfAborted();
    since = performance.now();
  }
}
