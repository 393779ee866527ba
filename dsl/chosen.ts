// Chosen sets as data: bits with prefix counts, so that "any member in this range" and "all of this
// range" are answered in constant time per row. One BitSet is the set of one head (or KV head).

import { isObject } from './shown.ts';

/** Which members a set may have: columns `[0, columns)`, in rows `[rowFrom, rowFrom + rows)`. */
export interface SetDomain {
  /** The first row; 0 for sets of one axis. */
  readonly rowFrom: number;
  /** Number of rows; 1 for sets of one axis. */
  readonly rows: number;
  readonly columns: number;
  /** Number of arguments of `has`: 1 or 2. */
  readonly arity: 1 | 2;
}

const popcount = (word: number): number => {
  let x = word - ((word >>> 1) & 0x55555555);
  x = (x & 0x33333333) + ((x >>> 2) & 0x33333333);
  return (((x + (x >>> 4)) & 0x0f0f0f0f) * 0x01010101) >>> 24;
};

/** Rows `[from, to)` as a set's domain counts them; none where they are equal. */
export interface RowRange {
  readonly from: number;
  readonly to: number;
}

export class BitSet {
  readonly domain: SetDomain;
  /** Words per row. */
  readonly stride: number;
  /** 32 members a word, [rows, stride]. */
  readonly bits: Uint32Array;
  /** Members of the row before each word, [rows, stride + 1]; made when a range is first asked for. */
  #counts: Uint32Array | undefined;
  /** The runs of a set of one axis, which every query tile asks for. */
  #runs: Int32Array | undefined;

  /** An empty set, or a view of existing bits. Memory is shared, so that workers see it. */
  constructor(domain: SetDomain, bits?: Uint32Array) {
    this.domain = domain;
    this.stride = (domain.columns + 31) >>> 5;
    this.bits = bits ?? new Uint32Array(new SharedArrayBuffer(4 * domain.rows * this.stride));
  }

  /** Bytes of the bits and, once they are needed, of the counts. */
  static bytes(domain: SetDomain): { bits: number; counts: number } {
    const stride = (domain.columns + 31) >>> 5;
    return { bits: 4 * domain.rows * stride, counts: 4 * domain.rows * (stride + 1) };
  }

  /** Adds a member; `row` is 0 for sets of one axis. Members outside the domain are a mistake of the caller. */
  add(row: number, column: number): void {
    this.bits[(row - this.domain.rowFrom) * this.stride + (column >>> 5)]! |= 1 << (column & 31);
    this.#forget();
  }

  /** Adds all members `[from, to)` of a row. */
  addRange(row: number, from: number, to: number): void {
    for (let column = Math.max(0, from); column < Math.min(to, this.domain.columns); ) {
      if ((column & 31) === 0 && column + 32 <= to && column + 32 <= this.domain.columns) {
        this.bits[(row - this.domain.rowFrom) * this.stride + (column >>> 5)] = 0xffffffff;
        column += 32;
      } else {
        this.add(row, column);
        column += 1;
      }
    }
    this.#forget();
  }

  /** `set.has(column)` of one axis, `set.has(row, column)` of two; false outside the domain. */
  has(a: number, b?: number): boolean {
    return b === undefined ? this.hasIn(0, a) : this.hasIn(a, b);
  }

  hasIn(row: number, column: number): boolean {
    const { rowFrom, rows, columns } = this.domain;
    const r = row - rowFrom;
    if (!(r >= 0 && r < rows && column >= 0 && column < columns)) return false;
    return (this.bits[r * this.stride + (column >>> 5)]! >>> (column & 31)) % 2 === 1;
  }

  /** Members of a row in columns `[from, to)`. */
  count(row: number, from = 0, to: number = this.domain.columns): number {
    const r = row - this.domain.rowFrom;
    const [a, b] = [Math.max(0, from), Math.min(to, this.domain.columns)];
    if (r < 0 || r >= this.domain.rows || a >= b) return 0;
    return this.#before(r, b) - this.#before(r, a);
  }

  /** Is there a member with row in [r0, r1] and column in [c0, c1], all inclusive? */
  any(r0: number, r1: number, c0: number, c1: number): boolean {
    const { rowFrom, rows } = this.domain;
    for (let row = Math.max(r0, rowFrom); row <= Math.min(r1, rowFrom + rows - 1); row += 1) {
      if (this.count(row, c0, c1 + 1) > 0) return true;
    }
    return false;
  }

  /** Is every (row, column) of [r0, r1] x [c0, c1] a member? */
  all(r0: number, r1: number, c0: number, c1: number): boolean {
    const { rowFrom, rows, columns } = this.domain;
    if (r0 < rowFrom || r1 >= rowFrom + rows || c0 < 0 || c1 >= columns) return false;
    for (let row = r0; row <= r1; row += 1) {
      if (this.count(row, c0, c1 + 1) < c1 - c0 + 1) return false;
    }
    return true;
  }

  /** The members of a row in columns `[from, to)`, ascending. */
  members(row = 0, from = 0, to: number = this.domain.columns): Int32Array {
    const r = row - this.domain.rowFrom;
    const result = new Int32Array(this.count(row, from, to));
    let at = 0;
    for (let w = Math.max(0, from) >>> 5; at < result.length; w += 1) {
      let word = this.bits[r * this.stride + w]!;
      if (w * 32 < from) word &= -1 << (from - w * 32);
      for (; word !== 0 && at < result.length; word &= word - 1) {
        result[at] = w * 32 + 31 - Math.clz32(word & -word);
        at += 1;
      }
    }
    return result;
  }

