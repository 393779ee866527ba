import { z } from 'zod';
import { count, pattern } from '../dsl/index.ts';

/** `window` keys, `step` apart, back from the query. Source: Longformer (Beltagy et al., 2020). */
export const dilated = pattern('dilated', {
  window: count.default(512),
  step: z.int().min(1).default(2),
}).mask(({ q, k }, { window, step }) => k <= q && q - k < window * step && (q - k) % step === 0);
