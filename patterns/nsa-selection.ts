import { count, fixed, pattern } from '../dsl/index.ts';

/**
 * Every query picks key blocks, one choice for all query heads of a KV head, beside a local window.
 * Source: the selection branch of Native Sparse Attention (Yuan et al., 2025), without its training.
 */
export const nsaSelection = pattern('nsa-selection', {
  block: fixed(64),
  blocksPerQuery: count.default(16),
  window: count.default(512),
})
  .estimate(({ q, k }, { block, blocksPerQuery }) => ({
    chosen: q
      .dot(k.pool(block))
      .causal()
      .softmax()
      .sumPerGroup()
      .topk(blocksPerQuery, { always: { first: 1, last: 1 } }),
  }))
  .mask(
    ({ q, k }, { block, window, chosen }) =>
      k <= q && (q - k < window || chosen.has(q, Math.floor(k / block))),
  );
