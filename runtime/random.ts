// Random numbers that are a function of (seed, index): any slice can be made alone, on any machine, with
// the same bits. Not a stateful generator, and not for secrets.
//
// Bits: Philox4x32-10 (Salmon et al. 2011), the generator of cuRAND and PyTorch. Normal values: the inverse
// of the normal distribution function by AS241 (Wichura 1988). Only + - * / and square roots, which IEEE 754
// rounds exactly, and a logarithm made of them: Math.log and Math.cos may differ in the last bit. The native
// addon makes the same bits on all cores (native/normal.cc).

import { diagnostic, ShapeError } from '../dsl/diagnostic.ts';
import type { Elements, FloatType } from './dtype.ts';
import { encode } from './half.ts';
import { addonExports, isAddonOff } from './native.ts';

/**
 * One block of Philox4x32-10: four 32-bit words.
 * `counter` has four words, `key` two; the result is written to `out`.
 */
export function philox(counter: Uint32Array, key: Uint32Array, out: Uint32Array): void {
  let a = counter[0]!;
  let b = counter[1]!;
  let c = counter[2]!;
  let d = counter[3]!;
  let k0 = key[0]!;
  let k1 = key[1]!;
  for (let round = 0; round < 10; round++) {
    const a0 = high(0xd2511f53, a);
    const c0 = high(0xcd9e8d57, c);
    const low0 = Math.imul(0xd2511f53, a);
    const low1 = Math.imul(0xcd9e8d57, c);
    a = c0 ^ b ^ k0;
    b = low1;
    c = a0 ^ d ^ k1;
    d = low0;
    k0 = (k0 + 0x9e3779b9) | 0;
    k1 = (k1 + 0xbb67ae85) | 0;
  }
  out[0] = a;
  out[1] = b;
  out[2] = c;
  out[3] = d;
}

// The upper 32 bits of a product of two unsigned words, from four products of 16-bit halves.
function high(x: number, y: number): number {
  const x0 = x & 0xffff;
  const x1 = x >>> 16;
  const y0 = y & 0xffff;
  const y1 = y >>> 16;
  const middle = (Math.imul(x1, y0) >>> 0) + (Math.imul(x0, y0) >>> 16);
  const other = (Math.imul(x0, y1) >>> 0) + (middle & 0xffff);
  return (Math.imul(x1, y1) + (middle >>> 16) + (other >>> 16)) | 0;
}

const counter = new Uint32Array(4);
const key = new Uint32Array(2);
const block = new Uint32Array(4);

/**
 * Fills `out` with standard normal values: `out[i]` is value `from + i` of the seed's sequence, a
 * float64 made of 32 random bits, within 6.4 of 0.
 * Throws ShapeError T006 for a seed that is no whole number in [0, 2^53).
 */
export function fillNormal(out: Float64Array | Float32Array, seed: number, from = 0): void {
  checkSeed(seed);
  key[0] = seed;
  key[1] = Math.floor(seed / 2 ** 32);
  counter.fill(0);
  // Element i is word i mod 4 of block floor(i / 4).
  for (let i = 0; i < out.length; ) {
    const index = from + i;
    const number = Math.floor(index / 4);
    counter[0] = number;
    counter[1] = Math.floor(number / 2 ** 32);
    philox(counter, key, block);
    for (let word = index - number * 4; word < 4 && i < out.length; word++, i++) {
      out[i] = normal(block[word]!);
    }
  }
}

function checkSeed(seed: number): void {
  if (Number.isSafeInteger(seed) && seed >= 0) return;
  const help = 'a seed is a whole number from 0 to 2^53 - 1';
  throw new ShapeError([diagnostic('T006', `a seed of ${seed}`, { help })]);
}

/** Where values go: `count` elements from element `at` on. */
export interface ElementRange {
  readonly elements: Elements;
  readonly dtype: FloatType;
  readonly at: number;
  readonly count: number;
}

/**
 * Elements become the values from `from` on of the seed's sequence, times `scale`, each rounded once: by the native
 * addon where it is there, else by TypeScript, with the same bits.
 * Throws ShapeError T006 for a seed that is no whole number in [0, 2^53).
 */
