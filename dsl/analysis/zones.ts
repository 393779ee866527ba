// Captured tensors as the analysis sees them: values by index, and the smallest and largest value in a
// range of indices ("zone maps" of database engines), kept at every power of two along the last axis.

const leaf = 64; // values per zone of the finest level: as many as a tile has keys

/** A captured tensor of one launch: row-major values of the declared rank. */
export class Captured {
  readonly kind: 'int' | 'float';
  readonly shape: readonly number[];
  readonly data: Int32Array | Float32Array;
  /** [level][zone]: lowest and highest value of `leaf << level` values, per row of the last axis. */
  #zones: { lo: Float64Array; hi: Float64Array; perRow: number }[] | undefined;
  #hasNaN = false;

  constructor(kind: 'int' | 'float', shape: readonly number[], data: Int32Array | Float32Array) {
    this.kind = kind;
    this.shape = shape;
    this.data = data;
  }

  /** Bytes of the zone maps: two float64 per zone, all levels. */
  get bytes(): number {
    return this.#levels().reduce((sum, { lo, hi }) => sum + lo.byteLength + hi.byteLength, 0);
  }

  /** Builds the zone maps now. */
  prepare(): void {
    this.#levels();
  }

  /** May any loaded value be NaN? */
  get mayBeNaN(): boolean {
    this.#levels();
    return this.#hasNaN;
  }

  /** The value; 0 outside the tensor. */
  at(indices: readonly number[]): number {
    let offset = 0;
    for (let axis = 0; axis < this.shape.length; axis += 1) {
      const i = indices[axis]!;
      const size = this.shape[axis]!;
      if (!(i >= 0 && i < size)) return 0;
      offset = offset * size + i;
    }
    return this.data[offset]!;
  }

  /**
   * Bounds of all values with indices in `[lo[a], hi[a]]` inclusive, 0 included where the range leaves
   * the tensor. NaN values are left out; see `mayBeNaN`.
   */
  range(lo: readonly number[], hi: readonly number[]): readonly [number, number] {
    const last = this.shape.length - 1;
    if (last < 0) return [this.data[0]!, this.data[0]!];
    let outside = false;
    for (let axis = 0; axis <= last; axis += 1) {
      const size = this.shape[axis]!;
      if (hi[axis]! < 0 || lo[axis]! >= size) return [0, 0];
      if (lo[axis]! < 0 || hi[axis]! >= size) outside = true;
    }
    const [low, high] = this.#rangeFrom(0, 0, lo, hi);
    if (outside) return [Math.min(low, 0), Math.max(high, 0)];
    return low > high ? [0, 0] : [low, high];
  }

  /** Over every combination of the leading axes; mostly one batch and one head. */
  #rangeFrom(
    axis: number,
    row: number,
    lo: readonly number[],
    hi: readonly number[],
  ): readonly [number, number] {
    const size = this.shape[axis]!;
    const [from, to] = [Math.max(0, lo[axis]!), Math.min(size - 1, hi[axis]!)];
    if (axis === this.shape.length - 1) return this.#rowRange(row, from, to);
    if (from === to) return this.#rangeFrom(axis + 1, row * size + from, lo, hi);
    let [low, high] = [Infinity, -Infinity];
    for (let i = from; i <= to; i += 1) {
      const [a, b] = this.#rangeFrom(axis + 1, row * size + i, lo, hi);
      [low, high] = [Math.min(low, a), Math.max(high, b)];
    }
    return [low, high];
  }

  #rowRange(row: number, from: number, to: number): readonly [number, number] {
    const size = this.shape.at(-1)!;
    let [low, high] = [Infinity, -Infinity];
    const levels = this.#levels();
    let i = from;
    while (i <= to) {
      // The widest zone that starts here and ends within the range.
      let level = -1;
      while (
        i % (leaf << (level + 1)) === 0 &&
        Math.min(i + (leaf << (level + 1)), size) - 1 <= to
      ) {
        if (level + 1 >= levels.length) break;
        level += 1;
      }
      if (level < 0) {
        const value = this.data[row * size + i]!;
        if (value < low) low = value;
        if (value > high) high = value;
        i += 1;
      } else {
        const { lo, hi, perRow } = levels[level]!;
        const zone = row * perRow + i / (leaf << level);
        if (lo[zone]! < low) low = lo[zone]!;
        if (hi[zone]! > high) high = hi[zone]!;
        i += leaf << level;
      }
    }
    return [low, high];
  }

  #levels(): { lo: Float64Array; hi: Float64Array; perRow: number }[] {
    if (this.#zones) return this.#zones;
    const size = this.shape.at(-1) ?? 1;
    const rows = size === 0 ? 0 : this.data.length / size;
    const levels: { lo: Float64Array; hi: Float64Array; perRow: number }[] = [];
    let perRow = Math.ceil(size / leaf);
    const lo = new Float64Array(rows * perRow).fill(Infinity);
    const hi = new Float64Array(rows * perRow).fill(-Infinity);
    for (let row = 0; row < rows; row += 1) {
      for (let i = 0; i < size; i += 1) {
        const value = this.data[row * size + i]!;
        const zone = row * perRow + ((i / leaf) | 0);
        if (value < lo[zone]!) lo[zone] = value;
        if (value > hi[zone]!) hi[zone] = value;
        if (Number.isNaN(value)) this.#hasNaN = true;
      }
    }
    levels.push({ lo, hi, perRow });
    while (perRow > 1) {
      const below = levels.at(-1)!;
      const half = Math.ceil(perRow / 2);
      const next = {
        lo: new Float64Array(rows * half),
        hi: new Float64Array(rows * half),
        perRow: half,
      };
      for (let row = 0; row < rows; row += 1) {
        for (let zone = 0; zone < half; zone += 1) {
          const left = row * perRow + 2 * zone;
          const right = 2 * zone + 1 < perRow ? left + 1 : left;
          next.lo[row * half + zone] = Math.min(below.lo[left]!, below.lo[right]!);
          next.hi[row * half + zone] = Math.max(below.hi[left]!, below.hi[right]!);
        }
      }
      levels.push(next);
      perRow = half;
    }
    this.#zones = levels;
    return levels;
  }
}
