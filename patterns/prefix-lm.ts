import { count, pattern } from '../dsl/index.ts';

/** The first `prefix` positions see each other both ways; what follows is causal. */
export const prefixLm = pattern('prefix-lm', { prefix: count.default(256) }).mask(
  ({ q, k }, { prefix }) => k <= q || k < prefix,
);