export function encodeNormal(range: ElementRange, seed: number, from: number, scale: number): void {
  checkSeed(seed);
  const native = isAddonOff() ? undefined : addonExports<NativeNormal>()?.fillNormal;
  const { elements, dtype, at, count } = range;
  if (native) native(elements, dtype, at, count, seed, from, scale);
  else encodeByParts(range, seed, from, scale);
}

interface NativeNormal {
  fillNormal(
    elements: Elements,
    dtype: FloatType,
    at: number,
    count: number,
    seed: number,
    from: number,
    scale: number,
  ): void;
}

/** The same in TypeScript, a buffer of float64 after the other. */
export function encodeByParts(
  { elements, dtype, at, count }: ElementRange,
  seed: number,
  from: number,
  scale: number,
): void {
  const buffer = new Float64Array(4096);
  for (let done = 0; done < count; done += buffer.length) {
    const part = buffer.subarray(0, Math.min(buffer.length, count - done));
    fillNormal(part, seed, from + done);
    if (scale !== 1) for (let i = 0; i < part.length; i++) part[i]! *= scale;
    encode(part, dtype, elements, at + done);
  }
}

/** The standard normal quantile at `(word + 0.5) / 2^32`: odd about the middle, never infinite. */
export function normal(word: number): number {
  const q = (word + 0.5 - 2 ** 31) * 2 ** -32;
  if (q <= 0.425 && q >= -0.425) {
    const r = 0.180625 - q * q;
    return (q * polynomial(middleTop, r)) / polynomial(middleBottom, r);
  }
  // The distance to the nearer end, in units of 2^-33: 1, 3, 5, ...
  const odd = 2 * (q < 0 ? word : 2 ** 32 - 1 - word) + 1;
  // At most sqrt(33 ln 2) = 4.8; beyond 5 AS241 has a third fraction.
  const r = Math.sqrt(33 * ln2 - logarithm(odd)) - 1.6;
  const size = polynomial(tailTop, r) / polynomial(tailBottom, r);
  return q < 0 ? -size : size;
}

// The coefficients of AS241 (PPND16), highest power first.
const middleTop = [
  2509.0809287301227, 33430.57558358813, 67265.7709270087, 45921.95393154987, 13731.69376550946,
  1971.5909503065513, 133.14166789178438, 3.3871328727963665,
];
const middleBottom = [
  5226.495278852854, 28729.085735721943, 39307.89580009271, 21213.794301586597, 5394.196021424751,
  687.1870074920579, 42.31333070160091, 1,
];
const tailTop = [
  0.0007745450142783414, 0.022723844989269184, 0.2417807251774506, 1.2704582524523684,
  3.6478483247632045, 5.769497221460691, 4.630337846156546, 1.4234371107496835,
];
const tailBottom = [
  1.0507500716444169e-9, 0.0005475938084995345, 0.015198666563616457, 0.14810397642748008,
  0.6897673349851, 1.6763848301838038, 2.053191626637759, 1,
];

function polynomial(coefficients: readonly number[], x: number): number {
  let sum = 0;
  for (let i = 0; i < coefficients.length; i++) sum = sum * x + coefficients[i]!;
  return sum;
}

const ln2 = Math.LN2;

// ln of a whole number in [1, 2^30), from + - * / alone: n = m 2^e with m in [sqrt(1/2), sqrt(2)), and
// ln m = 2 atanh(t), t = (m - 1) / (m + 1), |t| < 0.1716. The series ends below 2^-53.
function logarithm(n: number): number {
  let exponent = 31 - Math.clz32(n);
  let m = n / (1 << exponent);
  if (m > Math.SQRT2) {
    m /= 2;
    exponent += 1;
  }
  const t = (m - 1) / (m + 1);
  return exponent * ln2 + 2 * t * polynomial(series, t * t);
}

// 1/21, 1/19, ... 1/3, 1.
const series = Array.from({ length: 11 }, (_, i) => 1 / (21 - 2 * i));
