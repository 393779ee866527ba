// How far the outputs of a sparse pattern are from those of dense attention.

import { checkAlike } from './arguments.ts';
import { decode } from './half.ts';
import type { Tensor } from './tensor.ts';

export interface HeadOutputError {
  readonly batch: number;
  readonly head: number;
  /** |sparse - dense| / |dense|, norms over all rows and dimensions of the head; 0 where both are nothing. */
  readonly relative: number;
}

/**
 * Relative errors by head. Both are [batch, heads, qLen, valueDim], of any dtype and layout. throws: ShapeError T002 where
 * their shapes differ.
 */
export async function outputError(sparse: Tensor, dense: Tensor): Promise<HeadOutputError[]> {
  checkAlike('outputs', sparse, dense);
  const [batch = 0, heads = 0, rows = 0, dim = 0] = sparse.shape;
  // Long ones are large: only those of a head at a time become floats.
  const hosts = [await sparse.host(), await dense.host()].map((one) => one.withLayout('bhsd'));
  return Array.from({ length: batch * heads }, (_, unit) => {
    const [a, b] = hosts.map(({ data, dtype }) =>
      decode(data.subarray(unit * rows * dim, (unit + 1) * rows * dim), dtype),
    ) as [Float32Array, Float32Array];
    let [apart, all] = [0, 0];
    for (let at = 0; at < rows * dim; at += 1) {
      apart += (a[at]! - b[at]!) ** 2;
      all += b[at]! ** 2;
    }
    const head = unit % heads;
    return {
      batch: (unit - head) / heads,
      head,
      relative: apart === 0 ? 0 : Math.sqrt(apart / all),
    };
  });
}
