// The emulator's primitives and intrinsics against models of one line each, on random data.

import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runEmulated } from '../../runtime/emulator/run.ts';
import {
  bf16FromNumber,
  fp16FromNumber,
  numberFromBf16,
  numberFromFp16,
} from '../../runtime/half.ts';
import { bytesOf, floats, int, kernelOf, launch, pointer, words } from './emulator-kernels.ts';

const word = fc.integer({ min: 0, max: 0xffffffff });
const lanes = <T>(of: fc.Arbitrary<T>) => fc.array(of, { minLength: 32, maxLength: 32 });
const u32 = (values: readonly number[]) => bytesOf(Uint32Array.from(values));
const f32 = (values: readonly number[]) => bytesOf(Float32Array.from(values));

describe('matrix fragments', () => {
  // Each lane brings its registers and takes its sums away; one block per case.
  const product = (type: 'bf16' | 'fp16') =>
    kernelOf(`product_${type}`, {
      fields: [pointer('a', 'const u32'), pointer('b', 'const u32'), pointer('d', 'float')],
      body: `
  const int at = blockIdx.x * 32 + threadIdx.x;
  u32 a[4];
  float d[4];
  for (int i = 0; i < 4; ++i) a[i] = p.a[at * 4 + i], d[i] = p.d[at * 4 + i];
  multiply_${type}(d, a, p.b[at * 2], p.b[at * 2 + 1]);
  for (int i = 0; i < 4; ++i) p.d[at * 4 + i] = d[i];`,
    });

  it.each(['bf16', 'fp16'] as const)('multiply %s as float64 does', async (type) => {
    const [encode, decode] =
      type === 'bf16' ? [bf16FromNumber, numberFromBf16] : [fp16FromNumber, numberFromFp16];
    const kernel = product(type);
    const matrix = (rows: number, columns: number) => {
      const value = fc.double({ min: -4, max: 4, noNaN: true }).map((x) => decode(encode(x)));
      return fc.array(value, { minLength: rows * columns, maxLength: rows * columns });
    };
    const example = fc.record({ a: matrix(16, 16), b: matrix(16, 8), c: matrix(16, 8) });
    await fc.assert(
      fc.asyncProperty(fc.array(example, { minLength: 1, maxLength: 8 }), async (examples) => {
        const pair = (low: number, high: number) => (encode(high) << 16) | encode(low);
        const [a, b, d]: [number[], number[], number[]] = [[], [], []];
        const each = (use: (one: (typeof examples)[0], g: number, t: number) => void) => {
          for (const one of examples)
            for (let lane = 0; lane < 32; lane++) use(one, lane >> 2, lane & 3);
        };
        each((one, g, t) => {
          for (const [row, column] of [
            [g, 2 * t],
            [g + 8, 2 * t],
            [g, 2 * t + 8],
            [g + 8, 2 * t + 8],
          ] as const)
            a.push(pair(one.a[row * 16 + column]!, one.a[row * 16 + column + 1]!));
          for (const row of [2 * t, 2 * t + 8])
            b.push(pair(one.b[row * 8 + g]!, one.b[row * 8 + 8 + g]!));
          for (const row of [g, g + 8])
            d.push(one.c[row * 8 + 2 * t]!, one.c[row * 8 + 2 * t + 1]!);
        });
        const buffers = { a: u32(a), b: u32(b), d: f32(d) };
        const result = await runEmulated(launch(kernel, {}, [examples.length, 1, 1]), buffers);
        const got = floats(result.d);
        let at = 0;
        each((one, g, t) => {
          for (const row of [g, g + 8])
            for (const column of [2 * t, 2 * t + 1]) {
              let sum = one.c[row * 8 + column]!;
              let size = Math.abs(sum);
              for (let k = 0; k < 16; k++) {
                const term = one.a[row * 16 + k]! * one.b[k * 8 + column]!;
                sum += term;
                size += Math.abs(term);
              }
              // One rounding to float32, and float64 sums in two orders.
              const bound = 2 ** -24 * Math.abs(sum) + 2 ** -48 * size + 2 ** -149;
              expect(Math.abs(got[at]! - sum)).toBeLessThanOrEqual(bound);
              at += 1;
            }
        });
      }),
      { numRuns: 15 },
    );
  });

  const loads = kernelOf('loads', {
    fields: [
      pointer('data', 'const uint4'),
      pointer('rows', 'const u32'),
      pointer('plain', 'u32'),
      pointer('turned', 'u32'),
    ],
    body: `
  extern __shared__ __align__(128) u8 shared[];
  const int lane = threadIdx.x;
  for (int i = lane; i < 64; i += 32) ((uint4*)shared)[i] = p.data[i];
  __syncthreads();
  u32 fragment[4];
  load_matrices(fragment, shared_address(shared) + p.rows[lane] * 16);
  for (int i = 0; i < 4; ++i) p.plain[lane * 4 + i] = fragment[i];
  load_matrices_transposed(fragment, shared_address(shared) + p.rows[lane] * 16);
  for (int i = 0; i < 4; ++i) p.turned[lane * 4 + i] = fragment[i];`,
    sharedBytes: 1024,
  });

  it('are loaded from any rows, plain and transposed', async () => {
    const data = Uint16Array.from({ length: 512 }, (_, i) => i * 7 + 3);
    await fc.assert(
      fc.asyncProperty(lanes(fc.nat(63)), async (rows) => {
        const result = await runEmulated(launch(loads), {
          data: bytesOf(data),
          rows: u32(rows),
          plain: { bytes: 512 },
          turned: { bytes: 512 },
        });
        const element = (matrix: number, row: number, column: number) =>
          data[rows[8 * matrix + row]! * 8 + column]!;
        for (let at = 0; at < 128; at++) {
          const [lane, matrix] = [at >> 2, at & 3];
          const [g, t] = [lane >> 2, lane & 3];
          const [one, two] = [element(matrix, g, 2 * t), element(matrix, g, 2 * t + 1)];
          expect(words(result.plain)[at]).toBe(one + two * 65536);
          const [above, below] = [element(matrix, 2 * t, g), element(matrix, 2 * t + 1, g)];
          expect(words(result.turned)[at]).toBe(above + below * 65536);
        }
      }),
      { numRuns: 30 },
    );
  });
});

