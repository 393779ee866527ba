import { pattern } from '../dsl/index.ts';

/** Every key up to the query: dense causal attention. */
export const causal = pattern('causal').mask(({ q, k }) => k <= q);
