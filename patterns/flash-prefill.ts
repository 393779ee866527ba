import { z } from 'zod';
import { count, fixed, pattern } from '../dsl/index.ts';

/**
 * Key blocks whose energy reaches a share of the query tile's largest, chosen once per KV head; what is
 * dropped stays in the softmax as its mean key and value. The last rows are dense.
 * Source: FlashPrefill V2 (2026); blocks are anchored at absolute positions here.
 */
export const flashPrefill = pattern('flash-prefill', {
  block: fixed(128),
  tile: fixed(32),
  share: z.number().min(0).max(1).default(0.1),
  tail: count.default(256),
})
  .estimate(({ q, k }, { block, tile, share }) => ({
    blocks: q
      .dot(k.pool(block))
      .causal()
      .exp()
      .sumPerBlock(tile)
      .sumPerGroup()
      .above(share, { always: { first: 2, last: 4 } }),
  }))
  .mask(
    ({ q, k, row, qLen }, { block, tile, tail, blocks }) =>
      k <= q && (row >= qLen - tail || blocks.has(Math.floor(q / tile), Math.floor(k / block))),
  )
  .rest(({ k, v }, { block }) => ({ keys: k.pool(block), values: v.pool(block) }));
