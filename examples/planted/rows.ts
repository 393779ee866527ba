// Queries, keys and values that show what is planted. Half of a head's dimensions are rotated by their
// position as RoPE does: a constant query and a constant key then give logits of `q - k` alone, and a query
// that is a sum of turned copies has a bell around each distance. The other half has one direction for the
// sinks, one for the single keys of each query head, and one for each needle. What is planted is not here.

import { type FloatType, Tensor } from '../../index.ts';
import { allocate, type Elements } from '../../runtime/dtype.ts';
import { encode } from '../../runtime/half.ts';
import { fillNormal } from '../../runtime/random.ts';
import { type Planted, period, rotations } from './heads.ts';

/** Logits in natural units. Sums of columns and of diagonals have to tell single keys from bands and from noise. */
const logits = { band: 10, vertical: 11.3, sink: 11.3, needle: 11 } as const;
/** Standard deviation of every element of q and k around what is planted. */
const noise = 0.05;
/** Rows made at a time. */
const chunkRows = 256;
const noiseValues = 2 ** 18;

/** Adds what is planted to the row of a position. */
type Plant = (row: Float32Array, at: number, position: number) => void;

/** Makes rows of one call, in any order; equal rows whenever they are asked for. */
export class PlantedRows {
  readonly planted: Planted;
  /** Cosine and sine of n times the slowest angle, one period. */
  readonly #turns: { readonly cos: Float32Array; readonly sin: Float32Array };
  readonly #noise: Float32Array;

  constructor(planted: Planted) {
    this.planted = planted;
    const length = period(planted.length);
    this.#turns = {
      cos: Float32Array.from({ length }, (_, i) => Math.cos((2 * Math.PI * i) / length)),
      sin: Float32Array.from({ length }, (_, i) => Math.sin((2 * Math.PI * i) / length)),
    };
    this.#noise = new Float32Array(noiseValues + planted.headDim);
    fillNormal(this.#noise, planted.seed);
  }