describe('lanes', () => {
  const warp = kernelOf('warp', {
    fields: [
      pointer('values', 'const u32'),
      pointer('lanes', 'const int'),
      pointer('out', 'u32'),
      int('mask'),
      int('width'),
      int('by'),
    ],
    body: `
  const int lane = threadIdx.x;
  const u32 mask = (u32)p.mask, value = p.values[lane];
  if (!(mask >> lane & 1)) return;
  u32* out = p.out + lane * 12;
  out[0] = __shfl_sync(mask, value, p.lanes[lane], 32);
  out[1] = __ballot_sync(mask, value & 1);
  out[2] = __any_sync(mask, value & 1);
  out[3] = __all_sync(mask, value & 1);
  out[4] = __reduce_add_sync(mask, value);
  out[5] = __reduce_max_sync(mask, value);
  out[6] = (u32)__reduce_min_sync(mask, (int)value);
  out[7] = __match_any_sync(mask, value % 3);
  if (mask != FULL_WARP) return;
  out[8] = __shfl_sync(mask, value, p.lanes[lane], p.width);
  out[9] = __shfl_up_sync(mask, value, p.by, p.width);
  out[10] = __shfl_down_sync(mask, value, p.by, p.width);
  out[11] = (u32)__shfl_xor_sync(mask, (u64)value << 20, p.by, p.width);`,
  });

  it('shuffle, vote, reduce and match, all of them or some', async () => {
    const mask = fc.oneof(
      fc.constant(0xffffffff),
      word.filter((x) => x !== 0),
    );
    const width = fc.constantFrom(1, 2, 4, 8, 16, 32);
    await fc.assert(
      fc.asyncProperty(
        fc.record({ values: lanes(word), to: lanes(fc.nat(1000)), mask, width, by: fc.nat(31) }),
        async ({ values, to, mask, width, by }) => {
          const inside = [...values.keys()].filter((lane) => (mask >>> lane) & 1);
          const from = to.map((pick) => inside[pick % inside.length]!);
          const buffers = { values: u32(values), lanes: u32(from), out: { bytes: 32 * 12 * 4 } };
          const args = { mask: mask | 0, width, by };
          const out = words((await runEmulated(launch(warp, args), buffers)).out);
          const some = inside.map((lane) => values[lane]!);
          const bits = (test: (lane: number) => boolean) =>
            inside.filter(test).reduce((sum, lane) => sum + 2 ** lane, 0);
          for (const lane of inside) {
            const first = lane - (lane % width);
            const [up, down, across] = [lane - by, lane + by, lane ^ by];
            const want = [
              values[from[lane]!]!,
              bits((one) => (values[one]! & 1) === 1),
              some.some((x) => x & 1) ? 1 : 0,
              some.every((x) => x & 1) ? 1 : 0,
              some.reduce((x, y) => (x + y) >>> 0, 0),
              Math.max(...some),
              Math.min(...some.map((x) => x | 0)) >>> 0,
              bits((one) => values[one]! % 3 === values[lane]! % 3),
              values[first + (from[lane]! % width)]!,
              values[up < first ? lane : up]!,
              values[down >= first + width ? lane : down]!,
              (values[across >= first + width ? lane : across]! << 20) >>> 0,
            ];
            const count = mask === 0xffffffff ? 12 : 8;
            expect([...out.slice(lane * 12, lane * 12 + count)]).toEqual(want.slice(0, count));
          }
        },
      ),
      { numRuns: 40 },
    );
  });
});

