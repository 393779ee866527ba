// Random q, k and v on a device, made quickly: a block of normal values, repeated. One block for each of the
// three, so that no query is a key.

import { type Device, type FloatType, Tensor, tensor } from '../../../index.ts';
import { Block, BlockMemory } from '../../../runtime/cuda/block.ts';
import { bytesOf, bytesPerElement, countOf } from '../../../runtime/dtype.ts';

export type Role = 'q' | 'k' | 'v';

/** No multiple of a head's dimension: every round has other rows. */
const mostValues = 2 ** 22 - 3;

/** A block of values as a device gets them, and as numbers. */
interface Values {
  readonly tensor: Tensor;
  numbers?: Promise<Float32Array>;
}

/** Makes the tensors of calls; equal ones once, until they are released. */
export class Inputs {
  readonly #device: Device;
  readonly #values = new Map<string, Values>();
  readonly #tensors = new Map<string, Promise<Tensor>>();

  constructor(device: Device) {
    this.#device = device;
  }

  tensor(role: Role, shape: readonly number[], dtype: FloatType): Promise<Tensor> {
    const key = `${role} ${dtype} ${shape}`;
    const made = this.#tensors.get(key) ?? this.#make(role, shape, dtype);
    this.#tensors.set(key, made);
    return made;
  }

  /** Copies values of a tensor from an element on, as the device sees them. */
  async reader(
    role: Role,
    shape: readonly number[],
    dtype: FloatType,
  ): Promise<(from: number, into: Float32Array) => void> {
    const values = this.#valuesOf(role, shape, dtype);
    values.numbers ??= values.tensor.read() as Promise<Float32Array>;
    const numbers = await values.numbers;
    return (from, into) => {
      let at = from % numbers.length;
      for (let i = 0; i < into.length; i += 1) {
        into[i] = numbers[at]!;
        at = at + 1 === numbers.length ? 0 : at + 1;
      }
    };
  }

  /** Gives the memory of the device back; a device that is lost has taken it along. */
  async release(): Promise<void> {
    const tensors = [...this.#tensors.values()];
    this.#tensors.clear();
    await Promise.allSettled(tensors.map(async (made) => (await made).dispose()));
  }

  #valuesOf(role: Role, shape: readonly number[], dtype: FloatType): Values {
    const length = Math.min(countOf(shape), mostValues);
    const key = `${role} ${dtype} ${length}`;
    let values = this.#values.get(key);
    if (!values) {
      const seed = 1 + 'qkv'.indexOf(role);
      values = { tensor: tensor.random([length], { dtype, seed }) };
      this.#values.set(key, values);
    }
    return values;
  }

  async #make(role: Role, shape: readonly number[], dtype: FloatType): Promise<Tensor> {
    const { data } = this.#valuesOf(role, shape, dtype).tensor;
    const count = countOf(shape);
    const device = this.#device;
    if (device.kind === 'cpu') {
      const made = tensor.zeros(shape, { dtype });
      for (let at = 0; at < count; at += data.length)
        made.data.set(data.subarray(0, Math.min(data.length, count - at)), at);
      return made;
    }
    const size = bytesPerElement[dtype];
    const block = new Block(device.machine, count * size);
    for (let at = 0; at < count; at += data.length) {
      const piece = bytesOf(data.subarray(0, Math.min(data.length, count - at)));
      await device.machine.upload(block.address + at * size, piece);
    }
    return new Tensor({ data: new BlockMemory(block), dtype, shape });
  }
}
