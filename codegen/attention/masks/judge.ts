// Boxes of 16 rows and 32 keys that lanes judge before pairs are asked, as CUDA C.

/** `judge_box`, by the kind of a visit. */
export const judgeBoxText = (
  judged: string,
): string => `// What a box of queries and keys can be, by what its rows are asked each.
WARPLOOM_DEVICE Truth judge_box(const Unit& u, const Visit& visit, Bounds q, int from, int to) {
${judged}  return {true, true};
}
`;

/**
 * Judges the boxes: `some`, those with allowed pairs, and `mixed`, those with others as well. Keys that do not exist
 * are such others where nobody else takes care of them.
 */
export const judgeText = (
  edges = '',
): string => `  constexpr int keys = blocks * 8, boxes = (keys + 31) / 32;
  const int lane = threadIdx.x & 31, own = lane >> 2, first_row = q - own;
  Truth truth = {false, true};
  if (lane < boxes) {
    const int first_key = key_of(u, p, index, visit, lane * 32), from = max(first_key, 0);
    const int to = key_of(u, p, index, visit, min(lane * 32 + 31, keys - 1));
    if (from < u.k_len && to >= 0) truth = judge_box(u, visit, {first_row, first_row + 15}, from, min(to, u.k_len - 1));
${edges}  }
  const u32 some = __ballot_sync(FULL_WARP, truth.may);
  u32 mixed = some & __ballot_sync(FULL_WARP, truth.may_not);
`;
