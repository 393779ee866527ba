// The walk over a set of blocks of keys, the last block first. Of a set of two axes each warpgroup has its own
// row; 32 lanes hold the bits of 4096 blocks of both.

import { scalarText } from '../../expression.ts';
import type { Names } from '../../names.ts';
import type { BoxWalk } from './walks.ts';

/** `walk_blocks`. Needs `ask_box`, `linear_keys`, `nth_bit` and `Words`. */
export const blocksText = (
  { set, row, block, shift }: BoxWalk & { readonly form: 'blocks' },
  names: Names,
): string => `// Boxes of the blocks that a set has, for either warpgroup.
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
  if (next < least) return;
  // In each round lanes i and 16 + i have box i, for one warpgroup each. A block may be several boxes.
  constexpr int parts = block / box_keys, most_members = 16 / parts;
  const int lane = threadIdx.x & 31, place = lane & 15, group = lane >> 4;
#pragma unroll 1
  for (int base = (next >> 5) - 127; base * 32 + 4095 >= least; base -= 128) {
    Words words[groups], any;
    int own = 0;  // members that this lane holds, and after the scan those of the lanes above as well
#pragma unroll
    for (int g = 0; g < groups; ++g) words[g] = load_words(rows[g], rows[g] ? set.stride : 0, base);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int word = base + lane * 4 + i;
      const bool is_inside = word * 32 <= next && word * 32 + 31 >= least;
      any.own[i] = is_inside ? (words[0].own[i] | words[1].own[i]) & bits_between(word, least, next) : 0u;
      own += __popc(any.own[i]);
    }
    int up_to = own;
#pragma unroll
    for (int step = 1; step < 32; step *= 2) {
      const int above = __shfl_down_sync(FULL_WARP, up_to, step);
      if (lane + step < 32) up_to += above;
    }
    const int all = __shfl_sync(FULL_WARP, up_to, 0);
    const bool is_last = (base - 128) * 32 + 4095 < least;  // it has a round even without members: the end is told there
#pragma unroll 1
    for (int from = 0; from < all || (is_last && from == 0); from += most_members) {
      // The member of this rank, the last one first: which lane holds it, and where.
      int rank = from + place / parts, holder = 0;
      const bool there = place < most_members * parts && rank < all;
#pragma unroll
      for (int step = 16; step > 0; step /= 2)
        if (__shfl_sync(FULL_WARP, up_to, holder + step) > rank) holder += step;
      rank -= __shfl_sync(FULL_WARP, up_to - own, holder);
      int word = -1;
      u32 bits = 0u;
#pragma unroll
      for (int i = 3; i >= 0; --i) {
        const u32 held = __shfl_sync(FULL_WARP, any.own[i], holder);
        const int some = __popc(held);
        if (word < 0 && rank < some) {
          word = holder * 4 + i;
          bits = held;
        }
        if (word < 0) rank -= some;
      }
      const int bit = nth_bit(bits, max(__popc(bits) - 1 - rank, 0)) & 31, member = (base + word) * 32 + bit;
      u32 asks = 0u;
#pragma unroll
      for (int g = 0; g < groups; ++g) asks |= (word_at(words[g], max(word, 0)) >> bit & 1u) << g;
      Box box = {};
      if (there) box.at = member * block - shift + (parts - 1 - place % parts) * box_keys;
      if (there && (asks >> group & 1u) != 0u) ask_box(u, task, group, box.at, ~0ull, box);
      join_halves(box);
      take(box, is_last && from + most_members >= all);
    }
  }
}
`;
