// Products of a warpgroup: descriptors, layouts of what lies in shared memory, and of what lies in registers.
// Elements are small integers, so that sums are exact in any order.

import { productText } from '../../../codegen/wgmma.ts';
import { bf16FromNumber, fp16FromNumber } from '../../../runtime/half.ts';
import { bytesOf, int, kernelOf, launch, pointer } from '../../runtime/emulator-kernels.ts';
import { integersFrom, type PrimitiveCase } from './case.ts';

type Type = 'bf16' | 'fp16';

/** A matrix in shared memory: the byte of each element, and what its descriptor says. */
interface Placed {
  readonly at: (index: number, k: number) => number;
  readonly leading: number;
  readonly stride: number;
  /** Bytes between one step along the sum and the next. */
  readonly step: number;
  /** 0 for none, else bytes of swizzled rows. */
  readonly swizzle: 0 | 32 | 64 | 128;
}

const layouts = { 0: 0, 128: 1, 64: 2, 32: 3 } as const;
const swizzled = (byte: number, width: number): number =>
  width === 0 ? byte : byte ^ (((byte >> 7) & (width / 16 - 1)) << 4);

/** Rows along the sum, `width` bytes each, groups of eight of them `stride` apart. */
const along = (swizzle: 32 | 64 | 128, stride = 8 * swizzle, leading = 16): Placed => ({
  at: (index, k) => swizzled((index >> 3) * stride + (index & 7) * swizzle + 2 * k, swizzle),
  leading,
  stride,
  step: 32,
  swizzle,
});

/** Nothing swizzled: blocks of eight rows and eight elements, 128 bytes each. */
const blocks = (leading: number, stride: number): Placed => ({
  at: (index, k) => (index >> 3) * stride + (k >> 3) * leading + (index & 7) * 16 + (k & 7) * 2,
  leading,
  stride,
  step: 2 * leading,
  swizzle: 0,
});

/** Rows across the sum: row k holds neighbours, `leading` bytes between one stretch of them and the next. */
const across = (swizzle: 32 | 64 | 128, leading: number, stride = 8 * swizzle): Placed => ({
  at: (index, k) =>
    swizzled(
      Math.floor(index / (swizzle / 2)) * leading +
        (k >> 3) * stride +
        (k & 7) * swizzle +
        (index % (swizzle / 2)) * 2,
      swizzle,
    ),
  leading,
  stride,
  step: 2 * stride,
  swizzle,
});

/** Nothing swizzled: blocks of eight rows of eight neighbours; the strides have each other's part. */
const blocksAcross = (leading: number, stride: number): Placed => ({
  at: (index, k) => (index >> 3) * stride + (k >> 3) * leading + (k & 7) * 16 + (index & 7) * 2,
  leading,
  stride,
  step: 2 * leading,
  swizzle: 0,
});

const aligned = `extern __shared__ __align__(1024) u8 shared[];
  const u32 first = shared_address(shared) + 1023u & ~1023u;
  u8* const to = shared + (first - shared_address(shared));
  auto matrix_of = [&](int at, int leading, int stride, int layout) -> u64 {
    return (matrix_descriptor(first + at, leading, stride) & ~(3ull << 62)) | (u64)layout << 62;
  };`;
const put = (which: string): string =>
  `for (int i = threadIdx.x; i < p.${which}_count; i += 128) *(u16*)(to + p.${which}_at[i]) = p.${which}[i];`;
const finish = `products_commit();
  products_wait<0>();
  pin(s);
  for (int j = 0; j < COLUMNS / 8; ++j)
    for (int e = 0; e < 4; ++e) p.out[threadIdx.x * (COLUMNS / 2) + 4 * j + e] = s[0][j][e];`;
const numbersOf = (which: string) =>
  ['count', 'leading', 'stride', 'layout', 'step'].map((name) => int(`${which}_${name}`));

/** How the first step is told from those that add: by another instruction, or by what it is given. */
type First = 'begins' | 'is told';
const firstText = {
  begins: (factors: string) =>
    `if (step == 0) begin_product(s, ${factors}); else add_product(s, ${factors})`,
  'is told': (factors: string) => `multiply_product(s, ${factors}, step != 0)`,
};

