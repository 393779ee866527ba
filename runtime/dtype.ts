// How elements lie in memory: dtypes, shapes, layouts, strides, allocation. No values and no tensors.

import { diagnostic, ShapeError } from '../dsl/diagnostic.ts';
import { shown } from '../dsl/shown.ts';

/** What an element is. `fp16` and `bf16` are held as bits: Node 20 has no Float16Array. */
export type DType = 'fp32' | 'fp16' | 'bf16' | 'i32';
export type FloatType = Exclude<DType, 'i32'>;

/**
 * The order of the axes in memory of a tensor of rank 4, slowest first. Shapes are given and shown
 * as `[batch, head, sequence, dim]` whatever the layout. Other ranks are row-major, called `bhsd`.
 */
export type Layout = 'bhsd' | 'bshd';

/** Elements in memory: fp32 as Float32Array, fp16 and bf16 bits as Uint16Array, i32 as Int32Array. */
export type Elements = Float32Array | Uint16Array | Int32Array;

export const floatTypes: readonly FloatType[] = ['fp32', 'fp16', 'bf16'];
export const dtypes: readonly DType[] = [...floatTypes, 'i32'];
export const bytesPerElement = { fp32: 4, fp16: 2, bf16: 2, i32: 4 } as const;
export const maxRank = 8;

type ElementsOver = new (buffer: ArrayBufferLike, byteOffset?: number, count?: number) => Elements;
const arrays: Readonly<Record<DType, ElementsOver>> = {
  fp32: Float32Array,
  fp16: Uint16Array,
  bf16: Uint16Array,
  i32: Int32Array,
};

/** Throws ShapeError T003 for what is no dtype. */
function arrayOf(dtype: DType): ElementsOver {
  if (!Object.hasOwn(arrays, dtype))
    fail('T003', `dtype is '${dtype}'`, `it is one of ${dtypes.join(', ')}`);
  return arrays[dtype];
}

/** Whether a typed array is the kind that holds the elements of a dtype. Throws ShapeError T003 for what is no dtype. */
export function holds(dtype: DType, data: ArrayLike<unknown>): data is Elements {
  return data instanceof arrayOf(dtype);
}

/** The elements of a dtype over (a part of) a buffer; `byteOffset` is a multiple of the element. */
export function elementsOver(
  dtype: DType,
  buffer: ArrayBufferLike,
  byteOffset = 0,
  count?: number,
): Elements {
  return new (arrayOf(dtype))(buffer, byteOffset, count);
}

/** The bytes of a typed array, from byte `from` on, at most `limit`: the same memory. Node 20 has no view of over 2^32. */
export function bytesOf(data: NodeJS.ArrayBufferView, from = 0, limit = 2 ** 30): Uint8Array {
  const length = Math.min(limit, data.byteLength - from);
  return new Uint8Array(data.buffer, data.byteOffset + from, length);
}

const ballast = new WeakMap<ArrayBufferLike, ArrayBuffer>();

/**
 * Zeroed memory for `count` elements over a SharedArrayBuffer, so that worker threads see it without
 * copies. Throws ShapeError T003 for what is no dtype, T012 when this machine cannot give that much.
 */
export function allocate(dtype: DType, count: number): Elements {
  arrayOf(dtype);
  const bytes = count * bytesPerElement[dtype];
  try {
    const buffer = new SharedArrayBuffer(bytes);
    weigh(buffer);
    return elementsOver(dtype, buffer);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    const found = diagnostic(
      'T012',
      `${count} elements of ${dtype} are more than memory can hold`,
      {
        help: 'ask for fewer; openSafetensors and openNpy read a file in chunks',
      },
    );
    throw new ShapeError([found], { cause });
  }
}

// V8 does not count shared memory, so dropped tensors alone would never cause a collection (measured:
// 200 dropped tensors of 64 MB stayed, 13 GB). A resizable ArrayBuffer of the same size is counted, is
// never touched and hence takes addresses but no memory, and dies together with the buffer it stands for.
function weigh(buffer: SharedArrayBuffer): void {
  const maxByteLength = buffer.byteLength;
  if (maxByteLength < 4096) return;
  // ES2024, which Node 20 has and the ES2023 library types lack.
  const Resizable = ArrayBuffer as new (
    length: number,
    options: { maxByteLength: number },
  ) => ArrayBuffer;
  try {
    ballast.set(buffer, new Resizable(maxByteLength, { maxByteLength }));
  } catch {
    // Addresses are short: collections come later, results stay right.
  }
}

