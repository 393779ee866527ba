// The mask pair by pair, as CUDA C, where all that costs much is asked of a key alone or of a query alone.

import { isQuick } from '../../expression.ts';
import type { Names } from '../../names.ts';
import type { KernelPass } from '../passes.ts';
import { handedOnText, type SplitLoads } from './loads.ts';
import { type OwnMasks, ownMasks } from './own.ts';

type Loaded = OwnMasks & { readonly loads: SplitLoads };

/** A key has so many values at most: a lane asks another for each, for every two pairs. */
const mostLoads = 2;

/** What is asked of each pair of the only pass; undefined where that costs more than numbers that are at hand. */
export function ownLoaded(passes: readonly KernelPass[], names: Names): Loaded | undefined {
  if (passes.length > 1 || passes[0]?.kind !== 'tiles') return undefined;
  const own = ownMasks(passes, [], names);
  const { loads } = own;
  return loads?.masks.every(isQuick) && loads.ofKey.length <= mostLoads
    ? { ...own, loads }
    : undefined;
}

/** -inf where the mask is false: each lane loads what is asked of one key in 32, all before the first pair, and of its rows. */
export const loaded = ({
  text,
  loads,
  call,
}: Loaded): string => `${text}${handedOnText('KeyLoads', loads)}
// -inf where the mask is false, in the first score blocks. Lanes hand on what each has loaded of a key.
template <int blocks = score_blocks>
WARPLOOM_DEVICE void mask_scores(const Unit& u, const Arguments& p, int index, const Visit& visit, int q, int column, Scores& s) {
  constexpr int boxes = (blocks * 8 + 31) / 32;
  KeyLoads of_keys[boxes];
#pragma unroll
  for (int box = 0; box < boxes; ++box) of_keys[box] = load_of_key(u, key_of(u, p, index, visit, box * 32 + (threadIdx.x & 31)));
  QueryLoads of_query[2 * row_blocks];
#pragma unroll
  for (int r = 0; r < 2 * row_blocks; ++r) of_query[r] = load_of_query(u, q + 8 * r);
#pragma unroll
  for (int j = 0; j < blocks; ++j)
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const int key = key_of(u, p, index, visit, column + j * 8 + e);
      const KeyLoads of_key = loads_of_lane(of_keys[j / 4], column + j % 4 * 8 + e);
#pragma unroll
      for (int r = 0; r < 2 * row_blocks; ++r)
        if (!${call('q + 8 * r', 'of_key, of_query[r]')}) s[r / 2][j][r % 2 * 2 + e] = NEGATIVE_INFINITY;
    }
}`;