const kernelFor = (type: Type, columns: number, fromRegisters: boolean, first: First) => {
  const product = { dtype: type, columns } as const;
  const text = [
    productText({ ...product, name: 'begin_product', from: 'shared', result: 'overwritten' }),
    productText({ ...product, name: 'add_product', from: 'shared', result: 'added' }),
    productText({ ...product, name: 'multiply_product', from: 'shared', result: 'either' }),
    productText({ ...product, name: 'add_registers', from: 'registers', result: 'added' }),
  ].join('\n');
  return kernelOf(`product_${type}_${columns}`, {
    fields: [
      ...(fromRegisters
        ? [pointer('a', 'const u32')]
        : [pointer('a', 'const u16'), pointer('a_at', 'const int'), ...numbersOf('a')]),
      pointer('b', 'const u16'),
      pointer('b_at', 'const int'),
      ...numbersOf('b'),
      int('steps'),
      pointer('out', 'float'),
    ],
    body: `  ${aligned}
  ${fromRegisters ? '' : put('a')}
  ${put('b')}
  shared_written();
  __syncthreads();
  float s[1][${columns / 8}][4];
  for (int j = 0; j < ${columns / 8}; ++j)
    for (int e = 0; e < 4; ++e) s[0][j][e] = ${fromRegisters ? '0.f' : '7.f'};
  const u64 b = matrix_of(0, p.b_leading, p.b_stride, p.b_layout);
  ${
    fromRegisters
      ? `for (int step = 0; step < p.steps; ++step) {
    u32 a[1][1][4];
    for (int i = 0; i < 4; ++i) a[0][0][i] = p.a[(step * 128 + threadIdx.x) * 4 + i];
    pin(a);
    pin(s);
    products_begin();
    add_registers(s, a[0][0], b + (step * p.b_step >> 4));
    products_commit();
    products_wait<0>();
    pin(s);
    pin(a);
  }
  products_begin();`
      : `const u64 a = matrix_of(98304, p.a_leading, p.a_stride, p.a_layout);
  pin(s);
  products_begin();
  for (int step = 0; step < p.steps; ++step)
    ${firstText[first]('a + (step * p.a_step >> 4), b + (step * p.b_step >> 4)')};`
  }
  ${finish.replaceAll('COLUMNS', String(columns))}`,
    threads: 128,
    sharedBytes: 196608 + 1024,
    primitives: ['shared', 'barrier', 'tensor-copy', 'warpgroup'],
    before: text,
  });
};

/** Where the second matrix lies. */
const secondPlace = 98304;

interface ProductCase {
  readonly name: string;
  readonly type: Type;
  readonly columns: number;
  readonly steps: number;
  /** Undefined: in registers. */
  readonly a?: Placed;
  readonly b: Placed;
  readonly first?: First;
  /** The elements of B, where several of them lie in one place; random ones, when left out. */
  readonly elementOf?: (index: number, k: number) => number;
}

