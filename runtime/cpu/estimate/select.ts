// Picking the members of one row: the n largest, those above a threshold, those that cover a mass. Radix
// selection over the bits of fp32, so no row is ever sorted. Not where the weights come from.

import { BitSet, type SetDomain } from '../../../dsl/chosen.ts';
import type { Forced } from '../../../dsl/estimate/axes.ts';
import type { Leaf } from '../../../dsl/estimate/demand.ts';

const cell = new Float32Array(1);
const cellBits = new Uint32Array(cell.buffer);

/** Bits whose order as unsigned integers is the order of the numbers; -0 counts as 0. */
function orderedBits(x: number): number {
  cell[0] = x + 0;
  const bits = cellBits[0]!;
  return bits & 0x80000000 ? ~bits >>> 0 : (bits | 0x80000000) >>> 0;
}

const zeroBits = orderedBits(0);

/** The set of one leaf for one unit (a head, or a KV head), filled row by row. */
export class Selection {
  readonly leaf: Leaf;
  readonly set: BitSet;
  /** A row needed more than the capacity: the whole domain is to be filled in. */
  dense = false;
  #keys = new Uint32Array(0);
  #columns = new Int32Array(0);
  readonly #counts = new Uint32Array(256);
  readonly #sums = new Float64Array(256);

  constructor(leaf: Leaf, domain: SetDomain) {
    this.leaf = leaf;
    this.set = new BitSet(domain);
  }

  /**
   * Chooses the members of a row among the columns `[from, to)` that it sees and the forced ones;
   * `weights[0]` belongs to column `from`.
   */
  row(row: number, weights: Float32Array, from: number, to: number, forced: Forced): void {
    if (this.dense) return;
    const { leaf, set } = this;
    set.addRange(row, 0, forced.first);
    set.addRange(row, forced.from, forced.to);
    const already = this.#forcedCount(forced);
    switch (leaf.op) {
      case 'topk': {
        const candidates = this.#gather(weights, from, to, forced);
        this.#takeLargest(row, candidates, leaf.count - already);
        return;
      }
      case 'above':
        this.#takeAbove(row, weights, from, to, forced, already);
        return;
      case 'cover':
        this.#takeCover(row, weights, from, to, forced, already);
    }
  }

  /** Fills a row with all that it sees, once a capacity is exceeded. */
  fill(row: number, from: number, to: number, forced: Forced): void {
    this.set.addRange(row, 0, forced.first);
    this.set.addRange(row, forced.from, forced.to);
    this.set.addRange(row, from, to);
  }

