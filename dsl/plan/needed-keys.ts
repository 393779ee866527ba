// Which of the packed keys a query tile needs: those in some spans, counted without being listed, so that a million of
// them cost no more than the spans do.

import type { BitSet } from '../chosen.ts';
import type { Spans } from './spans.ts';

export class NeededKeys {
  /** The packed keys, of one axis. */
  readonly #set: BitSet;
  /** Those of the spans that hold packed keys. */
  readonly #spans: number[] = [];
  /** Needed keys before each of these. */
  readonly #before: number[] = [];
  readonly length: number;

  constructor(set: BitSet, spans: Spans) {
    this.#set = set;
    let length = 0;
    for (let i = 0; i < spans.length; i += 2) {
      const own = set.count(0, spans[i]!, spans[i + 1]!);
      if (own === 0) continue;
      this.#spans.push(spans[i]!, spans[i + 1]!);
      this.#before.push(length);
      length += own;
    }
    this.length = length;
  }

  /** Needed keys less than `key`. */
  before(key: number): number {
    const span = lastWith(this.#before.length, (i) => this.#spans[2 * i]! < key);
    if (span < 0) return 0;
    const [from, to] = [this.#spans[2 * span]!, this.#spans[2 * span + 1]!];
    return this.#before[span]! + this.#set.count(0, from, Math.min(to, key));
  }

  /** The needed keys `[from, to)`, counted from the least. */
  slice(from: number, to: number): Int32Array {
    const result = new Int32Array(to - from);
    let at = from;
    for (let i = lastWith(this.#before.length, (s) => this.#before[s]! <= from); at < to; i += 1) {
      const [start, end] = [this.#spans[2 * i]!, this.#spans[2 * i + 1]!];
      const first = this.#keyAfter(start, end, at - this.#before[i]!);
      const keys = this.#set.members(0, first, this.#keyAfter(first, end, to - at));
      result.set(keys, at - from);
      at += keys.length;
    }
    return result;
  }

  /** The least key in `[from, to]` that `count` members from `from` on come before; `to` where there are fewer. */
  #keyAfter(from: number, to: number, count: number): number {
    const key = lastWith(to - from, (i) => this.#set.count(0, from, from + i) < count);
    return from + key + 1;
  }
}

/** The last of `count` numbers from 0 on for which something holds that holds up to it; -1 where it never does. */
function lastWith(count: number, holds: (i: number) => boolean): number {
  let [low, high] = [-1, count - 1];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (holds(middle)) low = middle;
    else high = middle - 1;
  }
  return low;
}
