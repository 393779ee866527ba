// The mask by words of 32 keys, as CUDA C: for kernels whose warps have one row block, and masks of which a lane finds what
// a query may attend to without asking for each pair.

import { isUnaligned } from '../../keys.ts';
import type { KernelContext } from '../backend.ts';
import { wordsText } from '../words.ts';
import { appliedText } from './applied.ts';

/** `keys_for` of the only pass; undefined where its mask is no word. */
export function wordsOf({
  passes,
  knobs,
  names,
}: Pick<KernelContext, 'passes' | 'knobs' | 'names'>): string | undefined {
  const [pass, ...more] = passes;
  if (pass?.kind !== 'tiles' || more.length > 0) return undefined;
  const multiple = isUnaligned(pass.mask) ? 1 : knobs.kTile;
  return wordsText('keys_for', pass.mask, { size: 1, multiple }, names);
}

/** -inf where the mask is false: each lane finds a word for half of the boxes, of one row. */
export const worded = (words: string): string => `${words}

// -inf where the mask is false, in the first score blocks.
template <int blocks = score_blocks>
WARPLOOM_DEVICE void mask_scores(const Unit& u, const Arguments& p, int index, const Visit& visit, int q, int column, Scores& s) {
  constexpr int boxes = (blocks * 8 + 31) / 32;
  const int lane = threadIdx.x & 31, own = lane >> 2, row = q - own + (lane & 15);
  // The word of row r and box b lies in lane r + 16 * (b % 2), at b / 2: two registers hold what four boxes allow.
  u32 words[(boxes + 1) / 2];
#pragma unroll
  for (int i = 0; i < (boxes + 1) / 2; ++i) words[i] = keys_for(u, row, place_of(visit, (2 * i + (lane >> 4)) * 32));
${appliedText('boxes', 'blocks', '__shfl_sync(FULL_WARP, words[box >> 1], own + 8 * half + 16 * (box & 1))')}
}`;