  /**
   * Maximal runs `[from, to)` of columns, flat: from, to, from, to ...; a column counts when `any` (or
   * `every`) row of [r0, r1] has it. Rows outside the domain have nothing.
   */
  runs(r0 = 0, r1: number = r0, over: 'any' | 'every' = 'any'): Int32Array {
    if (this.domain.arity === 1 && r0 === 0 && r1 === 0) {
      this.#runs ??= this.#scan(0, 0, over);
      return this.#runs;
    }
    return this.#scan(r0, r1, over);
  }

  #scan(r0: number, r1: number, over: 'any' | 'every'): Int32Array {
    const { rowFrom, rows, columns } = this.domain;
    const [a, b] = [Math.max(r0, rowFrom) - rowFrom, Math.min(r1, rowFrom + rows - 1) - rowFrom];
    const result: number[] = [];
    if (a > b) return new Int32Array(0);
    let start = -1;
    for (let w = 0; w < this.stride; w += 1) {
      let word = this.bits[a * this.stride + w]! | 0;
      for (let r = a + 1; r <= b; r += 1) {
        const other = this.bits[r * this.stride + w]!;
        word = over === 'any' ? word | other : word & other;
      }
      if (word === 0 && start < 0) continue;
      if (word === -1 && start >= 0) continue;
      for (let bit = 0; bit < 32; bit += 1) {
        const member = (word >>> bit) % 2 === 1;
        if (member && start < 0) start = w * 32 + bit;
        if (!member && start >= 0) {
          result.push(start, w * 32 + bit);
          start = -1;
        }
      }
    }
    if (start >= 0) result.push(start, columns);
    return Int32Array.from(result);
  }

  #forget(): void {
    this.#counts = undefined;
    this.#runs = undefined;
  }

  #before(r: number, column: number): number {
    const counts = this.#counts ?? this.#count();
    const word = column >>> 5;
    const rest = column & 31;
    const base = counts[r * (this.stride + 1) + word]!;
    return rest === 0
      ? base
      : base + popcount(this.bits[r * this.stride + word]! & ((1 << rest) - 1));
  }

  #count(): Uint32Array {
    const { rows } = this.domain;
    const counts = new Uint32Array(rows * (this.stride + 1));
    for (let r = 0; r < rows; r += 1) {
      let sum = 0;
      for (let w = 0; w < this.stride; w += 1) {
        counts[r * (this.stride + 1) + w] = sum;
        sum += popcount(this.bits[r * this.stride + w]!);
      }
      counts[r * (this.stride + 1) + this.stride] = sum;
    }
    this.#counts = counts;
    return counts;
  }
}

/** Every member of a domain. */
export function fullSet(domain: SetDomain): BitSet {
  const set = new BitSet(domain);
  for (let row = domain.rowFrom; row < domain.rowFrom + domain.rows; row += 1)
    set.addRange(row, 0, domain.columns);
  return set;
}

/** The plain union of [member, member + size) over the members of each row, in a domain with room for it. */
export function dilated(set: BitSet, domain: SetDomain, size: number): BitSet {
  const result = new BitSet(domain);
  for (let row = domain.rowFrom; row < domain.rowFrom + domain.rows; row += 1) {
    const runs = set.runs(row);
    for (let i = 0; i < runs.length; i += 2)
      result.addRange(row, runs[i]!, runs[i + 1]! + size - 1);
  }
  return result;
}

/** A set whose members are not known here, as one on a device: anything may be in it. It holds no bits. */
export class UnknownSet extends BitSet {
  constructor(domain: SetDomain) {
    super(domain, new Uint32Array(0));
  }

  override any(): boolean {
    return true;
  }

  override all(): boolean {
    return false;
  }
}

/** One named set of a launch: a BitSet per batch and head (or KV head), at `batch * heads + head`. */
export interface ChosenSet {
  readonly axes: readonly { readonly axis: string; readonly size: number }[];
  /** One per KV head instead of one per query head. */
  readonly perGroup: boolean;
  readonly units: readonly BitSet[];
  /** Units that are the whole visible domain: a capacity made them so, or nothing was chosen since nothing could be left out. */
  readonly dense: readonly boolean[];
  /** The rows that were computed, where others could not change the mask with the numbers of the call: those are empty. */
  readonly rows?: RowRange | undefined;
}

/** A set in host memory; one in the memory of a device has no units yet. */
export const isChosenSet = (value: unknown): value is ChosenSet =>
  isObject(value) &&
  Array.isArray(value.axes) &&
  value.axes.every(isObject) &&
  Array.isArray(value.units) &&
  value.units.every((unit) => unit instanceof BitSet) &&
  Array.isArray(value.dense);

export type ChosenSetsData = Readonly<Record<string, ChosenSet>>;

/** The smallest domain that holds the rows of all units. */
export function hullOf(units: readonly BitSet[]): SetDomain {
  const [first] = units;
  const from = Math.min(...units.map(({ domain }) => domain.rowFrom));
  const to = Math.max(...units.map(({ domain }) => domain.rowFrom + domain.rows));
  return { ...first!.domain, rowFrom: from, rows: to - from };
}

/** A range of the rows of a domain; undefined for all of them. */
export const partOf = (
  { rowFrom, rows }: SetDomain,
  range: RowRange | undefined,
): RowRange | undefined =>
  range && (range.from > rowFrom || range.to < rowFrom + rows) ? range : undefined;

/** The set of one query head. */
export function setOfHead(
  set: ChosenSet,
  batch: number,
  head: number,
  heads: number,
  kvHeads: number,
): BitSet {
  const unit = set.perGroup
    ? batch * kvHeads + Math.floor(head / (heads / kvHeads))
    : batch * heads + head;
  return set.units[unit]!;
}
