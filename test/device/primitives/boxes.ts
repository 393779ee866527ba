// Copies of boxes: how they lie in shared memory, what is outside of the tensor, what a store leaves alone. No store
// begins before its tensor: that is an illegal instruction, after which no other case would run.

import type { BoxMap } from '../../../codegen/kernel.ts';
import { int, kernelOf, map, pointer } from '../../runtime/emulator-kernels.ts';
import { integersFrom, type PrimitiveCase } from './case.ts';

type Point = readonly [number, number, number, number, number];

const axes = ['c0', 'c1', 'c2', 'c3', 'c4'] as const;
const primitives = ['shared', 'barrier', 'tensor-copy', 'warpgroup'];
const fields = [map('box'), ...axes.map(int), int('bytes')];
const aligned = `extern __shared__ __align__(1024) u8 shared[];
  const u32 first = shared_address(shared) + 1023u & ~1023u;
  u32* const words = (u32*)(shared + (first - shared_address(shared)));`;
const where = 'p.c0, p.c1, p.c2, p.c3, p.c4';

const load = kernelOf('load_box', {
  fields: [...fields, pointer('out', 'uint4')],
  body: `  ${aligned}
  __shared__ u64 full;
  if (threadIdx.x == 0) {
    barrier_init(full, 1);
    barrier_init_done();
  }
  for (int i = threadIdx.x; i < p.bytes / 4; i += 128) words[i] = 0xabababab;
  shared_written();
  __syncthreads();
  if (threadIdx.x == 0) {
    barrier_arrive_expect(full, p.bytes);
    copy_box(first, p.box, full, ${where}, KEEP_IN_CACHE);
  }
  barrier_wait(full, 0);
  for (int i = threadIdx.x; i < p.bytes / 16; i += 128) p.out[i] = shared_load(first + 16 * i);`,
  threads: 128,
  sharedBytes: 65536 + 1024,
  primitives,
});

const store = kernelOf('store_box', {
  fields,
  body: `  ${aligned}
  for (int i = threadIdx.x; i < p.bytes / 4; i += 128) words[i] = 0x01000193u * (u32)(i + 1);
  shared_written();
  __syncthreads();
  if (threadIdx.x == 0) {
    store_box(p.box, first, ${where});
    store_commit();
    store_wait();
  }`,
  threads: 128,
  sharedBytes: 65536 + 1024,
  primitives,
});

const bytesOfBox = ({ box }: BoxMap): number => 2 * box.reduce((all, one) => all * one, 1);
const bytesOfTensor = ({ sizes, strides }: BoxMap): number =>
  sizes.reduce((at, size, axis) => at + (size - 1) * (axis === 0 ? 2 : strides[axis - 1]!), 2);

/** Every element of a box: its byte in shared memory, and in the tensor where it is there. */
function* elementsOf(
  of: BoxMap,
  at: Point,
): Generator<[shared: number, tensor: number | undefined]> {
  const { sizes, strides, box, swizzle } = of;
  const count = bytesOfBox(of) / 2;
  for (let i = 0; i < count; i += 1) {
    let left = i;
    let byte: number | undefined = 0;
    for (const [axis, extent] of box.entries()) {
      const index = at[axis]! + (left % extent);
      left = Math.floor(left / extent);
      if (index < 0 || index >= sizes[axis]!) byte = undefined;
      else if (byte !== undefined) byte += index * (axis === 0 ? 2 : strides[axis - 1]!);
    }
    // 16-byte chunks of a row change places by the row's number among those of 128 bytes.
    const chunk = (2 * i) >> 4;
    const row = (2 * i) >> 7;
    const shared = ((chunk ^ (row & (swizzle / 16 - 1))) << 4) | ((2 * i) & 15);
    yield [shared, byte];
  }
}

const listOf = (kernel: typeof load, of: BoxMap, points: readonly Point[]) => ({
  workspace: [],
  steps: points.map((point, i) => ({
    op: 'launch' as const,
    kernel,
    grid: [1, 1, 1] as const,
    args: {
      ...Object.fromEntries(axes.map((axis, k) => [axis, point[k]!])),
      bytes: bytesOfBox(of),
    },
    buffers:
      kernel === load ? { out: { buffer: 'out', offset: i * bytesOfBox(of) } } : ({} as const),
    maps: { box: { buffer: 'tensor', offset: 0, ...of } },
  })),
});

