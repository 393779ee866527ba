// Tensors as float64 numbers, for the oracle. Nothing is computed.

import { numberFrom } from '../half.ts';
import type { Tensor } from '../tensor.ts';

/** The vectors of one head: `at(s)` is the row of sequence position s. */
export function rowsOfHead(tensor: Tensor, batch: number, head: number): Float64Array[] {
  const [, , length = 0, dim = 0] = tensor.shape;
  const [b = 0, h = 0, s = 0, d = 0] = tensor.strides;
  return Array.from({ length }, (_, row) =>
    Float64Array.from({ length: dim }, (_unused, i) =>
      numberFrom(tensor.dtype, tensor.data[batch * b + head * h + row * s + i * d]!),
    ),
  );
}

export function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

/** A captured tensor as an arrow sees it: 0 outside. */
export function captured(tensor: Tensor): { at(...indices: number[]): number } {
  const { shape } = tensor;
  return {
    at(...indices) {
      const inside =
        indices.length === shape.length &&
        indices.every(
          (index, axis) => Number.isInteger(index) && index >= 0 && index < shape[axis]!,
        );
      return inside ? tensor.at(...indices) : 0;
    },
  };
}
