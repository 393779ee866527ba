// Long work in turns: between two of them whoever runs it may let others run, or stop. No clock and no event loop here;
// runtime/turns.ts has them.

/** Yields now and then how far it is, 0 .. 1, and ends with the result. */
export type Turns<T> = Generator<number, T, void>;

/** All turns, one after the other, with nothing in between. */
export function atOnce<T>(turns: Turns<T>): T {
  for (;;) {
    const turn = turns.next();
    if (turn.done) return turn.value;
  }
}

/** Part `i` of `count` equal ones of longer work. */
export const partOf = <T>(turns: Turns<T>, i: number, count: number): Turns<T> =>
  between(turns, i / count, (i + 1) / count);

/** What of longer work lies between two shares of it. */
export function* between<T>(turns: Turns<T>, from: number, to: number): Turns<T> {
  for (;;) {
    const turn = turns.next();
    if (turn.done) return turn.value;
    yield from + (to - from) * turn.value;
  }
}
