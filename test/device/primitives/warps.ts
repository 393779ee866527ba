// What one warp does: fragments of matrices, their products, conversions of numbers, copies of 16 bytes.

import { bf16FromNumber, fp16FromNumber, numberFromFp16 } from '../../../runtime/half.ts';
import { bytesOf, kernelOf, launch, pointer } from '../../runtime/emulator-kernels.ts';
import { integersFrom, type PrimitiveCase } from './case.ts';

const aligned = `extern __shared__ __align__(1024) u8 shared[];
  const u32 first = shared_address(shared);
  const int lane = threadIdx.x;`;

/** Rows of 8 elements, and which row each lane names. */
const next = integersFrom(7);
const elements = Uint16Array.from({ length: 512 }, () => next(65536));
const rows = Uint32Array.from({ length: 32 }, (_, lane) => (lane * 37 + 11) % 64);
const element = (matrix: number, row: number, column: number): number =>
  elements[rows[8 * matrix + row]! * 8 + column]!;
/** The word of each lane and matrix, by the elements that it holds. */
const fragments = (pair: (matrix: number, g: number, t: number) => readonly [number, number]) =>
  bytesOf(
    Uint32Array.from({ length: 128 }, (_, at) => {
      const [lane, matrix] = [at >> 2, at & 3];
      const [low, high] = pair(matrix, lane >> 2, lane & 3);
      return (low | (high << 16)) >>> 0;
    }),
  );

const loads: PrimitiveCase = {
  name: 'ldmatrix, plain and transposed',
  list: launch(
    kernelOf('load_matrices_of', {
      fields: [
        pointer('data', 'const uint4'),
        pointer('rows', 'const u32'),
        pointer('plain', 'u32'),
        pointer('turned', 'u32'),
      ],
      body: `  ${aligned}
  for (int i = lane; i < 64; i += 32) ((uint4*)shared)[i] = p.data[i];
  __syncthreads();
  u32 fragment[4];
  load_matrices(fragment, first + p.rows[lane] * 16);
  for (int i = 0; i < 4; ++i) p.plain[lane * 4 + i] = fragment[i];
  load_matrices_transposed(fragment, first + p.rows[lane] * 16);
  for (int i = 0; i < 4; ++i) p.turned[lane * 4 + i] = fragment[i];`,
      sharedBytes: 1024,
    }),
  ),
  inputs: { data: bytesOf(elements), rows: bytesOf(rows) },
  outputs: {
    plain: fragments((m, g, t) => [element(m, g, 2 * t), element(m, g, 2 * t + 1)]),
    turned: fragments((m, g, t) => [element(m, 2 * t, g), element(m, 2 * t + 1, g)]),
  },
};

const stored = new Uint16Array(512).fill(0xffff);
for (let matrix = 0; matrix < 4; matrix += 1)
  for (let row = 0; row < 8; row += 1)
    for (let column = 0; column < 8; column += 1) {
      const word = (row * 4 + (column >> 1)) * 4 + matrix;
      stored[rows[8 * matrix + row]! * 8 + column] = elements[2 * word + (column & 1)]!;
    }
const stores: PrimitiveCase = {
  name: 'stmatrix',
  list: launch(
    kernelOf('store_matrices_of', {
      fields: [pointer('data', 'const u32'), pointer('rows', 'const u32'), pointer('out', 'uint4')],
      body: `  ${aligned}
  for (int i = lane; i < 256; i += 32) ((u32*)shared)[i] = 0xffffffffu;
  __syncthreads();
  const u32* words = p.data + lane * 4;
  store_matrices(first + p.rows[lane] * 16, words[0], words[1], words[2], words[3]);
  __syncthreads();
  for (int i = lane; i < 64; i += 32) p.out[i] = shared_load(first + 16 * i);`,
      sharedBytes: 1024,
      primitives: ['shared', 'warpgroup'],
    }),
  ),
  inputs: { data: bytesOf(elements.slice(0, 256)), rows: bytesOf(rows) },
  outputs: { out: bytesOf(stored) },
};

