// The walk over a set of blocks of keys, the last block first. Of a set of two axes each warpgroup has its own
// row; 32 lanes hold the bits of 4096 blocks of both.

import { scalarText } from '../../expression.ts';
import type { Names } from '../../names.ts';
import { setWords } from './set-words.ts';
import type { BoxWalk } from './walks.ts';

/** `walk_blocks`. Needs `ask_box` and `linear_keys`. */
export const blocksText = (
  { set, row, block, shift }: BoxWalk & { readonly form: 'blocks' },
  names: Names,
): string => `${setWords}
// The last member up to \`to\` in the words of either row, or -1.
WARPLOOM_DEVICE int last_member(const Words (&words)[groups], int base, int to) {
  int last = -1;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int word = base + (int)(threadIdx.x & 31) * 4 + i;
    u32 bits = words[0].own[i] | words[1].own[i];
    if (word * 32 + 31 > to) bits &= to >= word * 32 ? FULL_WARP >> (31 - (to - word * 32)) : 0u;
    if (bits != 0u) last = word * 32 + 31 - __clz((int)bits);
  }
  const u32 found = __ballot_sync(FULL_WARP, last >= 0);
  return found == 0u ? -1 : __shfl_sync(FULL_WARP, last, 31 - __clz((int)found));
}

// Boxes of the blocks that a set has, for either warpgroup.
template <typename Take>
WARPLOOM_DEVICE void walk_blocks(const Unit& u, const Task& task, Take& take) {
  constexpr int block = ${block}, shift = ${shift};  // block m has keys from m * block - shift on
  const SetView& set = u.${names('set', set)};
  const u32* rows[groups];
  int least = NO_MEMBER, next = -1;
#pragma unroll
  for (int group = 0; group < groups; ++group) {
    const int q = task.start + group * 64, row = own_row(set, ${row ? scalarText(row, names) : '0'});
    rows[group] = (u32)row < (u32)set.rows ? set.bits + (i64)row * set.stride : nullptr;
    const Bounds own = rows_of(task, group), keys = linear_keys(u, own.lo, own.hi);
    if (own.lo > own.hi || keys.lo > keys.hi) continue;
    least = min(least, floor_div(clamp_int((i64)keys.lo + shift), block));
    next = max(next, floor_div(clamp_int((i64)keys.hi + shift), block));
  }
  least = max(least, 0);
  next = min(next, set.columns - 1);
  int base = (next >> 5) - 127;
  auto load = [&](Words (&words)[groups]) {
#pragma unroll
    for (int group = 0; group < groups; ++group)
      words[group] = load_words(rows[group], rows[group] ? set.stride : 0, base);
  };
  Words words[groups];
  if (next >= least) load(words);
  // In each round lanes i and 16 + i have box i, for one warpgroup each. A block may be several boxes.
  const int place = threadIdx.x & 15, group = (threadIdx.x & 31) >> 4;
  int member = -1, part = 0;  // the block at hand, and its boxes that are left
#pragma unroll 1
  while (next >= least || part > 0) {
    Box box = {};
    int at = 0;
    u32 asks = 0u;
    bool there = false;
    u32 asked_now = 0u;
#pragma unroll 1
    for (int i = 0; i < 16; ++i) {
      while (part == 0 && next >= least) {
        member = last_member(words, base, next);
        if (member < least) {
          next = min(next, base * 32 - 1);
          base -= 128;
          if (next >= least) load(words);
          continue;
        }
        next = member - 1;
        part = block / box_keys;
        asked_now = 0u;
#pragma unroll
        for (int g = 0; g < groups; ++g) asked_now |= (word_at(words[g], (member >> 5) - base) >> (member & 31) & 1u) << g;
      }
      if (part == 0) break;
      --part;
      if (place == i) {
        at = member * block - shift + part * box_keys;
        asks = asked_now;
        there = true;
      }
    }
    box.at = at;
    if (there && (asks >> group & 1u) != 0u) ask_box(u, task, group, at, ~0ull, box);
    join_halves(box);
    take(box);
  }
}
`;
