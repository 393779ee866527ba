// Tensors: made from numbers, at random or from files; read, converted, sliced. Their elements lie in host
// memory, or in the memory of a device (memory.ts) until they are read. No arithmetic.

import { type Code, DeviceError, diagnostic, ShapeError } from '../dsl/diagnostic.ts';
import { isObject, shown } from '../dsl/shown.ts';
import {
  allocate,
  checkLayout,
  countOf,
  type DType,
  type Elements,
  type FloatType,
  holds,
  type Layout,
  reorder,
  showShape,
  stridesOf,
  swapMiddle,
} from './dtype.ts';
import { loadStored } from './files/load.ts';
import { decode, encode, numberFrom } from './half.ts';
import { type DeviceMemory, isDeviceMemory } from './memory.ts';
import { encodeNormal } from './random.ts';

/** Elements with their meaning; what a worker thread is sent to make the same tensor again. */
export interface TensorParts {
  readonly data: Elements | DeviceMemory;
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly layout?: Layout;
}

/**
 * Dense elements, in host memory that worker threads can share or in the memory of a device. `shape` is `[batch, head, sequence, dim]`
 * for rank 4 whatever the `layout`; `strides` are in elements along the axes of `shape`.
 */
export class Tensor {
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly layout: Layout;
  readonly strides: readonly number[];
  /** Where the elements are, when they are in the memory of a device. */
  readonly memory: DeviceMemory | undefined;
  readonly #data: Elements | undefined;

  /**
   * Takes elements as they are; those over other than shared memory are copied into it.
   * Throws ShapeError T001 or T012 for a shape that is none or does not fit, T003 for data of another kind.
   */
  constructor({ data, shape, dtype, layout = 'bhsd' }: TensorParts) {
    const count = countOf(shape);
    checkLayout(shape, layout);
    this.shape = Object.freeze([...shape]);
    this.dtype = dtype;
    this.layout = layout;
    this.strides = Object.freeze(stridesOf(shape, layout));
    this.memory = isDeviceMemory(data) ? data : undefined;
    if (isDeviceMemory(data)) return;
    if (!holds(dtype, data)) {
      const help = 'fp32 is a Float32Array, fp16 and bf16 a Uint16Array of bits, i32 an Int32Array';
      throw misfit('T003', `data of another kind than ${dtype}`, help);
    }
    checkCount(data.length, shape, count);
    if (data.buffer instanceof SharedArrayBuffer) this.#data = data;
    else {
      this.#data = allocate(dtype, count);
      this.#data.set(data);
    }
  }

