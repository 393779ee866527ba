import { count, pattern } from '../dsl/index.ts';

/**
 * The first keys ("attention sinks") and a local window.
 * Source: StreamingLLM (Xiao et al., 2023); the A-shape of MInference (Jiang et al., 2024).
 */
export const aShape = pattern('a-shape', {
  sinks: count.default(128),
  window: count.default(4096),
}).mask(({ q, k }, { sinks, window }) => k <= q && (k < sinks || q - k < window));
