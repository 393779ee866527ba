// Conversions against a slow reference in exact rational arithmetic, and every bit pattern of 16 bits.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  bf16FromFp32,
  bf16FromNumber,
  encode,
  fp16FromFp32,
  fp16FromNumber,
  fp32FromBf16,
  fp32FromFp16,
  numberFromBf16,
  numberFromFp16,
  roundTo,
} from '../../runtime/half.ts';

const formats = {
  fp16: { mantissa: 10, bias: 15, from: fp16FromNumber, to: numberFromFp16, bulk: fp16FromFp32 },
  bf16: { mantissa: 7, bias: 127, from: bf16FromNumber, to: numberFromBf16, bulk: bf16FromFp32 },
} as const;
type Format = (typeof formats)['fp16'] | (typeof formats)['bf16'];

// |x| as a whole number of units of 2^-1100: exact for every float64.
function units(x: number): bigint {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, Math.abs(x));
  const bits = view.getBigUint64(0);
  const exponent = bits >> 52n;
  const mantissa = bits & ((1n << 52n) - 1n);
  return exponent === 0n ? mantissa << 26n : (mantissa | (1n << 52n)) << (exponent - 1n + 26n);
}

// The value that finite bits mean, in the same units, by the definition of the format. The bits of infinity
// count as the next power of two, where rounding to nearest overflows.
function unitsOfBits(bits: number, { mantissa, bias }: Format): bigint {
  const exponent = bits >> mantissa;
  const fraction = BigInt(bits & ((1 << mantissa) - 1));
  const unit = 1100 + 1 - bias - mantissa;
  if (exponent === 0) return fraction << BigInt(unit);
  return (fraction + (1n << BigInt(mantissa))) << BigInt(unit + exponent - 1);
}

// Nearest bits by bisection over all of them, ties to the even one.
function slow(x: number, format: Format): number {
  const infinity = 0x7fff & ~((1 << format.mantissa) - 1);
  const sign = Object.is(Math.sign(x), -0) || x < 0 ? 0x8000 : 0;
  if (!Number.isFinite(x)) return sign | infinity;
  const wanted = units(x);
  let lo = 0;
  let hi = infinity;
  if (wanted >= unitsOfBits(hi, format)) return sign | hi;
  while (hi - lo > 1) {
    const middle = (lo + hi) >> 1;
    if (unitsOfBits(middle, format) <= wanted) lo = middle;
    else hi = middle;
  }
  const below = wanted - unitsOfBits(lo, format);
  const above = unitsOfBits(hi, format) - wanted;
  if (below === above) return sign | (lo % 2 === 0 ? lo : hi);
  return sign | (below < above ? lo : hi);
}

function isNaNBits(bits: number, { mantissa }: Format): boolean {
  return (bits & 0x7fff) > (0x7fff & ~((1 << mantissa) - 1));
}

const f32 = new Float32Array(1);
const u32 = new Uint32Array(f32.buffer);
const f64 = new Float64Array(1);
const u64 = new BigUint64Array(f64.buffer);

function nextFloat64(x: number, by: bigint): number {
  f64[0] = x;
  u64[0] = u64[0]! + by;
  return f64[0];
}

