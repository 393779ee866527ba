import { count, pattern } from '../dsl/index.ts';

/**
 * A-shape, and dense causal attention for the last rows, which the answer is read from.
 * Source: TriangleMix and the Tri-shape of MInference.
 */
export const triShape = pattern('tri-shape', {
  sinks: count.default(128),
  window: count.default(4096),
  tail: count.default(100),
}).mask(
  ({ q, k, row, qLen }, { sinks, window, tail }) =>
    k <= q && (k < sinks || q - k < window || row >= qLen - tail),
);