  /**
   * In memory order, without gaps, over a SharedArrayBuffer; fp16 and bf16 as bits. Throws DeviceError R012
   * while the elements are in the memory of a device: see `host`.
   */
  get data(): Elements {
    if (this.#data) return this.#data;
    throw new DeviceError([
      diagnostic('R012', `the tensor is in the memory of ${this.memory!.device}`, {
        help: 'await tensor.read() for its numbers, or tensor.host() for a copy in host memory',
      }),
    ]);
  }

  /** The tensor in host memory: itself, or a copy of what the work before leaves on the device. */
  async host(): Promise<Tensor> {
    const { dtype, shape, layout, memory } = this;
    if (!memory) return this;
    const data = allocate(dtype, countOf(shape));
    await memory.read(data);
    return new Tensor({ data, dtype, shape, layout });
  }

  /** Frees the memory of a device at once, instead of when the tensor is collected; no more on the host. */
  dispose(): void {
    this.memory?.dispose();
  }

  /** The values in the order of `shape`, a copy: fp32 (exact for fp16 and bf16), or int32 for i32. */
  async read(): Promise<Float32Array | Int32Array> {
    const { data, dtype, shape, layout } = await this.host();
    return decode(reorder(data, dtype, shape, layout, 'bhsd'), dtype);
  }

  /** One value. Throws ShapeError T001 for another number of indices than axes, T002 outside. */
  at(...indices: readonly number[]): number {
    const { shape, strides } = this;
    if (indices.length !== shape.length) {
      const help = `give ${shape.length}, one for each axis of ${showShape(shape)}`;
      throw misfit('T001', `${indices.length} indices`, help);
    }
    let offset = 0;
    for (const [axis, index] of indices.entries()) {
      if (!Number.isInteger(index) || index < 0 || index >= shape[axis]!) {
        const what = `no element ${showShape(indices)} in a tensor of shape ${showShape(shape)}`;
        throw misfit('T002', what, 'indices are whole numbers from 0');
      }
      offset += index * strides[axis]!;
    }
    return numberFrom(this.dtype, this.data[offset]!);
  }

  /**
   * The values in another dtype, each rounded once to nearest even; itself where the dtype is the same.
   * Throws ShapeError T009, T010 or T012 for floats that are no int32.
   */
  to(dtype: DType): Tensor {
    if (dtype === this.dtype) return this;
    const data = allocate(dtype, this.data.length);
    // In steps, so that the fp32 values in between stay small.
    const step = 2 ** 16;
    for (let at = 0; at < data.length; at += step) {
      encode(decode(this.data.subarray(at, at + step), this.dtype), dtype, data, at);
    }
    return new Tensor({ data, dtype, shape: this.shape, layout: this.layout });
  }

  /** The same values in another memory order, a copy; itself where the layout is the same. */
  withLayout(layout: Layout): Tensor {
    if (layout === this.layout) return this;
    checkLayout(this.shape, layout);
    const { dtype, shape } = this;
    return new Tensor({
      data: reorder(this.data, dtype, shape, this.layout, layout),
      dtype,
      shape,
      layout,
    });
  }

  /**
   * Positions `[from, to)` of the sequence axis (axis 2 of rank 4, else axis 0, or `axis`): a copy, so that
   * `data` stays without gaps. Negative positions count from the end, as in `Array.slice`.
   * Throws ShapeError T001 without such an axis, T002 for positions outside or in the wrong order.
   */
  slice(from: number, to?: number, axis = this.shape.length === 4 ? 2 : 0): Tensor {
    const length = this.shape[axis];
    if (length === undefined) {
      throw misfit('T001', `no axis ${axis} in ${showShape(this.shape)}`, 'name an axis it has');
    }
    const start = from < 0 ? from + length : from;
    const end = to === undefined ? length : to < 0 ? to + length : to;
    const whole = Number.isInteger(start) && Number.isInteger(end);
    if (!whole || start < 0 || end > length || start > end) {
      const what = `positions ${from} to ${to ?? length} of an axis of ${length}`;
      throw misfit('T002', what, 'give whole numbers, the first not after the second');
    }
    const swapped = this.layout === 'bshd';
    const memory = swapped ? swapMiddle(this.shape) : this.shape;
    const place = swapped && (axis === 1 || axis === 2) ? 3 - axis : axis;
    const inner = memory.slice(place + 1).reduce((product, size) => product * size, 1);
    const outer = memory.slice(0, place).reduce((product, size) => product * size, 1);
    const run = (end - start) * inner;
    const data = allocate(this.dtype, outer * run);
    for (let block = 0; block < outer; block++) {
      const first = (block * length + start) * inner;
      data.set(this.data.subarray(first, first + run), block * run);
    }
    const shape = this.shape.with(axis, end - start);
    return new Tensor({ data, dtype: this.dtype, shape, layout: this.layout });
  }

  toString(): string {
    const layout = this.shape.length === 4 ? ` ${this.layout}` : '';
    return `Tensor ${this.dtype} ${showShape(this.shape)}${layout}`;
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }
}

function misfit(code: Code, what: string, help: string): ShapeError {
  return new ShapeError([diagnostic(code, what, { help })]);
}

function checkCount(given: number, shape: readonly number[], count: number): void {
  if (given === count) return;
  const help = `the shape ${showShape(shape)} takes ${count}`;
  throw misfit('T012', `${given} elements`, help);
}

function checkOptions(options: unknown): void {
  if (isObject(options)) return;
  const help = 'name them, or leave them out: { dtype, layout }';
  throw misfit('T012', `options that are ${shown(options)}`, help);
}

/** Numbers, or arrays of equal length of them, at most 8 deep. */
export type Numbers = ArrayLike<number> | readonly Numbers[];

export interface TensorOptions {
  /** `[batch, head, sequence, dim]` for rank 4. What the nesting of `data` says, where it is left out. */
  readonly shape?: readonly number[];
  /** `i32` for an Int32Array, `fp32` otherwise, where it is left out. */
  readonly dtype?: DType;
  readonly layout?: Layout;
}

/**
 * A tensor from numbers in memory order (`[b, s, h, d]` for the layout `bshd`), copied and each rounded once.
 * For fp16 and bf16 a Uint16Array is taken as bits.
 *
 * Throws ShapeError T001 or T012 for a shape that is none; T003 for a Uint16Array without a dtype; T012 for
 * data that do not fill the shape, ragged nesting and what is no number; for i32 also T009, T010 and T012
 * for numbers that are no int32.
 */
function create(data: Numbers, options: TensorOptions = {}): Tensor {
  checkOptions(options);
  const { layout = 'bhsd' } = options;
  const dtype = options.dtype ?? (data instanceof Int32Array ? 'i32' : 'fp32');
  if (data instanceof Uint16Array && options.dtype === undefined) {
    throw misfit(
      'T003',
      'a Uint16Array without a dtype',
      "say whether it is 'fp16' or 'bf16' bits",
    );
  }
  const nested: number[] = [];
  measure(data, nested);
  const inferred = layout === 'bshd' && nested.length === 4 ? swapMiddle(nested) : nested;
  const { shape = inferred } = options;
  const count = countOf(shape);
  checkLayout(shape, layout);
  checkCount(
    nested.reduce((product, size) => product * size, 1),
    shape,
    count,
  );
  if (nested.length > 1 && showShape(shape) !== showShape(inferred)) {
    const help = 'leave the shape out, or give the numbers in one flat array';
    throw misfit('T012', `arrays nested as ${showShape(inferred)} for ${showShape(shape)}`, help);
  }
  const elements = allocate(dtype, count);
  let at = 0;
  const fill = (part: Numbers, depth: number): void => {
    if (part.length !== nested[depth]) {
      throw misfit(
        'T012',
        `an array of ${part.length} beside others of ${nested[depth]}`,
        'nest evenly',
      );
    }
    if (depth < nested.length - 1) {
      for (const inner of part as readonly Numbers[]) fill(inner, depth + 1);
      return;
    }
    if (part instanceof Uint16Array && (dtype === 'fp16' || dtype === 'bf16'))
      elements.set(part, at);
    else encode(numbersOf(part, at), dtype, elements, at);
    at += part.length;
  };
  fill(data, 0);
  return new Tensor({ data: elements, shape, dtype, layout });
}

// The sizes along the first elements; `fill` checks that the others agree.
function measure(data: unknown, sizes: number[]): void {
  if (!(Array.isArray(data) || ArrayBuffer.isView(data)) || !('length' in data)) {
    throw misfit('T012', `data of type ${typeof data}`, 'give an array of numbers');
  }
  sizes.push(data.length);
  const first: unknown = data[0];
  if (typeof first !== 'object' || first === null) return;
  if (sizes.length === 8) throw misfit('T001', 'arrays nested more than 8 deep', 'use fewer axes');
  measure(first, sizes);
}

function numbersOf(data: Numbers, from: number): ArrayLike<number> {
  if (ArrayBuffer.isView(data) && typeof data[0] !== 'bigint') return data as ArrayLike<number>;
  for (let i = 0; i < data.length; i++) {
    if (typeof data[i] === 'number') continue;
    const kind = data[i] === null ? 'null' : typeof data[i];
    throw misfit('T012', `element ${from + i} is of type ${kind}`, 'give numbers');
  }
  return data as ArrayLike<number>;
}

/** A tensor of zeros. Throws as `tensor.full`. */
function zeros(shape: readonly number[], options: Omit<TensorOptions, 'shape'> = {}): Tensor {
  checkOptions(options);
  const { dtype = 'fp32', layout = 'bhsd' } = options;
  return new Tensor({ data: allocate(dtype, countOf(shape)), shape, dtype, layout });
}

/** A tensor of one value, rounded once. Throws ShapeError T001, T012; for i32 T009, T010. */
function full(
  shape: readonly number[],
  value: number,
  options: Omit<TensorOptions, 'shape'> = {},
): Tensor {
  const made = zeros(shape, options);
  if (typeof value !== 'number')
    throw misfit('T012', `a value that is ${shown(value)}`, 'it is a number');
  const one = allocate(made.dtype, 1);
  encode([value], made.dtype, one);
  made.data.fill(one[0]!);
  return made;
}

export interface RandomOptions {
  readonly dtype?: FloatType;
  /** A whole number in [0, 2^53). */
  readonly seed?: number;
  readonly layout?: Layout;
  /** The standard deviation. */
  readonly scale?: number;
}

/**
 * Normal values of mean 0: a function of (seed, position in `shape`), equal on every machine and in every
 * layout, and in every dtype up to its one rounding.
 * Throws ShapeError T001, T012; T003 for i32, T006 for the seed, T010 for a scale that is not finite.
 */
function random(shape: readonly number[], options: RandomOptions = {}): Tensor {
  checkOptions(options);
  const { dtype = 'fp32', seed = 0, layout = 'bhsd', scale = 1 } = options;
  if ((dtype as DType) === 'i32') throw misfit('T003', 'random values of i32', 'use a float dtype');
  if (!Number.isFinite(scale)) throw misfit('T010', `a scale of ${scale}`, 'give a finite number');
  const made = zeros(shape, { dtype, layout });
  const { data } = made;
  const fill = (at: number, count: number, from: number): void =>
    encodeNormal({ elements: data, dtype, at, count }, seed, from, scale);
  if (layout === 'bhsd') fill(0, data.length, 0);
  else {
    const [batches = 0, heads = 0, length = 0, dim = 0] = shape;
    let to = 0;
    for (let b = 0; b < batches; b++) {
      for (let s = 0; s < length; s++) {
        for (let h = 0; h < heads; h++, to += dim)
          fill(to, dim, ((b * heads + h) * length + s) * dim);
      }
    }
  }
  return made;
}

export interface LoadOptions {
  /** Which tensor of a safetensors file; may be left out when it holds only one. */
  readonly name?: string;
  /** `bshd`: a file of rank 4 holds `[batch, sequence, head, dim]`. Nothing is moved. */
  readonly layout?: Layout;
}

/**
 * A tensor from a `.safetensors` or `.npy` file. 64-bit floats are rounded to fp32, 64-bit integers become
 * i32 where they fit.
 *
 * Throws FileError F001 (not readable), F002 or F003 (damaged), F004 (no such tensor: the message lists
 * those there); ShapeError T001 for a layout that the rank does not have, T003 for a dtype without a
 * counterpart, T009 for an integer outside int32, T012 for more than memory holds.
 */
async function load(path: string, options: string | LoadOptions = {}): Promise<Tensor> {
  if (typeof options !== 'string') checkOptions(options);
  const { name, layout = 'bhsd' } = typeof options === 'string' ? { name: options } : options;
  const { data, dtype, shape } = await loadStored(path, name);
  checkLayout(shape, layout);
  return new Tensor({ data, dtype, shape: layout === 'bshd' ? swapMiddle(shape) : shape, layout });
}

/** A tensor that is known to hold floats, as the results of attention do. */
export interface FloatTensor extends Tensor {
  readonly dtype: FloatType;
  read(): Promise<Float32Array>;
}

/** Makes tensors: from numbers when called, else `zeros`, `full`, `random` and `load`. */
export const tensor = Object.assign(create, { zeros, full, random, load });
