// Classes of lengths: calls whose lengths are of one class have the same knobs. What is best at 16K is not at 1K,
// where a tile more or less decides how many multiprocessors have work; between powers of two it hardly changes.

/** Shorter ones are all less than a tile or two. */
const least = 64;

/** The power of two that a length reaches up to: 8193 .. 16384 are 16384, and 0 .. 64 are 64. */
export const classOf = (length: number): number =>
  2 ** Math.ceil(Math.log2(Math.max(least, length)));

/** The lengths that a kernel is chosen for. With packed sequences those of the longest. */
export interface Lengths {
  readonly qLen: number;
  readonly kLen: number;
}

/** The class of a call as text: `16384`, or `64x16384` where the queries are of another class than the keys. */
export function lengthClass({ qLen, kLen }: Lengths): string {
  const [q, k] = [classOf(qLen), classOf(kLen)];
  return q === k ? String(k) : `${q}x${k}`;
}