describe('numbers', () => {
  const numbers = kernelOf('numbers', {
    fields: [pointer('x', 'const float'), pointer('out', 'u32'), int('count')],
    body: `
  for (int i = threadIdx.x; i < p.count; i += 32) {
    const float x = p.x[i];
    const u32 bits = __float_as_uint(x);
    u32* out = p.out + i * 16;
    out[0] = pack_bf16(x, 1.f);
    out[1] = pack_fp16(-2.f, x);
    out[2] = __float_as_uint(float_of_bf16((u16)bits));
    out[3] = __float_as_uint(float_of_fp16((u16)bits));
    out[4] = __float_as_uint(exp2_fast(x));
    out[5] = __popc(bits);
    out[6] = __ffs((int)bits);
    out[7] = __clz((int)bits);
    out[8] = __brev(bits);
    out[9] = __umulhi(bits, 0x9e3779b9u);
    out[10] = (u32)__float2int_rn(x);
    out[11] = __byte_perm(bits, ~bits, 0x5140);
    out[12] = largest_bits(0x40000000u, x, 1.f);
    out[13] = largest_bits(0x3f800001u, -1.f, x);
    out[14] = __float_as_uint(max_or_nan(x, 2.f));
    const float none[] = {max_or_nan(__int_as_float(0x7fc00000), x), max_or_nan(x, __int_as_float(0x7fc00000))};
    out[15] = none[0] != none[0] && none[1] != none[1];
  }`,
  });

  it('are rounded, widened and counted as the instructions do', async () => {
    const cell = new DataView(new ArrayBuffer(4));
    const bitsOf = (x: number) => {
      cell.setFloat32(0, x);
      return cell.getUint32(0);
    };
    const x = fc.oneof(
      word.map((bits) => {
        cell.setUint32(0, bits);
        return cell.getFloat32(0);
      }),
      fc.float({ min: -140, max: 140, noNaN: true }),
      fc.constantFrom(0, -0, 65504, 65519.996, 65520, 2 ** -24, 2 ** -25, 1.5 * 2 ** -25, 2 ** -14),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(x, { minLength: 100, maxLength: 300 }), async (values) => {
        const list = values.filter((value) => !Number.isNaN(value));
        const buffers = { x: f32(list), out: { bytes: list.length * 64 } };
        const out = words(
          (await runEmulated(launch(numbers, { count: list.length }), buffers)).out,
        );
        for (const [i, value] of list.entries()) {
          const single = Math.fround(value);
          const bits = bitsOf(single);
          const got = [...out.slice(i * 16, i * 16 + 16)];
          const byte = (word: number, at: number) => (word >>> (8 * at)) & 255;
          expect(got[0]).toBe((0x3f80 << 16) + bf16FromNumber(single));
          expect(got[1]).toBe(fp16FromNumber(single) * 65536 + 0xc000);
          expect(got[2]).toBe((bits << 16) >>> 0);
          const half = numberFromFp16(bits & 0xffff);
          if (!Number.isNaN(half)) expect(got[3]).toBe(bitsOf(half));
          const power = Math.fround(2 ** single);
          const exact = power < 2 ** -126 ? 0 : bitsOf(power);
          expect(Math.abs(got[4]! - exact)).toBeLessThanOrEqual(2);
          expect(got.slice(5)).toEqual([
            bits.toString(2).replaceAll('0', '').length,
            bits === 0 ? 0 : 32 - Math.clz32(bits & -bits),
            Math.clz32(bits),
            Number.parseInt([...bits.toString(2).padStart(32, '0')].reverse().join(''), 2),
            Number((BigInt(bits) * 0x9e3779b9n) >> 32n),
            rounded(single) >>> 0,
            (byte(~bits, 1) * 2 ** 24 +
              byte(bits, 1) * 2 ** 16 +
              byte(~bits, 0) * 2 ** 8 +
              byte(bits, 0)) >>>
              0,
            Math.max(0x40000000, bits),
            Math.max(0xbf800000, bits),
            bitsOf(Math.max(single, 2)),
            1,
          ]);
        }
      }),
      { numRuns: 20 },
    );
  });

  /** To nearest, ties to even, and no further than int32 goes. */
  function rounded(x: number): number {
    const below = Math.floor(x);
    const rest = x - below;
    const up = rest > 0.5 || (rest === 0.5 && below % 2 !== 0);
    return Math.max(-(2 ** 31), Math.min(2 ** 31 - 1, below + (up ? 1 : 0)));
  }
});

