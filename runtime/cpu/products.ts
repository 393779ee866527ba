// The two products of an attention tile: the native addon's, or a plain TypeScript stand-in. Not
// the softmax between them, nor the walk over the plan.

import { addonExports, isAddonOff } from '../native.ts';

/**
 * Both products, all fp32 and row-major. A size of 0 changes nothing. No factor is skipped: 0 * NaN
 * is NaN. The result may not share memory with the factors.
 * throws: RangeError for a matrix that is too short or a stride below its columns, TypeError for an
 * argument of another type.
 */
export interface TileProducts {
  /** 'avx512', 'avx2', 'neon', 'portable' or 'typescript'. */
  readonly name: string;
  /** scores[i, j] = scale * sum over d of q[i, d] * k[j, d]; q and k have `dim` as their stride. */
  scores(
    q: Float32Array,
    k: Float32Array,
    scores: Float32Array,
    rows: number,
    keys: number,
    dim: number,
    scale: number,
    scoreStride: number,
  ): void;
  /** out[i, d] += sum over j of p[i, j] * v[j, d]; v and out have `dim` as their stride. */
  accumulate(
    p: Float32Array,
    v: Float32Array,
    out: Float32Array,
    rows: number,
    keys: number,
    dim: number,
    pStride: number,
  ): void;
}

/** Every native implementation that this machine can run, the fastest first. */
export function everyNativeProducts(): readonly TileProducts[] {
  return addonExports<{ readonly products: readonly TileProducts[] }>()?.products ?? [];
}

/** The fastest native implementation, undefined when the addon is not there. */
export function nativeProducts(): TileProducts | undefined {
  return everyNativeProducts()[0];
}

/** The products to compute with; the environment variable `WARPLOOM_ADDON=off` rules out native ones. */
export function tileProducts(): TileProducts {
  return isAddonOff() ? typescriptProducts : (nativeProducts() ?? typescriptProducts);
}

function checkSize(name: string, value: number): void {
  if (typeof value !== 'number') throw new TypeError(`'${name}' is not a number`);
  if (!(Number.isInteger(value) && value >= 0 && value <= 0x7fffffff)) {
    throw new RangeError(`'${name}' is not a size from 0 to 2147483647`);
  }
}

function checkMatrix(
  name: string,
  matrix: Float32Array,
  rows: number,
  columns: number,
  stride: number,
): void {
  if (!(matrix instanceof Float32Array)) throw new TypeError(`'${name}' is not a Float32Array`);
  if (stride < columns) {
    throw new RangeError(`the rows of '${name}' overlap: its stride is below its columns`);
  }
  if ((rows - 1) * stride + columns > matrix.length) {
    throw new RangeError(`'${name}' is too short for its rows and columns`);
  }
}

/** The stand-in: sums in float64, each rounded once, so its bits differ from the native ones. */
export const typescriptProducts: TileProducts = {
  name: 'typescript',

  scores(q, k, scores, rows, keys, dim, scale, scoreStride) {
    checkSize('rows', rows);
    checkSize('keys', keys);
    checkSize('dim', dim);
    if (typeof scale !== 'number') throw new TypeError(`'scale' is not a number`);
    checkSize('scoreStride', scoreStride);
    if (rows === 0 || keys === 0 || dim === 0) return;
    checkMatrix('q', q, rows, dim, dim);
    checkMatrix('k', k, keys, dim, dim);
    checkMatrix('scores', scores, rows, keys, scoreStride);
    multiplyByRows(q, k, scores, rows, keys, dim, Math.fround(scale), scoreStride);
  },

  accumulate(p, v, out, rows, keys, dim, pStride) {
    checkSize('rows', rows);
    checkSize('keys', keys);
    checkSize('dim', dim);
    checkSize('pStride', pStride);
    if (rows === 0 || keys === 0 || dim === 0) return;
    checkMatrix('p', p, rows, keys, pStride);
    checkMatrix('v', v, keys, dim, dim);
    checkMatrix('out', out, rows, dim, dim);
    addByColumns(p, v, out, rows, keys, dim, pStride);
  },
};

// Both loops keep a block of sums in locals, which V8 keeps in registers.