  /** The queries of one query head into `target`, [qLen, headDim] from element `at` on. */
  queries(head: number, dtype: FloatType, target: Elements, at = 0): void {
    const { qLen, length } = this.planted;
    this.#fill(
      2 * head,
      length - qLen,
      qLen,
      noise,
      this.#planterOfQueries(head),
      dtype,
      target,
      at,
    );
  }

  /** The keys of one KV head into `target`, [length, headDim] from element `at` on. */
  keys(kvHead: number, dtype: FloatType, target: Elements, at = 0): void {
    const { heads, length } = this.planted;
    const stream = 2 * heads + 2 * kvHead;
    this.#fill(stream, 0, length, noise, this.#planterOfKeys(kvHead), dtype, target, at);
  }

  /** Its values, normal: nothing is planted there. */
  values(kvHead: number, dtype: FloatType, target: Elements, at = 0): void {
    const { heads, length } = this.planted;
    const stream = 2 * heads + 2 * kvHead + 1;
    this.#fill(stream, 0, length, 1, () => {}, dtype, target, at);
  }

  #fill(
    stream: number,
    from: number,
    rows: number,
    deviation: number,
    plant: Plant,
    dtype: FloatType,
    target: Elements,
    at: number,
  ): void {
    const { headDim } = this.planted;
    const chunk = new Float32Array(chunkRows * headDim);
    for (let row = 0; row < rows; row += chunkRows) {
      const count = Math.min(chunkRows, rows - row);
      for (let i = 0; i < count; i += 1) {
        const position = from + row + i;
        const start = placeOf(stream, position);
        for (let d = 0; d < headDim; d += 1)
          chunk[i * headDim + d] = deviation * this.#noise[start + d]!;
        plant(chunk, i * headDim, position);
      }
      encode(chunk.subarray(0, count * headDim), dtype, target, at + row * headDim);
    }
  }

  #planterOfQueries(head: number): Plant {
    const { headDim, heads, kvHeads, planted } = this.planted;
    const own = planted[head]!;
    const pairs = rotations(headDim);
    const { re, im } = this.#bells(own.centers, own.spread);
    const { cos, sin } = this.#turns;
    const sinkAt = 2 * pairs;
    const verticalAt = sinkAt + 1 + (head % (heads / kvHeads));
    const [sink, vertical] = [this.#root(logits.sink), this.#root(logits.vertical)];
    const needles = own.needles.map(({ queries }, i) => ({
      ...queries,
      direction: this.#needle(head, i),
    }));
    return (row, at, position) => {
      for (let f = 0, turn = 0; f < pairs; f += 1, turn = (turn + position) % cos.length) {
        const [c, s] = [cos[turn]!, sin[turn]!];
        row[at + 2 * f]! += re[f]! * c - im[f]! * s;
        row[at + 2 * f + 1]! += re[f]! * s + im[f]! * c;
      }
      row[at + sinkAt]! += sink;
      row[at + verticalAt]! += vertical;
      addNeedles(needles, row, at, position);
    };
  }

  #planterOfKeys(kvHead: number): Plant {
    const { headDim, heads, kvHeads, length, planted, sinks } = this.planted;
    const group = heads / kvHeads;
    const pairs = rotations(headDim);
    const { cos, sin } = this.#turns;
    const sinkAt = 2 * pairs;
    const own = planted.slice(kvHead * group, (kvHead + 1) * group);
    const isVertical = own.map(({ verticals }) => {
      const keys = new Uint8Array(length);
      for (const key of verticals) keys[key] = 1;
      return keys;
    });
    const [sink, vertical] = [this.#root(logits.sink), this.#root(logits.vertical)];
    const needles = own.flatMap((one, member) =>
      one.needles.map(({ keys }, i) => ({
        ...keys,
        direction: this.#needle(kvHead * group + member, i),
      })),
    );
    return (row, at, position) => {
      let isSingle = position < sinks;
      if (isSingle) row[at + sinkAt]! += sink;
      for (let member = 0; member < group; member += 1) {
        if (!isVertical[member]![position]) continue;
        row[at + sinkAt + 1 + member]! += vertical;
        isSingle = true;
      }
      // A key of both kinds would have the sum of their logits, and outweigh everything.
      if (!isSingle) {
        for (let f = 0, turn = 0; f < pairs; f += 1, turn = (turn + position) % cos.length) {
          row[at + 2 * f]! += cos[turn]!;
          row[at + 2 * f + 1]! += sin[turn]!;
        }
      }
      addNeedles(needles, row, at, position);
    };
  }

  /** The query before it is rotated: one turned copy for each center, with weights that add up to a bell. */
  #bells(centers: readonly number[], spread: number) {
    const { headDim, length } = this.planted;
    const step = (2 * Math.PI) / period(length);
    const pairs = rotations(headDim);
    // The Fourier series of bells; without its constant every other key would have a logit below 0.
    const weights = Array.from({ length: pairs }, (_, f) =>
      f === 0 ? 0.5 : Math.exp(-((f * step * spread) ** 2) / 2),
    );
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    const scale = (logits.band * Math.sqrt(headDim)) / total;
    const turned = (f: (angle: number) => number) =>
      Float32Array.from(
        weights,
        (weight, i) => scale * weight * centers.reduce((sum, d) => sum + f(i * step * d), 0),
      );
    return { re: turned(Math.cos), im: turned((angle) => -Math.sin(angle)) };
  }

  /** What q and k both have of a direction, so that their logit is this much. */
  #root(logit: number): number {
    return Math.sqrt(logit * Math.sqrt(this.planted.headDim));
  }

  /** A direction among the dimensions that nothing else uses. */
  #needle(head: number, index: number): Float32Array {
    const { headDim, heads, kvHeads, needles, seed } = this.planted;
    const free = 2 * rotations(headDim) + 1 + heads / kvHeads;
    const direction = new Float32Array(headDim);
    fillNormal(direction.subarray(free), seed + 1, (head * needles + index) * headDim);
    const norm = Math.hypot(...direction);
    return direction.map((x) => (x / norm) * this.#root(logits.needle));
  }
}

function addNeedles(
  needles: readonly {
    readonly from: number;
    readonly to: number;
    readonly direction: Float32Array;
  }[],
  row: Float32Array,
  at: number,
  position: number,
): void {
  for (const { from, to, direction } of needles) {
    if (position < from || position >= to) continue;
    for (let d = 0; d < direction.length; d += 1) row[at + d]! += direction[d]!;
  }
}

/** Where in the noise a row begins: Murmur3's last steps, which spread neighbours. */
function placeOf(stream: number, position: number): number {
  let x = Math.imul(position, 0x9e3779b1) ^ Math.imul(stream + 1, 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return ((x ^ (x >>> 16)) >>> 0) % noiseValues;
}

/** All rows of a call: q [1, heads, qLen, headDim], k and v [1, kvHeads, length, headDim]. */
export function plantedTensors(planted: Planted, dtype: FloatType) {
  const { heads, kvHeads, length, qLen, headDim } = planted;
  const rows = new PlantedRows(planted);
  const make = (
    units: number,
    count: number,
    fill: (unit: number, data: Elements, at: number) => void,
  ) => {
    const data = allocate(dtype, units * count * headDim);
    for (let unit = 0; unit < units; unit += 1) fill(unit, data, unit * count * headDim);
    return new Tensor({ data, dtype, shape: [1, units, count, headDim] });
  };
  return {
    q: make(heads, qLen, (head, data, at) => rows.queries(head, dtype, data, at)),
    k: make(kvHeads, length, (kvHead, data, at) => rows.keys(kvHead, dtype, data, at)),
    v: make(kvHeads, length, (kvHead, data, at) => rows.values(kvHead, dtype, data, at)),
  };
}
