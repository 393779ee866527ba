// The mask where the walk found out which keys all rows of a warpgroup may attend to, as CUDA C: those are bits, and what
// is left of the mask is asked of the pairs.

import type { Expression } from '../../../dsl/expression.ts';
import { isQuick } from '../../expression.ts';
import type { KernelPass } from '../passes.ts';
import { visitKinds } from '../walk.ts';
import { judgeBoxText, judgeText } from './judge.ts';
import { byKind } from './own.ts';

/** -inf where the mask is false. What is left to ask mostly costs little: then each pair asks it, else by boxes. */
export const kept = (passes: readonly KernelPass[], left: readonly Expression[]): string => {
  const isPlain = passes.every(({ kind }) => kind !== 'rest') && left.every(isQuick);
  const judged = byKind(passes, (kind) =>
    kind === 'rest' ? '{true, true}' : `judge_own_${kind}(u, q, {from, to})`,
  );
  const asked = byKind(passes, (kind) =>
    kind === 'rest' ? 'allowed(u, visit, q, key)' : `own_${kind}(u, q, key)`,
  );
  const ownText = `${judgeBoxText(judged)}WARPLOOM_DEVICE bool allowed_own(const Unit& u, const Visit& visit, int q, int key) {
${asked}  return true;
}
`;
  return `${isPlain ? '' : ownText}
// -inf where the mask is false, in the first score blocks. \`keep\`: a bit for each key that the walk lets through;
// \`ready\`: the mask asks no more.
template <int blocks = score_blocks>
WARPLOOM_DEVICE void mask_scores(const Unit& u, const Arguments& p, int index, const Visit& visit, int q, int column, Scores& s,
                                 const u32 (&keep)[score_blocks / 4], bool ready) {
  // Keys that all rows lose: at the end of a run of members they are in one word.
#pragma unroll
  for (int word = 0; word < blocks / 4; ++word) {
    if (keep[word] == FULL_WARP) continue;
    const u32 own = keep[word] >> column;
#pragma unroll
    for (int j = 0; j < 4; ++j)
#pragma unroll
      for (int e = 0; e < 2; ++e)
        if (!(own >> (j * 8 + e) & 1u)) s[0][word * 4 + j][e] = s[0][word * 4 + j][2 + e] = NEGATIVE_INFINITY;
  }
  if (ready) return;
${isPlain ? passes.map(({ kind }) => pairsText(kind)).join('') : leftBoxesText}}`;
};

/** Asks for each pair what the walk left. Keys of a list are loaded by one lane each. */
const pairsText = (kind: KernelPass['kind']): string => {
  const listed = kind === 'columns';
  return `  if (visit.kind == ${visitKinds[kind]}) {
#pragma unroll
    for (int word = 0; word < blocks / 4; ++word) {
${listed ? '      const int held = key_of(u, p, index, visit, word * 32 + (threadIdx.x & 31));\n' : ''}#pragma unroll
      for (int j = 0; j < 4; ++j)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          const int key = ${listed ? '__shfl_sync(FULL_WARP, held, column + j * 8 + e)' : 'key_of(u, p, index, visit, column + word * 32 + j * 8 + e)'};
#pragma unroll
          for (int half = 0; half < 2; ++half)
            if (!own_${kind}(u, q + 8 * half, key)) s[0][word * 4 + j][half * 2 + e] = NEGATIVE_INFINITY;
        }
    }
  }
`;
};

/**
 * Lanes judge boxes of 16 rows and 32 keys, most of which are allowed or refused whole; in the others each lane asks
 * for one key, row after row.
 */
const leftBoxesText = `${judgeText()}  u32 bits[boxes][2];  // of this lane's two rows
#pragma unroll
  for (int box = 0; box < boxes; ++box) bits[box][0] = bits[box][1] = some >> box & 1u ? FULL_WARP : 0u;
#pragma unroll 1
  for (u32 left = mixed; left != 0; left &= left - 1) {
    const int box = __ffs(left) - 1;
    // The walk has refused keys that there are not; integers are proved for no others.
    const int key = min(max(key_of(u, p, index, visit, box * 32 + lane), 0), u.k_len - 1);
    u32 found[2] = {0u, 0u};
#pragma unroll 1
    for (int r = 0; r < 16; ++r) {
      const u32 word = __ballot_sync(FULL_WARP, allowed_own(u, visit, first_row + r, key));
      if (r == own) found[0] = word;
      if (r == own + 8) found[1] = word;
    }
#pragma unroll
    for (int i = 0; i < boxes; ++i)
      if (i == box) {
        bits[i][0] = found[0];
        bits[i][1] = found[1];
      }
  }
#pragma unroll
  for (int box = 0; box < boxes; ++box) {
    if ((some & ~mixed) >> box & 1u) continue;
#pragma unroll
    for (int half = 0; half < 2; ++half)
#pragma unroll
      for (int j = 4 * box; j < 4 * box + 4; ++j) {
        const u32 pairs = bits[box][half] >> column >> (j & 3) * 8;
        if (!(pairs & 1u)) s[0][j][half * 2] = NEGATIVE_INFINITY;
        if (!(pairs & 2u)) s[0][j][half * 2 + 1] = NEGATIVE_INFINITY;
      }
  }
`;