/** Blocks of 2 rows by 4 keys, then what is left one by one. */
function multiplyByRows(
  q: Float32Array,
  k: Float32Array,
  scores: Float32Array,
  rows: number,
  keys: number,
  dim: number,
  scale: number,
  scoreStride: number,
): void {
  const pairs = rows - (rows % 2);
  const fours = keys - (keys % 4);
  for (let j = 0; j < fours; j += 4) {
    for (let i = 0; i < pairs; i += 2) {
      let q0 = i * dim;
      let q1 = q0 + dim;
      let k0 = j * dim;
      let k1 = k0 + dim;
      let k2 = k1 + dim;
      let k3 = k2 + dim;
      let s00 = 0;
      let s01 = 0;
      let s02 = 0;
      let s03 = 0;
      let s10 = 0;
      let s11 = 0;
      let s12 = 0;
      let s13 = 0;
      for (const end = q0 + dim; q0 < end; q0++, q1++, k0++, k1++, k2++, k3++) {
        const x = q[q0]!;
        const y = q[q1]!;
        const a = k[k0]!;
        const b = k[k1]!;
        const c = k[k2]!;
        const d = k[k3]!;
        s00 += x * a;
        s01 += x * b;
        s02 += x * c;
        s03 += x * d;
        s10 += y * a;
        s11 += y * b;
        s12 += y * c;
        s13 += y * d;
      }
      const to0 = i * scoreStride + j;
      const to1 = to0 + scoreStride;
      scores[to0] = s00 * scale;
      scores[to0 + 1] = s01 * scale;
      scores[to0 + 2] = s02 * scale;
      scores[to0 + 3] = s03 * scale;
      scores[to1] = s10 * scale;
      scores[to1 + 1] = s11 * scale;
      scores[to1 + 2] = s12 * scale;
      scores[to1 + 3] = s13 * scale;
    }
  }
  for (let i = 0; i < rows; i++) {
    for (let j = i < pairs ? fours : 0; j < keys; j++) {
      let sum = 0;
      for (let d = 0; d < dim; d++) sum += q[i * dim + d]! * k[j * dim + d]!;
      scores[i * scoreStride + j] = sum * scale;
    }
  }
}

/** Blocks of 2 rows by 4 columns of v, then what is left one by one. */
function addByColumns(
  p: Float32Array,
  v: Float32Array,
  out: Float32Array,
  rows: number,
  keys: number,
  dim: number,
  pStride: number,
): void {
  const pairs = rows - (rows % 2);
  const fours = dim - (dim % 4);
  for (let column = 0; column < fours; column += 4) {
    for (let i = 0; i < pairs; i += 2) {
      let p0 = i * pStride;
      let p1 = p0 + pStride;
      let from = column;
      let s00 = 0;
      let s01 = 0;
      let s02 = 0;
      let s03 = 0;
      let s10 = 0;
      let s11 = 0;
      let s12 = 0;
      let s13 = 0;
      for (const end = p0 + keys; p0 < end; p0++, p1++, from += dim) {
        const x = p[p0]!;
        const y = p[p1]!;
        const a = v[from]!;
        const b = v[from + 1]!;
        const c = v[from + 2]!;
        const d = v[from + 3]!;
        s00 += x * a;
        s01 += x * b;
        s02 += x * c;
        s03 += x * d;
        s10 += y * a;
        s11 += y * b;
        s12 += y * c;
        s13 += y * d;
      }
      const to0 = i * dim + column;
      const to1 = to0 + dim;
      out[to0]! += s00;
      out[to0 + 1]! += s01;
      out[to0 + 2]! += s02;
      out[to0 + 3]! += s03;
      out[to1]! += s10;
      out[to1 + 1]! += s11;
      out[to1 + 2]! += s12;
      out[to1 + 3]! += s13;
    }
  }
  for (let i = 0; i < rows; i++) {
    for (let column = i < pairs ? fours : 0; column < dim; column++) {
      let sum = 0;
      for (let j = 0; j < keys; j++) sum += p[i * pStride + j]! * v[j * dim + column]!;
      out[i * dim + column]! += sum;
    }
  }
}
