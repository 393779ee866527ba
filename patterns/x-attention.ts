import { z } from 'zod';
import { antidiagonal, fixed, pattern } from '../dsl/index.ts';

/**
 * Key blocks scored by sums along antidiagonals, the fewest that hold `mass` of each row; the first and
 * the diagonal block always. Source: XAttention (Xu et al., 2025).
 */
export const xAttention = pattern('x-attention', {
  block: fixed(128),
  stride: fixed(8),
  mass: z.number().gt(0).max(1).default(0.9),
})
  .estimate(({ q, k }, { block, stride, mass }) => ({
    blocks: antidiagonal(q, k, { stride, block })
      .causal()
      .softmax()
      .cover(mass, { always: { first: 1, last: 1 } }),
  }))
  .mask(
    ({ q, k }, { block, blocks }) =>
      k <= q && blocks.has(Math.floor(q / block), Math.floor(k / block)),
  );
