import { count, fixed, pattern } from '../dsl/index.ts';

/**
 * The key columns and the diagonals that the last queries attend to most.
 *
 * `dilate(grain)` and the distance from the end of the query's group admit, for each chosen diagonal,
 * exactly the one unaligned tile that computing it costs. Source: MInference (Jiang et al., 2024).
 */
export const verticalSlash = pattern('vertical-slash', {
  verticals: count.default(1000),
  slashes: count.default(6096),
  probe: fixed(64),
  grain: fixed(64),
})
  .estimate(({ q, k }, { verticals, slashes, probe, grain }) => {
    const weight = q.last(probe).dot(k).causal().softmax();
    return {
      columns: weight.sumPerKey().topk(verticals, { always: { first: 30 } }),
      distances: weight
        .sumPerDistance()
        .topk(slashes, { always: { first: 100 } })
        .dilate(grain),
    };
  })
  .mask(
    ({ q, k }, { columns, distances, grain }) =>
      k <= q && (columns.has(k) || distances.has((Math.floor(q / grain) + 1) * grain - 1 - k)),
  )
  .schedule({ gather: 'columns' });