  #forcedCount({ first, from, to }: Forced): number {
    return first + Math.max(0, to - Math.max(from, first));
  }

  #takeAbove(
    row: number,
    weights: Float32Array,
    from: number,
    to: number,
    forced: Forced,
    already: number,
  ): void {
    const { leaf, set } = this;
    if (leaf.op !== 'above') return;
    let reference = leaf.reference === 'max' ? -Infinity : 0;
    for (let i = 0; i < to - from; i++) {
      const weight = weights[i]!;
      if (leaf.reference === 'sum') reference += weight;
      else if (weight > reference) reference = weight;
    }
    const threshold = leaf.share * reference;
    let taken = already;
    for (let i = 0; i < to - from; i++) {
      if (weights[i]! < threshold) continue;
      const column = from + i;
      if (column < forced.first || (column >= forced.from && column < forced.to)) continue;
      set.add(row, column);
      taken += 1;
    }
    if (taken > leaf.capacity) this.dense = true;
  }

  #takeCover(
    row: number,
    weights: Float32Array,
    from: number,
    to: number,
    forced: Forced,
    already: number,
  ): void {
    const { leaf } = this;
    if (leaf.op !== 'cover') return;
    const candidates = this.#gather(weights, from, to, forced);
    let total = 0;
    for (let i = 0; i < to - from; i++) total += weights[i]!;
    // The forced members that the row sees count.
    let got = 0;
    for (let column = from; column < Math.min(to, forced.first); column++) {
      got += weights[column - from]!;
    }
    for (let c = Math.max(from, forced.first, forced.from); c < Math.min(to, forced.to); c++) {
      got += weights[c - from]!;
    }
    const need = leaf.mass * total - got;
    let taken = 0;
    if (need > 0 || leaf.mass === 1) {
      // Mass 1 is every positive weight, whatever the rounding of the sums.
      const all = leaf.mass === 1 ? Infinity : need;
      taken = this.#takeMass(row, candidates, weights, from, all);
    }
    if (already + taken > leaf.capacity) this.dense = true;
  }

  /** Columns that are seen and not forced, with their ordered bits. */
  #gather(weights: Float32Array, from: number, to: number, forced: Forced): number {
    if (this.#keys.length < to - from) {
      this.#keys = new Uint32Array(to - from);
      this.#columns = new Int32Array(to - from);
    }
    let count = 0;
    for (let column = Math.max(from, forced.first); column < to; column++) {
      if (column >= forced.from && column < forced.to) continue;
      this.#keys[count] = orderedBits(weights[column - from]!);
      this.#columns[count] = column;
      count += 1;
    }
    return count;
  }

  /** Takes the `n` candidates with the largest keys, ties from the lowest column. */
  #takeLargest(row: number, candidates: number, n: number): void {
    const { set } = this;
    const keys = this.#keys;
    const columns = this.#columns;
    if (n >= candidates) {
      for (let i = 0; i < candidates; i++) set.add(row, columns[i]!);
      return;
    }
    if (n <= 0) return;
    const counts = this.#counts;
    let threshold = 0;
    let missing = n;
    for (let shift = 24; shift >= 0; shift -= 8) {
      counts.fill(0);
      // Keys that share the digits found so far; none yet at the top (a shift by 32 is a shift by 0).
      const known = shift === 24 ? 0 : threshold >>> (shift + 8);
      for (let i = 0; i < candidates; i++) {
        const key = keys[i]!;
        if (shift === 24 || key >>> (shift + 8) === known) counts[(key >>> shift) & 255]! += 1;
      }
      let digit = 255;
      while (counts[digit]! < missing) {
        missing -= counts[digit]!;
        digit -= 1;
      }
      threshold = (threshold | (digit << shift)) >>> 0;
    }
    this.#takeFrom(row, candidates, threshold, missing);
  }

  /** Takes all above the threshold, and the first `ties` that equal it. */
  #takeFrom(row: number, candidates: number, threshold: number, ties: number): number {
    let left = ties;
    let taken = 0;
    for (let i = 0; i < candidates; i++) {
      const key = this.#keys[i]!;
      if (key < threshold || (key === threshold && left === 0)) continue;
      if (key === threshold) left -= 1;
      this.set.add(row, this.#columns[i]!);
      taken += 1;
    }
    return taken;
  }

  /** Takes the fewest candidates, largest first, whose weights reach `need`; at most the positive ones. */
  #takeMass(
    row: number,
    candidates: number,
    weights: Float32Array,
    from: number,
    need: number,
  ): number {
    const counts = this.#counts;
    const sums = this.#sums;
    let threshold = 0;
    let missing = need;
    for (let shift = 24; shift >= 0; shift -= 8) {
      counts.fill(0);
      sums.fill(0);
      const known = shift === 24 ? 0 : threshold >>> (shift + 8);
      for (let i = 0; i < candidates; i++) {
        const key = this.#keys[i]!;
        if (key <= zeroBits || (shift < 24 && key >>> (shift + 8) !== known)) continue;
        counts[(key >>> shift) & 255]! += 1;
        sums[(key >>> shift) & 255]! += weights[this.#columns[i]! - from]!;
      }
      // Down to the digit whose keys reach the mass; by rounding, it may be that no digit does.
      let digit = 255;
      let last = -1;
      for (; digit >= 0; digit--) {
        if (counts[digit]! === 0) continue;
        if (sums[digit]! >= missing) break;
        last = digit;
        missing -= sums[digit]!;
      }
      if (digit < 0) {
        if (last < 0) return 0;
        // All of the remaining ones are needed: everything positive that shares the known digits.
        const lowest = shift === 24 ? zeroBits + 1 : (threshold | (last << shift)) >>> 0;
        return this.#takeFrom(row, candidates, lowest, Infinity);
      }
      threshold = (threshold | (digit << shift)) >>> 0;
    }
    const weight = weightOf(threshold);
    // Keys equal to the threshold: as many as the rest of the mass needs.
    const ties = Math.max(1, Math.ceil(missing / weight));
    return this.#takeFrom(row, candidates, threshold, ties);
  }
}

/** The number behind ordered bits. */
function weightOf(bits: number): number {
  cellBits[0] = bits & 0x80000000 ? bits & 0x7fffffff : ~bits;
  return cell[0]!;
}
