// The mask by boxes of 16 rows and 32 keys, as CUDA C: for kernels whose warps have one row block.

import { boundsText } from '../../bounds.ts';
import { scalarText } from '../../expression.ts';
import type { Names } from '../../names.ts';
import type { KernelPass } from '../passes.ts';
import { splitByRows } from '../rows.ts';
import { appliedText } from './applied.ts';
import { judgeBoxText, judgeText } from './judge.ts';
import { handedOnText } from './loads.ts';
import { byKind, type OwnMasks, ownMasks } from './own.ts';

/**
 * -inf where the mask is false. Lanes judge boxes first: most are allowed or refused whole. In the
 * others a lane asks for one key, row after row; what the rows of a warp share is asked once. For a row block a warp.
 */
export const boxed = (passes: readonly KernelPass[], names: Names): string => {
  const splits = splitsOf(passes);
  const some = splits.some((split) => split !== undefined);
  const own = ownBoxed(passes, names);
  const parts = passes.map(({ kind }, i) => {
    const split = splits[i];
    if (!split) return '';
    return `// What the rows of a warp share of the mask.
WARPLOOM_DEVICE bool shared_${kind}(const Unit& u, int q, int k) {
  return ${scalarText(split.shared, names)};
}
WARPLOOM_DEVICE Truth judge_own_${kind}(const Unit& u, Bounds q, Bounds k) {
  return ${boundsText(split.own, names)};
}
`;
  });
  const judged = byKind(passes, (kind, i) =>
    kind === 'rest' ? '{true, false}' : `judge_${splits[i] ? 'own_' : ''}${kind}(u, q, {from, to})`,
  );
  const shared = byKind(passes, (kind, i) =>
    splits[i] ? `key < u.k_len && shared_${kind}(u, q, key)` : undefined,
  );
  const sharedText = `
// The part of the mask that rows of a warp share.
WARPLOOM_DEVICE bool allowed_shared(const Unit& u, const Visit& visit, int q, int key) {
${shared}  return true;
}
`;
  const asksShared = `    if (word != 0u) {
      const int key = box * 32 + lane < keys ? key_of(u, p, index, visit, box * 32 + lane) : u.k_len;
      word = __ballot_sync(FULL_WARP, allowed_shared(u, visit, first_row, key));
    }
`;
  const hasPools = passes.some(({ kind }) => kind === 'rest');
  const loaded = own.loads
    ? `    const KeyLoads of_key = load_of_key(u, key);
    const QueryLoads of_own = load_of_query(u, first_row + (lane & 15));
`
    : '';
  const ask = own.call('first_row + r', 'of_key, loads_of_lane(of_own, r)');
  return `${parts.join('')}${own.text}${own.loads ? handedOnText('QueryLoads', own.loads) : ''}${judgeBoxText(judged)}${some ? sharedText : ''}
// -inf where the mask is false, in the first score blocks. Lanes judge boxes of 16 rows and 32 keys, most of which
// are allowed or refused whole; in the others each lane asks for one key, row after row.
template <int blocks = score_blocks>
WARPLOOM_DEVICE void mask_scores(const Unit& u, const Arguments& p, int index, const Visit& visit, int q, int column, Scores& s) {
${judgeText('    if (to >= u.k_len || first_key < 0) truth.may_not = true;\n')}  // The word of row r and box b lies in lane r + 16 * (b % 2), at b / 2: two registers hold what four boxes allow.
  u32 words[(boxes + 1) / 2] = {};
#pragma unroll 1
  for (int box = 0; box < boxes; ++box) {
    u32 word = some >> box & 1u ? FULL_WARP : 0u;
${some ? asksShared : ''}${hasPools ? poolsText : ''}#pragma unroll
    for (int i = 0; i < (boxes + 1) / 2; ++i)
      if (i == box >> 1 && lane >> 4 == (box & 1)) words[i] = word;
  }
#pragma unroll 1
  for (u32 left = mixed; left != 0; left &= left - 1) {
    const int box = __ffs(left) - 1;
    const int key = box * 32 + lane < keys ? key_of(u, p, index, visit, box * 32 + lane) : u.k_len;
${loaded}#pragma unroll ${own.loads ? 4 : 1}
    for (int r = 0; r < 16; ++r) {
      const u32 word = __ballot_sync(FULL_WARP, ${ask});
#pragma unroll
      for (int i = 0; i < (boxes + 1) / 2; ++i)
        if (i == box >> 1 && lane == r + 16 * (box & 1)) words[i] ${some ? '&' : ''}= word;
    }
  }
${appliedText('boxes', 'blocks', '__shfl_sync(FULL_WARP, words[box >> 1], own + 8 * half + 16 * (box & 1))')}
}`;
};

/** What the rows of a warp share of each pass's mask, and what is left to each. */
const splitsOf = (passes: readonly KernelPass[]) =>
  passes.map(({ kind, mask }) => (kind === 'rest' ? undefined : splitByRows(mask, rowsOfWarp)));

/** What is asked of each pair. */
export const ownBoxed = (passes: readonly KernelPass[], names: Names): OwnMasks =>
  ownMasks(
    passes,
    splitsOf(passes).map((split) => split?.own),
    names,
  );

/** Pools differ from each other, hardly from row to row: a lane judges one for all rows of the warp. */
const poolsText = `    if (visit.kind == STAND_INS) {
      const int pool = place_of(visit, box * 32 + lane);
      const bool there = box * 32 + lane < keys && (i64)pool * pool_size < u.k_len;
      const Truth truth = there ? judge_pool(u, {first_row, first_row + 15}, pool) : truth_of(false);
      word = __ballot_sync(FULL_WARP, truth.may);
      if (__any_sync(FULL_WARP, truth.may && truth.may_not)) mixed |= 1u << box;
    }
`;

/** They begin at a multiple of it among the positions. */
const rowsOfWarp = 16;
