import { z } from 'zod';
import { f32, pattern } from '../dsl/index.ts';

/**
 * A linear penalty on the distance, one slope per head, then logits capped softly at +-`cap`.
 * Source: ALiBi (Press et al., 2021); soft-capping as in Gemma 2.
 */
export const alibiSoftcap = pattern('alibi-softcap', {
  cap: z.number().positive().default(50),
  slopes: f32('head'),
})
  .mask(({ q, k }) => k <= q)
  .score(
    ({ s, q, k, head }, { cap, slopes }) => cap * Math.tanh((s - slopes.at(head) * (q - k)) / cap),
  );
