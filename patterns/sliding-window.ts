import { count, pattern } from '../dsl/index.ts';

/** The last `window` keys, the query's own among them. */
export const slidingWindow = pattern('sliding-window', { window: count.default(4096) }).mask(
  ({ q, k }, { window }) => k <= q && q - k < window,
);
