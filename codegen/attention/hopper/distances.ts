// The walk over a set of distances: its members are the same for every tile of queries, each a key at its own
// place for each warpgroup. No list is made of them: 32 lanes hold the bits of 4096 distances, and a box begins
// where its first member is.

import { scalarText } from '../../expression.ts';
import type { Names } from '../../names.ts';
import { setWords } from './set-words.ts';
import type { BoxWalk } from './walks.ts';

/** `walk_distances`. Needs `ask_box` and `linear_keys`. */
export function distancesText(
  { set, search }: BoxWalk & { readonly form: 'distances' },
  names: Names,
): string {
  const { sign, rest } = search;
  const [start, from, to] =
    sign === 1
      ? ['member - own_rest', 'rest[group] + keys.lo', 'rest[group] + keys.hi']
      : ['own_rest - member - (box_keys - 1)', 'rest[group] - keys.hi', 'rest[group] - keys.lo'];
  const reversed = sign === 1 ? 'own_bits' : 'reversed(own_bits)';
  return `${setWords}
// Forgets members before \`next\`.
WARPLOOM_DEVICE void forget(Words& words, int base, int next) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int past = next - (base + (int)(threadIdx.x & 31) * 4 + i) * 32;
    if (past > 0) words.own[i] = past < 32 ? words.own[i] & FULL_WARP << past : 0u;
  }
}
// The first member in the words but the last two, or NO_MEMBER.
WARPLOOM_DEVICE int first_member(const Words& words, int base) {
  const int lane = threadIdx.x & 31;
  int first = NO_MEMBER;
#pragma unroll
  for (int i = 3; i >= 0; --i)
    if (words.own[i] != 0u && lane * 4 + i < 126) first = (base + lane * 4 + i) * 32 + __ffs(words.own[i]) - 1;
  const u32 found = __ballot_sync(FULL_WARP, first != NO_MEMBER);
  return found == 0u ? NO_MEMBER : __shfl_sync(FULL_WARP, first, __ffs(found) - 1);
}

// Boxes of keys at the distances that a set has, in the order of its members. What a member is for one
// warpgroup, another may be for the next: such a box is taken once, for both.
template <typename Take>
WARPLOOM_DEVICE void walk_distances(const Unit& u, const Task& task, Take& take) {
  const SetView& set = u.${names('set', set)};
  int rest[groups], next = NO_MEMBER, most = -1;
#pragma unroll
  for (int group = 0; group < groups; ++group) {
    const int q = task.start + group * 64;
    rest[group] = ${scalarText(rest, names)};
    const Bounds rows = rows_of(task, group), keys = linear_keys(u, rows.lo, rows.hi);
    if (rows.lo > rows.hi || keys.lo > keys.hi) continue;
    next = min(next, clamp_int((i64)${from}));
    most = max(most, clamp_int((i64)${to}));
  }
  next = max(next, 0);
  most = min(most, set.columns - 1);
  if (set.rows == 0 || next > most) return;
  int base = next >> 5;
  Words words = load_words(set.bits, set.stride, base), following = load_words(set.bits, set.stride, base + 126), left = words;
  forget(left, base, next);
  // In each round lane i has member i for the first warpgroup and lane 16 + i has it for the second. Member 0 is the
  // last one of the round before: what it is for the first, the next may be for the second.
  constexpr int most_members = 10;
  const int lane = threadIdx.x & 31, place = lane & 15, group = lane >> 4;
  const int own_rest = group == 0 ? rest[0] : rest[1], apart = rest[0] == rest[1] ? 0 : 1;
  int member = 0;
  u64 bits = 0ull;
  bool ends = false, has_older = false;
#pragma unroll 1
  while (!ends) {
    int members = 1, found = NO_MEMBER;
#pragma unroll 1
    for (; members < most_members; ++members) {
      found = first_member(left, base);
      if (found > most) break;
      if (place == members) member = found;
      next = found + box_keys;
      forget(left, base, next);
    }
    const u64 own_bits = bits_at(words, member - base * 32 & 4095);
    if (place > 0) bits = ${reversed};
    const int count = members;
    if (members < most_members) {  // there are no more in these words
      base += 126;
      ends = found != NO_MEMBER || base * 32 > most;
      words = left = following;
      following = load_words(set.bits, set.stride, base + 126);
      forget(left, base, next);
      if (members == 1 && !ends) continue;
    }
    Box box = {};
    box.at = ${start};
    const bool is_new = place > 0 && place < count;
    const bool is_older = place == 0 && has_older;
    if (group == 1 ? is_new : apart == 0 ? is_new : (is_new || is_older) && (ends || place < count - 1))
      ask_box(u, task, group, box.at, bits, box);
    // A box of both: the second warpgroup takes it.
    const int partner = group == 0 ? place + apart : place - apart;
    const Box other = box_of_lane(box, (group == 0 ? 16 : 0) + (partner & 15));
    if (partner >= 0 && partner < 16 && box.asked != 0u && other.asked != 0u && other.at == box.at) {
      box.asked = group == 0 ? 0u : 3u;
      box.ready |= other.ready;
      box.keep[0] = other.keep[0];
    }
    take(box);
    member = __shfl_sync(FULL_WARP, member, count - 1);
    bits = __shfl_sync(FULL_WARP, bits, count - 1);
    has_older = has_older || count > 1;
  }
}
`;
}