/** Small integers: sums are exact in any order. */
function product(type: 'bf16' | 'fp16'): PrimitiveCase {
  const encode = type === 'bf16' ? bf16FromNumber : fp16FromNumber;
  const matrix = (count: number) => Float32Array.from({ length: count }, () => next(33) - 16);
  const [a, b, c] = [matrix(256), matrix(128), matrix(128)];
  const pair = (low: number, high: number): number => (encode(low) | (encode(high) << 16)) >>> 0;
  const lanes = <T>(one: (g: number, t: number) => T[]): T[] =>
    Array.from({ length: 32 }, (_, lane) => one(lane >> 2, lane & 3)).flat();
  const left = lanes((g, t) =>
    [0, 8].flatMap((k) =>
      [0, 8].map((r) => pair(a[(g + r) * 16 + 2 * t + k]!, a[(g + r) * 16 + 2 * t + k + 1]!)),
    ),
  );
  const right = lanes((g, t) =>
    [0, 8].map((k) => pair(b[(2 * t + k) * 8 + g]!, b[(2 * t + k + 1) * 8 + g]!)),
  );
  const places = lanes((g, t) =>
    [0, 8].flatMap((r) => [0, 1].map((column) => [g + r, 2 * t + column] as const)),
  );
  const sum = (row: number, column: number): number => {
    let all = c[row * 8 + column]!;
    for (let k = 0; k < 16; k += 1) all += a[row * 16 + k]! * b[k * 8 + column]!;
    return all;
  };
  return {
    name: `mma.sync of ${type}`,
    list: launch(
      kernelOf(`multiply_of_${type}`, {
        fields: [
          pointer('a', 'const u32'),
          pointer('b', 'const u32'),
          pointer('c', 'const float'),
          pointer('out', 'float'),
        ],
        body: `  const int lane = threadIdx.x;
  u32 a[4];
  float d[4];
  for (int i = 0; i < 4; ++i) a[i] = p.a[lane * 4 + i], d[i] = p.c[lane * 4 + i];
  multiply_${type}(d, a, p.b[lane * 2], p.b[lane * 2 + 1]);
  for (int i = 0; i < 4; ++i) p.out[lane * 4 + i] = d[i];`,
      }),
    ),
    inputs: {
      a: bytesOf(Uint32Array.from(left)),
      b: bytesOf(Uint32Array.from(right)),
      c: bytesOf(Float32Array.from(places, ([row, column]) => c[row * 8 + column]!)),
    },
    outputs: { out: bytesOf(Float32Array.from(places, ([row, column]) => sum(row, column))) },
  };
}

/** Every fp16 as a float, and floats of every size as bf16 and fp16: ties, subnormals, infinities, NaN. */
const floats = Uint32Array.from({ length: 65536 }, (_, i) => {
  const edges = [0x0000, 0x8000, 0x7fff, 0x8001, 0x1000, 0x0fff, 0x1001, 0x3000];
  return ((i << 16) | edges[(i >> 3) % 8]!) >>> 0;
});
const values = new Float32Array(floats.buffer);
const half = (encode: (x: number) => number): Uint8Array =>
  bytesOf(Uint32Array.from(values, (x) => (Number.isNaN(x) ? 0x7fff : encode(x))));
const numbers: PrimitiveCase = {
  name: 'conversions',
  list: launch(
    kernelOf('convert', {
      fields: [
        pointer('floats', 'const float'),
        pointer('bf16', 'u32'),
        pointer('fp16', 'u32'),
        pointer('back', 'float'),
        pointer('larger', 'float'),
      ],
      body: `  const int at = blockIdx.x * 256 + threadIdx.x;
  const float x = p.floats[at];
  // Both halves are the same.
  const u32 b = pack_bf16(x, x), h = pack_fp16(x, x);
  p.bf16[at] = b >> 16 == (b & 0xffff) ? b >> 16 : 0xdead;
  p.fp16[at] = h >> 16 == (h & 0xffff) ? h >> 16 : 0xdead;
  const float back = float_of_fp16((u16)at);
  p.back[at] = back == back ? back : __int_as_float(0x7fc00000);  // the bits of a NaN are free
  const float larger = max_or_nan(at & 1 ? 2.f : x, at & 1 ? x : 2.f);
  p.larger[at] = larger == larger ? larger : __int_as_float(0x7fc00000);`,
      threads: 256,
    }),
    {},
    [256, 1, 1],
  ),
  inputs: { floats: bytesOf(floats) },
  outputs: {
    bf16: half(bf16FromNumber),
    fp16: half(fp16FromNumber),
    back: bytesOf(
      Float32Array.from({ length: 65536 }, (_, bits) => {
        const value = numberFromFp16(bits);
        return Number.isNaN(value) ? Number.NaN : value;
      }),
    ),
    larger: bytesOf(values.map((x) => (Number.isNaN(x) ? Number.NaN : Math.max(x, 2)))),
  },
};

