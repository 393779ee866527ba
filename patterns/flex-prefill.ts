import { z } from 'zod';
import { divergence, fixed, pattern, where } from '../dsl/index.ts';

/**
 * Each head chooses its own family: where pooled scores predict the last block's attention well, key
 * blocks per query block; elsewhere columns and diagonals. Each set is the smallest that holds `mass`.
 * Source: FlexPrefill (Lai et al., 2025), with sets per row where that sorts whole heads.
 */
export const flexPrefill = pattern('flex-prefill', {
  block: fixed(128),
  mass: z.number().gt(0).max(1).default(0.9),
  tau: z.number().min(0).default(0.1),
})
  .estimate(({ q, k }, { block, mass, tau }) => {
    const probe = q.last(block);
    const exact = probe.dot(k).causal().softmax();
    const pooled = probe.pool(block).dot(k.pool(block)).causal().softmax();
    const aware = divergence(exact.sumPerKey().pool(block), pooled.sumPerKey()).below(tau);
    const blocks = q.pool(block).dot(k.pool(block)).causal().softmax();
    return {
      blocks: where(aware, blocks.cover(mass, { always: { first: 1, last: 1 } }), 'none'),
      columns: where(aware, 'none', exact.sumPerKey().cover(mass, { always: { first: 1 } })),
      distances: where(
        aware,
        'none',
        exact.sumPerDistance().cover(mass, { always: { first: block } }),
      ),
    };
  })
  .mask(
    ({ q, k }, { block, blocks, columns, distances }) =>
      k <= q &&
      (columns.has(k) ||
        distances.has(q - k) ||
        blocks.has(Math.floor(q / block), Math.floor(k / block))),
  )
  .schedule({ gather: 'columns' });