/** `[1, 2, 3]`, as shapes are shown. */
export function showShape(shape: readonly unknown[]): string {
  return `[${shape.join(', ')}]`;
}

/**
 * The number of elements of a shape. Throws ShapeError T001 for no list and more than 8 axes, and T012 for sizes
 * that are no whole numbers from 0, and for more elements than numbers count exactly.
 */
export function countOf(shape: readonly number[]): number {
  if (!Array.isArray(shape))
    fail('T001', `a shape that is ${shown(shape)}`, 'it is a list of sizes: [1, 8, 4096, 64]');
  if (shape.length > maxRank) {
    fail('T001', `a shape of ${shape.length} axes`, `at most ${maxRank} axes are supported`);
  }
  let count = 1;
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || size < 0) {
      fail('T012', `a shape ${showShape(shape)}`, 'every size is a whole number from 0');
    }
    count *= size;
  }
  // An intermediate product may be inexact or infinite (then times 0 is NaN) where a size is 0.
  if (shape.includes(0)) return 0;
  if (!Number.isSafeInteger(count)) {
    fail('T012', `a shape ${showShape(shape)}`, 'it has more elements than any memory');
  }
  return count;
}

/**
 * Steps in elements along each axis of the shown shape: for rank 4 `[b, h, s, d]` whatever the layout.
 * Throws ShapeError T001 for the layout `bshd` with another rank.
 */
export function stridesOf(shape: readonly number[], layout: Layout): number[] {
  if (layout === 'bshd') {
    checkLayout(shape, layout);
    const [, heads = 0, length = 0, dim = 0] = shape;
    return [length * heads * dim, dim, heads * dim, 1];
  }
  const strides: number[] = new Array(shape.length);
  let step = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = step;
    step *= shape[axis]!;
  }
  return strides;
}

/** Throws ShapeError T001 for the layout `bshd` with a rank other than 4. */
export function checkLayout(shape: readonly number[], layout: Layout): void {
  if (layout !== 'bhsd' && layout !== 'bshd') {
    fail('T001', `a layout '${String(layout)}'`, "layouts are 'bhsd' and 'bshd'");
  }
  if (layout === 'bshd' && shape.length !== 4) {
    const help = 'only [batch, head, sequence, dim] has layouts: leave `layout` out';
    fail('T001', `layout 'bshd' for the shape ${showShape(shape)}`, help);
  }
}

/** A shape with the middle axes of rank 4 exchanged: `[b, h, s, d]` <-> `[b, s, h, d]`. */
export function swapMiddle(shape: readonly number[]): number[] {
  const [batch = 0, first = 0, second = 0, dim = 0] = shape;
  return [batch, second, first, dim];
}

/**
 * Elements moved from one layout to another: new memory, or `data` itself where nothing moves.
 * shape: `[batch, head, sequence, dim]`.
 */
export function reorder(
  data: Elements,
  dtype: DType,
  shape: readonly number[],
  from: Layout,
  to: Layout,
): Elements {
  if (from === to) return data;
  checkLayout(shape, 'bshd');
  const [batches = 0, outer = 0, inner = 0, dim = 0] = from === 'bhsd' ? shape : swapMiddle(shape);
  const moved = allocate(dtype, data.length);
  let at = 0;
  for (let batch = 0; batch < batches; batch++) {
    for (let second = 0; second < inner; second++) {
      for (let first = 0; first < outer; first++, at += dim) {
        const start = ((batch * outer + first) * inner + second) * dim;
        // A view costs about as much as moving 30 elements one by one.
        if (dim > 32) moved.set(data.subarray(start, start + dim), at);
        else for (let d = 0; d < dim; d++) moved[at + d] = data[start + d]!;
      }
    }
  }
  return moved;
}

function fail(code: 'T001' | 'T003' | 'T012', what: string, help: string): never {
  throw new ShapeError([diagnostic(code, what, { help })]);
}
