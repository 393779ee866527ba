import { count, fixed, pattern } from '../dsl/index.ts';

/**
 * For each block of queries the key blocks whose mean keys fit its mean query best, and always its own.
 * Source: MInference (Jiang et al., 2024), which does not force the diagonal block.
 */
export const blockSparse = pattern('block-sparse', {
  block: fixed(64),
  blocksPerRow: count.default(100),
})
  .estimate(({ q, k }, { block, blocksPerRow }) => ({
    blocks: q
      .pool(block)
      .dot(k.pool(block))
      .causal()
      .topk(blocksPerRow, { always: { last: 1 } }),
  }))
  .mask(
    ({ q, k }, { block, blocks }) =>
      k <= q && blocks.has(Math.floor(q / block), Math.floor(k / block)),
  );