function productCase({
  name,
  type,
  columns,
  steps,
  a,
  b,
  first = 'begins',
  elementOf,
}: ProductCase): PrimitiveCase {
  const next = integersFrom(columns + steps);
  const encode = type === 'bf16' ? bf16FromNumber : fp16FromNumber;
  const sums = 16 * steps;
  const matrix = (count: number) =>
    Array.from({ length: count }, () => Array.from({ length: sums }, () => next(17) - 8));
  const [left, random] = [matrix(64), matrix(columns)];
  const right = elementOf
    ? random.map((row, index) => row.map((_, k) => elementOf(index, k)))
    : random;
  /** What is written, each place once. */
  const placed = (which: 'a' | 'b', rows: readonly number[][], { at }: Placed, from: number) => {
    const elements = new Map(
      rows.flatMap((row, i) => row.map((value, k) => [from + at(i, k), encode(value)] as const)),
    );
    return {
      [which]: bytesOf(Uint16Array.from(elements.values())),
      [`${which}_at`]: bytesOf(Int32Array.from(elements.keys())),
    };
  };
  /** The A of each step and thread: rows g and g + 8 of its warp, two columns, and eight further. */
  const registers = () =>
    bytesOf(
      Uint32Array.from({ length: steps * 512 }, (_, at) => {
        const [step, thread, i] = [at >> 9, (at >> 2) & 127, at & 3];
        const row = (thread >> 5) * 16 + ((thread & 31) >> 2) + (i & 1) * 8;
        const k = step * 16 + (thread & 3) * 2 + (i >> 1) * 8;
        return (encode(left[row]![k]!) | (encode(left[row]![k + 1]!) << 16)) >>> 0;
      }),
    );
  const inputs = {
    ...(a ? placed('a', left, a, secondPlace) : { a: registers() }),
    ...placed('b', right, b, 0),
  };
  const numbers = (which: 'a' | 'b', of: Placed) => ({
    [`${which}_count`]: inputs[which]!.byteLength / 2,
    [`${which}_leading`]: of.leading,
    [`${which}_stride`]: of.stride,
    [`${which}_layout`]: layouts[of.swizzle],
    [`${which}_step`]: of.step,
  });
  const out = Float32Array.from({ length: 64 * columns }, (_, at) => {
    const [thread, i] = [Math.floor(at / (columns / 2)), at % (columns / 2)];
    const row = (thread >> 5) * 16 + ((thread & 31) >> 2) + ((i >> 1) & 1) * 8;
    const column = (i >> 2) * 8 + (thread & 3) * 2 + (i & 1);
    return left[row]!.reduce((sum, x, k) => sum + x * right[column]![k]!, 0);
  });
  const kernel = kernelFor(type, columns, a === undefined, first);
  return {
    name: `product ${name}, ${type}, ${columns} columns`,
    list: launch(kernel, {
      ...(a && numbers('a', a)),
      ...numbers('b', b),
      steps,
    }),
    inputs,
    outputs: { out: bytesOf(out) },
  };
}

const usual = along(128);

export const productCases: readonly PrimitiveCase[] = [
  ...[8, 16, 48, 64, 80, 96, 112, 128, 176, 192, 256].map((columns): ProductCase => ({ name: 'of two tiles', type: columns % 32 === 0 ? 'bf16' : 'fp16', columns, steps: 4, a: usual, b: usual })),
  ...[16, 128].map((columns): ProductCase => ({ name: 'whose first step is told', type: 'bf16', columns, steps: 4, a: usual, b: usual, first: 'is told' })),
  { name: 'of rows in groups with gaps', type: 'bf16', columns: 64, steps: 4, a: along(128, 3072), b: along(128, 2048) },
  { name: 'whose leading bytes mean nothing', type: 'bf16', columns: 64, steps: 4, a: along(128, 1024, 4096), b: along(128, 1024, 0) },
  { name: 'swizzled by 64 bytes', type: 'bf16', columns: 64, steps: 2, a: along(64), b: along(64) },
  { name: 'swizzled by 32 bytes', type: 'fp16', columns: 64, steps: 1, a: along(32), b: along(32) },
  { name: 'without swizzle', type: 'bf16', columns: 64, steps: 4, a: blocks(1024, 128), b: blocks(128, 1024) },
  ...[16, 32, 64].map((columns): ProductCase => ({ name: 'of registers and one slab', type: 'bf16', columns, steps: 4, b: across(128, 16384) })),
  ...[96, 128, 192, 256].map((columns): ProductCase => ({ name: 'of registers and slabs', type: columns === 192 ? 'fp16' : 'bf16', columns, steps: 4, b: across(128, 8192) })),
  { name: 'of registers and slabs with gaps', type: 'bf16', columns: 128, steps: 4, b: across(128, 17408, 2048) },
  { name: 'of registers and slabs of 64 bytes', type: 'bf16', columns: 64, steps: 2, b: across(64, 4096) },
  { name: 'of registers and slabs of 32 bytes', type: 'fp16', columns: 32, steps: 2, b: across(32, 2048) },
  { name: 'of registers, without swizzle', type: 'bf16', columns: 64, steps: 2, b: blocksAcross(128, 512) },
  { name: 'of registers, without swizzle, the other way round', type: 'fp16', columns: 64, steps: 2, b: blocksAcross(1024, 128) },
  // Row k + 1 is row k from the next eight on: rows that follow each other serve for all.
  ...[64, 128].map((columns): ProductCase => ({ name: 'of registers and rows that overlap', type: 'bf16', columns, steps: 1, b: blocksAcross(16, 16), elementOf: (index, k) => index + 8 * (k < 8 ? k : k - 7) })),
].map((one) => productCase(one as ProductCase)); // biome-ignore format: a table