describe('atomics', () => {
  const atomics = kernelOf('atomics', {
    fields: [pointer('values', 'const int'), pointer('sums', 'int'), pointer('total', 'u64')],
    body: `
  __shared__ int counts[4];
  if (threadIdx.x < 4) counts[threadIdx.x] = 0;
  __syncthreads();
  const int value = p.values[blockIdx.x * 64 + threadIdx.x];
  atomicAdd(&counts[value & 3], 1);
  atomicAdd(p.total, (u64)(u32)value);
  atomicMin(p.sums, value);
  atomicMax(p.sums + 1, value);
  atomicOr((u32*)p.sums + 2, (u32)value);
  atomicAdd((float*)p.sums + 3, 1.f);
  int old = p.sums[4 + blockIdx.x], seen;
  __syncthreads();
  do { seen = old; old = atomicCAS(p.sums + 4 + blockIdx.x, seen, seen ^ value); } while (old != seen);
  __syncthreads();
  if (threadIdx.x < 4) atomicAdd(p.sums + 8 + threadIdx.x, counts[threadIdx.x]);`,
    threads: 64,
  });

  it('add up over all threads of all blocks', async () => {
    const value = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(value, { minLength: 256, maxLength: 256 }),
        fc.nat(1000),
        async (values, seed) => {
          const sums = new Int32Array(12);
          [sums[0], sums[1]] = [2 ** 31 - 1, -(2 ** 31)];
          const result = await runEmulated(
            launch(atomics, {}, [4, 1, 1]),
            {
              values: bytesOf(Int32Array.from(values)),
              sums: bytesOf(sums),
              total: new Uint8Array(8),
            },
            { seed },
          );
          const count = (of: (x: number) => boolean) => values.filter(of).length;
          const mixed = [0, 1, 2, 3].map((at) =>
            values.slice(64 * at, 64 * at + 64).reduce((x, y) => x ^ y, 0),
          );
          const got = new Int32Array(result.sums.buffer);
          expect(floats(result.sums)[3]).toBe(256);
          got[3] = 0;
          expect([...got]).toEqual([
            Math.min(...values),
            Math.max(...values),
            values.reduce((x, y) => x | y, 0),
            0,
            ...mixed,
            ...[0, 1, 2, 3].map((low) => count((x) => (x & 3) === low)),
          ]);
          const total = values.reduce((sum, x) => sum + BigInt(x >>> 0), 0n);
          expect(new BigUint64Array(result.total.buffer)[0]).toBe(total);
        },
      ),
      { numRuns: 20 },
    );
  });
});

describe('the host twins', () => {
  const device = new URL('../../codegen/device/', import.meta.url);
  const twins = new URL('../../runtime/emulator/device/', import.meta.url);
  const read = (folder: URL, file: string) => readFileSync(new URL(file, folder), 'utf8');
  /** `template <..> type name(arguments)` of every primitive, without spaces and the line argument. */
  const declared = (text: string): string[] =>
    [...text.matchAll(/(template <[^>]*>\s*)?WARPLOOM_DEVICE [^{;]*?\)(?=\s*\{)/g)].map(([found]) =>
      found.replace(/,?\s*WARPLOOM_LINE/, '').replace(/\s+/g, ''),
    );

  it('declare what the primitives with PTX declare, no more and no less', () => {
    const files = readdirSync(device).filter((file) => /\basm\b/.test(read(device, file)));
    expect(files.length).toBeGreaterThan(5);
    for (const file of files) {
      const twin = file.replace(/cuh$/, 'h');
      expect(declared(read(twins, twin)), twin).toEqual(declared(read(device, file)));
    }
  });
});