/** Pairs of fp16, of every exponent and sign: finite, -0 left out, and some that are not for what looks for these. */
const finite = Uint16Array.from({ length: 512 }, () => {
  const bits = next(65536);
  return (bits & 0x7c00) === 0x7c00 || bits === 0x8000 ? bits & 0x3ff : bits;
});
const bounds = Uint16Array.from(finite, (bits) => (next(3) === 0 ? bits : finite[next(512)]!));
const wholes = Uint16Array.from({ length: 512 }, () => fp16FromNumber(next(500)));
const any = Uint16Array.from(finite, (bits) => (next(8) === 0 ? 0x7c00 | bits : bits));
const numberOf = (bits: number): number => numberFromFp16(bits);
const halves = (of: (x: number, y: number) => number): Uint8Array =>
  bytesOf(finite.map((bits, i) => of(numberOf(bits), numberOf(bounds[i]!))));
const pairs: PrimitiveCase = {
  name: 'pairs of fp16',
  list: launch(
    kernelOf('pairs_of', {
      fields: [
        ...['pairs', 'bounds', 'wholes', 'any'].map((name) => pointer(name, 'const u32')),
        ...['ones', 'masks', 'sums', 'larger', 'both', 'zeros'].map((name) => pointer(name, 'u32')),
      ],
      body: `  const int at = threadIdx.x;
  const u32 pair = p.pairs[at], bound = p.bounds[at];
  p.ones[at] = ones_where_at_least(pair, bound);
  p.masks[at] = mask_where_at_least(pair, bound);
  p.sums[at] = add_pairs(pair, bound);
  p.larger[at] = larger_of_pairs(pair, bound);
  p.both[at] = sum_of_halves(p.wholes[at]);
  const u32 zeros = zeros_while_finite(0u, p.any[at]);
  p.zeros[at] = zeros_while_finite(zeros, pair) & 0x7e007e00u;  // other bits of a NaN are free`,
      threads: 256,
      primitives: ['half-pairs'],
    }),
  ),
  inputs: {
    pairs: bytesOf(finite),
    bounds: bytesOf(bounds),
    wholes: bytesOf(wholes),
    any: bytesOf(any),
  },
  outputs: {
    ones: halves((x, y) => fp16FromNumber(x >= y ? 1 : 0)),
    masks: halves((x, y) => (x >= y ? 0xffff : 0)),
    sums: halves((x, y) => fp16FromNumber(x + y)),
    larger: halves((x, y) => fp16FromNumber(Math.max(x, y))),
    both: bytesOf(
      Uint32Array.from(
        { length: 256 },
        (_, i) => numberOf(wholes[2 * i]!) + numberOf(wholes[2 * i + 1]!),
      ),
    ),
    zeros: bytesOf(any.map((bits) => (Number.isFinite(numberOf(bits)) ? 0 : 0x7e00))),
  },
};

/** Copies of 16 bytes, every third of nothing. */
const copied = Uint32Array.from({ length: 256 }, () => next(2 ** 31));
const copies: PrimitiveCase = {
  name: 'cp.async, with zeros where nothing is copied',
  list: launch(
    kernelOf('copy_async_of', {
      fields: [pointer('data', 'const uint4'), pointer('out', 'uint4')],
      body: `  ${aligned}
  copy_async_16(first + 16 * lane, p.data + lane, lane % 3 != 0);
  copy_commit();
  copy_async_16(first + 16 * (lane + 32), p.data + lane + 32);
  copy_commit();
  copy_wait<0>();
  __syncthreads();
  for (int i = lane; i < 64; i += 32) p.out[i] = ((uint4*)shared)[i];`,
      sharedBytes: 1024,
    }),
  ),
  inputs: { data: bytesOf(copied) },
  outputs: { out: bytesOf(copied.map((x, i) => (i < 128 && (i >> 2) % 3 === 0 ? 0 : x))) },
};

export const warpCases: readonly PrimitiveCase[] = [
  loads,
  stores,
  product('bf16'),
  product('fp16'),
  numbers,
  pairs,
  copies,
];