describe.each(['fp16', 'bf16'] as const)('%s', (name) => {
  const format = formats[name];

  it('keeps every bit pattern through numbers and through arrays', () => {
    const all = Uint16Array.from({ length: 65536 }, (_, bits) => bits);
    const values = name === 'fp16' ? fp32FromFp16(all) : fp32FromBf16(all);
    const back = format.bulk(values);
    const quiet = 1 << (format.mantissa - 1);
    for (let bits = 0; bits < 65536; bits++) {
      if (isNaNBits(bits, format)) {
        expect(format.to(bits)).toBeNaN();
        if (back[bits] !== (bits | quiet)) expect(back[bits]).toBe(bits | quiet);
        continue;
      }
      const value = format.to(bits);
      if (!Object.is(value, values[bits])) expect(values[bits]).toBe(value);
      if (back[bits] !== bits) expect(back[bits]).toBe(bits);
      if (format.from(value) !== bits) expect(format.from(value)).toBe(bits);
      const exact = (bits & 0x7fff) >> format.mantissa !== 0x7fff >> format.mantissa;
      if (exact && units(value) !== unitsOfBits(bits & 0x7fff, format)) expect(value).toBe(bits);
    }
  });

  it('rounds a float64 once, to nearest even', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true }), (x) => {
        expect(format.from(x)).toBe(slow(x, format));
      }),
      { numRuns: 3000 },
    );
  });

  it('rounds right at, just below and just above every middle between neighbours', () => {
    const infinity = 0x7fff & ~((1 << format.mantissa) - 1);
    const step = name === 'fp16' ? 7 : 5;
    for (let bits = 0; bits < infinity; bits += step) {
      const upper = bits + 1 === infinity ? 2 ** (name === 'fp16' ? 16 : 128) : format.to(bits + 1);
      const middle = format.to(bits) / 2 + upper / 2;
      for (const x of [middle, nextFloat64(middle, -1n), nextFloat64(middle, 1n), -middle]) {
        const got = format.from(x);
        if (got !== slow(x, format)) expect([x, got]).toEqual([x, slow(x, format)]);
      }
    }
  });

  it('rounds fp32 arrays as numbers', () => {
    const words = fc.array(fc.integer({ min: 0, max: 0xffffffff }), {
      minLength: 1,
      maxLength: 64,
    });
    fc.assert(
      fc.property(words, (list) => {
        const source = new Float32Array(Uint32Array.from(list).buffer);
        const bits = format.bulk(source);
        source.forEach((x, i) => {
          if (Number.isNaN(x)) expect(isNaNBits(bits[i]!, format)).toBe(true);
          else expect(bits[i]).toBe(slow(x, format));
        });
      }),
      { numRuns: 500 },
    );
  });

  it('keeps NaN, its sign and quietness', () => {
    expect(isNaNBits(format.from(Number.NaN), format)).toBe(true);
    u32[0] = 0xff800001;
    const [bits] = format.bulk(f32);
    expect(isNaNBits(bits!, format)).toBe(true);
    expect(bits! >> 15).toBe(1);
  });
});

describe('known values', () => {
  it('fp16', () => {
    expect(fp16FromNumber(1)).toBe(0x3c00);
    expect(fp16FromNumber(-0)).toBe(0x8000);
    expect(fp16FromNumber(65504)).toBe(0x7bff);
    expect(fp16FromNumber(65519.999)).toBe(0x7bff);
    expect(fp16FromNumber(65520)).toBe(0x7c00);
    expect(fp16FromNumber(2 ** -25)).toBe(0);
    expect(fp16FromNumber(2 ** -25 * (1 + 2 ** -50))).toBe(1);
    expect(fp16FromNumber(Number.MAX_VALUE)).toBe(0x7c00);
    expect(fp16FromNumber(Number.MIN_VALUE)).toBe(0);
  });

  it('one rounding, where two would differ', () => {
    const x = 1 + 2 ** -11 + 2 ** -40;
    expect(fp16FromNumber(x)).toBe(0x3c01);
    expect(fp16FromNumber(Math.fround(x))).toBe(0x3c00);
    const y = 1 + 2 ** -8 + 2 ** -40;
    expect(bf16FromNumber(y)).toBe(0x3f81);
    expect(bf16FromNumber(Math.fround(y))).toBe(0x3f80);
    expect(roundTo('fp16', x)).toBe(1 + 2 ** -10);
    expect(roundTo('bf16', y)).toBe(1 + 2 ** -7);
    expect(roundTo('fp32', x)).toBe(1 + 2 ** -11);
  });

  it('arrays that begin inside their buffer', () => {
    const source = new Float32Array([9, 1, -2, 9]).subarray(1, 3);
    expect([...fp16FromFp32(source)]).toEqual([0x3c00, 0xc000]);
    const target = new Uint16Array(4);
    encode(source, 'bf16', target, 1);
    expect([...target]).toEqual([0, 0x3f80, 0xc000, 0]);
    expect([...fp32FromBf16(target.subarray(1, 3))]).toEqual([1, -2]);
  });
});