function loadCase(name: string, of: BoxMap, points: readonly Point[]): PrimitiveCase {
  const next = integersFrom(name.length);
  const tensor = Uint8Array.from({ length: bytesOfTensor(of) }, () => next(256));
  const out = new Uint8Array(points.length * bytesOfBox(of));
  for (const [i, point] of points.entries())
    for (const [shared, byte] of elementsOf(of, point))
      if (byte !== undefined) out.set(tensor.subarray(byte, byte + 2), i * bytesOfBox(of) + shared);
  return {
    name: `load ${name}`,
    list: listOf(load, of, points),
    inputs: { tensor },
    outputs: { out },
  };
}

function storeCase(name: string, of: BoxMap, points: readonly Point[]): PrimitiveCase {
  const before = new Uint8Array(bytesOfTensor(of)).fill(0x55);
  const tensor = before.slice();
  const words = Uint32Array.from({ length: bytesOfBox(of) / 4 }, (_, i) =>
    Math.imul(0x01000193, i + 1),
  );
  const staged = new Uint8Array(words.buffer);
  for (const point of points)
    for (const [shared, byte] of elementsOf(of, point))
      if (byte !== undefined) tensor.set(staged.subarray(shared, shared + 2), byte);
  const list = listOf(store, of, points);
  return { name: `store ${name}`, list, inputs: { tensor: before }, outputs: { tensor } };
}

/** [2, 3, 50 rows, dim] in order, in boxes of so many rows. */
function rows(dim: number, boxRows: number, swizzle: BoxMap['swizzle'] = 128): BoxMap {
  const whole = dim % 64 === 0 && swizzle === 128;
  return {
    type: 'bf16',
    sizes: [whole ? 64 : dim, 50, whole ? dim / 64 : 1, 3, 2],
    strides: [dim * 2, whole ? 128 : dim * 2, 50 * dim * 2, 150 * dim * 2],
    box: [swizzle / 2, boxRows, whole ? dim / 64 : 1, 1, 1],
    swizzle,
    promotion: 256,
  };
}

const inside: readonly Point[] = [
  [0, 0, 0, 0, 0],
  [0, 5, 0, 2, 1],
];
/** Past the end of rows, wholly and partly, and before their start. */
const across: readonly Point[] = [
  [0, 40, 0, 1, 0],
  [0, 49, 0, 2, 1],
  [0, 50, 0, 0, 0],
  [0, 1000, 0, 1, 1],
];
const before: readonly Point[] = [
  [0, -3, 0, 1, 0],
  [0, -200, 0, 0, 1],
];
const pastOtherAxes: readonly Point[] = [
  [0, 0, 0, 3, 0],
  [0, 0, 0, 0, 2],
];
const beforeOtherAxes: readonly Point[] = [
  [0, 0, 0, -1, 1],
  [0, 0, 0, 0, -1],
];
const columns: readonly Point[] = [
  [64, 0, 0, 0, 0],
  [64, 30, 0, 2, 1],
  [-8, 2, 0, 1, 0],
  [88, 4, 0, 1, 1],
];

export const boxCases: readonly PrimitiveCase[] = [
  loadCase('boxes of two slabs', rows(128, 64), [...inside, ...across, ...before, ...pastOtherAxes, ...beforeOtherAxes]),
  loadCase('boxes of one slab', rows(64, 16), [...inside, ...across, ...before, ...pastOtherAxes, ...beforeOtherAxes]),
  loadCase('slabs of rows that they do not divide', rows(96, 32), [...inside, ...across, ...columns]),
  loadCase('rows shorter than a slab', rows(24, 32), [...inside, ...across, ...before]),
  loadCase('rows swizzled by 64 bytes', rows(96, 32, 64), [...inside, ...across, [32, 7, 0, 1, 1]]),
  loadCase('rows swizzled by 32 bytes', rows(96, 32, 32), [...inside, ...across, [16, 7, 0, 1, 1]]),
  storeCase('boxes of two slabs', rows(128, 64), [...inside, ...across, ...pastOtherAxes]),
  storeCase('slabs of rows that they do not divide', rows(96, 32), [...inside, ...across, [64, 3, 0, 1, 0]]),
  storeCase('rows swizzled by 64 bytes', rows(96, 32, 64), [...inside, ...across]),
  storeCase('boxes of one slab', rows(64, 16), [...inside, ...across, ...pastOtherAxes]),
]; // biome-ignore format: a table
