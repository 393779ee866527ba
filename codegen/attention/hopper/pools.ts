// What stand-ins count for: as exponents of 2 that the softmax adds with the reference of a row, so that no score is
// touched for it but those of the last pool, which may be smaller.

import type { KernelContext } from '../backend.ts';
import { weighText } from '../scores.ts';
import type { HopperKnobs } from './knobs.ts';

/** log2 of the keys of a pool, where the softmax adds it; undefined where scores are exponents already, or no pools are. */
export const poolExponent = ({
  passes,
  score,
}: Pick<KernelContext<HopperKnobs>, 'passes' | 'score'>): number | undefined => {
  const rest = passes.find((pass) => pass.kind === 'rest');
  return rest && !score?.value ? Math.log2(rest.size) : undefined;
};

/** `weigh_pools`. Needs `Scores` and `place_of`. */
export const poolsText = (context: KernelContext<HopperKnobs>): string =>
  poolExponent(context) === undefined ? weighText : lastText;

const lastText = `// The last pool may stand for fewer keys than the others.
template <int blocks = score_blocks>
WARPLOOM_DEVICE void weigh_pools(const Unit& u, float scale, const Visit& visit, int column, Scores& s) {
  const int last = u.k_len / pool_size, keys = u.k_len % pool_size;
  if (keys == 0 || place_of(visit, blocks * 8 - 1) < last) return;
  const float less = (__log2f((float)keys) - __log2f((float)pool_size)) * __fdividef(1.f, scale);
#pragma unroll
  for (int j = 0; j < blocks; ++j)
#pragma unroll
    for (int e = 0; e < 2; ++e)
      if (place_of(visit, column + j * 8 + e) == last) {
        s[0][j][e] += less;
        s[0][j][2 + e] += less;
      }
}`;
