// Exact conversions between numbers and elements: fp32, fp16 bits, bf16 bits, int32. Not arithmetic.
//
// Every conversion rounds once, to nearest with ties to even. NaN stays a (quiet) NaN with its sign and
// the payload bits that fit, infinities and -0 stay, what is too large becomes infinite.

import { type Code, diagnostic, ShapeError } from '../dsl/diagnostic.ts';
import type { DType, Elements, FloatType } from './dtype.ts';

const cell = new Float32Array(1);
const cellBits = new Uint32Array(cell.buffer);

/** The fp16 bits nearest to a float64 number: one rounding, never by way of fp32. */
export function fp16FromNumber(x: number): number {
  return fp16FromBits(oddBits(x));
}

/** The bf16 bits nearest to a float64 number: one rounding, never by way of fp32. */
export function bf16FromNumber(x: number): number {
  return bf16FromBits(oddBits(x));
}

/** The value of fp16 bits, exact. */
export function numberFromFp16(bits: number): number {
  cellBits[0] = fp16Table()[bits & 0xffff]!;
  return cell[0]!;
}

/** The value of bf16 bits, exact. */
export function numberFromBf16(bits: number): number {
  cellBits[0] = bits << 16;
  return cell[0]!;
}

/** The number of a float dtype that is nearest to `x`. */
export function roundTo(dtype: FloatType, x: number): number {
  if (dtype === 'fp32') return Math.fround(x);
  return dtype === 'fp16' ? numberFromFp16(fp16FromNumber(x)) : numberFromBf16(bf16FromNumber(x));
}

/** fp32 values to fp16 bits, into `target` (from its first element) or a new array. */
export function fp16FromFp32(
  source: Float32Array,
  target: Uint16Array = new Uint16Array(source.length),
): Uint16Array {
  const bits = bitsOf(source);
  for (let i = 0; i < bits.length; i++) target[i] = fp16FromBits(bits[i]!);
  return target;
}

/** fp32 values to bf16 bits, into `target` (from its first element) or a new array. */
export function bf16FromFp32(
  source: Float32Array,
  target: Uint16Array = new Uint16Array(source.length),
): Uint16Array {
  const bits = bitsOf(source);
  for (let i = 0; i < bits.length; i++) target[i] = bf16FromBits(bits[i]!);
  return target;
}

/** fp16 bits to fp32 values, into `target` (from its first element) or a new array. */
export function fp32FromFp16(
  source: Uint16Array,
  target: Float32Array = new Float32Array(source.length),
): Float32Array {
  const table = fp16Table();
  const bits = bitsOf(target);
  for (let i = 0; i < source.length; i++) bits[i] = table[source[i]!]!;
  return target;
}

/** bf16 bits to fp32 values, into `target` (from its first element) or a new array. */
export function fp32FromBf16(
  source: Uint16Array,
  target: Float32Array = new Float32Array(source.length),
): Float32Array {
  const bits = bitsOf(target);
  for (let i = 0; i < source.length; i++) bits[i] = source[i]! << 16;
  return target;
}

/** The value of one element. */
export function numberFrom(dtype: DType, element: number): number {
  if (dtype === 'fp16') return numberFromFp16(element);
  return dtype === 'bf16' ? numberFromBf16(element) : element;
}

/** The values of elements in new memory, exact: int32 for i32, fp32 for the others. */
export function decode(elements: Elements, dtype: DType): Float32Array | Int32Array {
  if (!(elements instanceof Uint16Array)) return elements.slice();
  return dtype === 'fp16' ? fp32FromFp16(elements) : fp32FromBf16(elements);
}

/**
 * Writes numbers into `target` from element `at` on, each rounded once to the dtype.
 * Throws ShapeError for what is no int32, where that is the dtype: T010 for NaN and infinities, T012 for
 * fractions, T009 outside [-2^31, 2^31).
 */
export function encode(values: ArrayLike<number>, dtype: DType, target: Elements, at = 0): void {
  if (dtype === 'fp32') target.set(values, at);
  else if (dtype === 'i32') encodeInt(values, target, at);
  else if (values instanceof Float32Array) {
    const place = target.subarray(at, at + values.length) as Uint16Array;
    if (dtype === 'fp16') fp16FromFp32(values, place);
    else bf16FromFp32(values, place);
  } else {
    const convert = dtype === 'fp16' ? fp16FromNumber : bf16FromNumber;
    for (let i = 0; i < values.length; i++) target[at + i] = convert(values[i]!);
  }
}

function encodeInt(values: ArrayLike<number>, target: Elements, at: number): void {
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (value !== (value | 0)) {
      let code: Code = 'T009';
      if (!Number.isFinite(value)) code = 'T010';
      else if (!Number.isInteger(value)) code = 'T012';
      const help = 'an i32 is a whole number in [-2^31, 2^31); use a float dtype for others';
      throw new ShapeError([diagnostic(code, `element ${at + i} is ${value}`, { help })]);
    }
    target[at + i] = value;
  }
}

// Moving bits, not floats: a NaN read as a number may come back as another NaN.
function bitsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}

// The fp32 bits of `x` rounded to odd: towards zero, then the last bit set if anything was lost. fp32 has
// more than two bits beyond fp16 and bf16, so rounding this to nearest gives what `x` itself would give
// (Boldo and Melquiond 2008). Plain fp32 would not: 1 + 2^-11 + 2^-40 would round to a tie, then down.
function oddBits(x: number): number {
  cell[0] = x;
  const near = cell[0];
  let bits = cellBits[0]!;
  if (near === x || Number.isNaN(x)) return bits;
  if (Math.abs(near) > Math.abs(x)) bits -= 1;
  return (bits | 1) >>> 0;
}

function fp16FromBits(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const size = bits & 0x7fffffff;
  if (size >= 0x47800000) {
    // 65536 and beyond, infinities and NaN; 65520 to 65536 reach infinity by the carry below.
    return sign | (size > 0x7f800000 ? 0x7e00 | ((size >>> 13) & 0x3ff) : 0x7c00);
  }
  if (size >= 0x38800000) {
    // From 2^-14: rebias the exponent by 15 - 127; a carry out of the mantissa moves the exponent up.
    return sign | ((size - 0x38000000 + 0xfff + ((size >>> 13) & 1)) >>> 13);
  }
  // Subnormals count multiples of 2^-24. Below half of one, ties to 0 included, nothing is left.
  if (size <= 0x33000000) return sign;
  const shift = 126 - (size >>> 23);
  const mantissa = (size & 0x7fffff) | 0x800000;
  const whole = mantissa >>> shift;
  const rest = mantissa & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  return sign | (whole + (rest > half || (rest === half && (whole & 1) === 1) ? 1 : 0));
}

function bf16FromBits(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

let table: Uint32Array | undefined;

// The fp32 bits of every fp16: 256 KiB, built on first use.
function fp16Table(): Uint32Array {
  if (table) return table;
  const built = new Uint32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const sign = (bits & 0x8000) << 16;
    const exponent = (bits >>> 10) & 31;
    const mantissa = bits & 0x3ff;
    if (exponent === 31) {
      built[bits] = sign | 0x7f800000 | (mantissa << 13) | (mantissa ? 0x400000 : 0);
    } else if (exponent > 0) {
      built[bits] = sign | ((exponent + 112) << 23) | (mantissa << 13);
    } else {
      cell[0] = mantissa * 2 ** -24;
      built[bits] = sign | cellBits[0]!;
    }
  }
  table = built;
  return built;
}
