// Random tensors made quickly: a block of normal values, again and again. For times, and to compare kernels with each
// other; where values have to be those of a seed, `tensor.random` makes them.

import type { LaunchShape } from '../../dsl/shape.ts';
import { allocate, type FloatType } from '../dtype.ts';
import { Tensor, tensor } from '../tensor.ts';

/** A prime: the same values never lie in the same columns of two rows. */
const blockElements = 1_048_583;

function quickTensor(shape: readonly number[], dtype: FloatType, seed: number): Tensor {
  const count = shape.reduce((product, size) => product * size, 1);
  if (count <= blockElements) return tensor.random(shape, { dtype, seed });
  const { data: block } = tensor.random([blockElements], { dtype, seed });
  const data = allocate(dtype, count);
  for (let at = 0; at < count; at += blockElements)
    data.set(block.subarray(0, Math.min(blockElements, count - at)), at);
  return new Tensor({ data, shape, dtype });
}

/** q, k and v of a call. */
export function quickInputs(
  { batch, heads, kvHeads, qLen, kLen, headDim, valueDim }: LaunchShape,
  dtype: FloatType,
): { q: Tensor; k: Tensor; v: Tensor } {
  return {
    q: quickTensor([batch, heads, qLen, headDim], dtype, 0),
    k: quickTensor([batch, kvHeads, kLen, headDim], dtype, 1),
    v: quickTensor([batch, kvHeads, kLen, valueDim], dtype, 2),
  };
}
