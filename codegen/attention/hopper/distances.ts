// The walk over a set of distances: boxes of its members are the same for every tile of queries (members.ts), each at
// its own keys for each warpgroup.

import { scalarText } from '../../expression.ts';
import type { Names } from '../../names.ts';
import type { BoxWalk } from './walks.ts';

/** `walk_distances`. Needs `ask_box`, `linear_keys`, `Member` and `reversed`. */
export function distancesText(
  { set, search }: BoxWalk & { readonly form: 'distances' },
  names: Names,
): string {
  const { sign, rest } = search;
  const [start, from, to] =
    sign === 1
      ? ['first - own_rest', 'rest[group] + keys.lo', 'rest[group] + keys.hi']
      : ['own_rest - first - (box_keys - 1)', 'rest[group] - keys.hi', 'rest[group] - keys.lo'];
  return `// Boxes of keys at the distances that a set has, in the order of its members. What a member is for one
// warpgroup, another may be for the next: such a box is taken once, for both.
template <typename Take>
WARPLOOM_DEVICE void walk_distances(const Arguments& p, const Task& task, Take& take) {
  const Unit& u = task.unit;
  int rest[groups], least = NO_MEMBER, most = -1;
#pragma unroll
  for (int group = 0; group < groups; ++group) {
    const int q = task.start + group * 64;
    rest[group] = ${scalarText(rest, names)};
    const Bounds rows = rows_of(task, group), keys = linear_keys(u, rows.lo, rows.hi);
    if (rows.lo > rows.hi || keys.lo > keys.hi) continue;
    least = min(least, clamp_int((i64)${from}));
    most = max(most, clamp_int((i64)${to}));
  }
  most = min(most, u.${names('set', set)}.columns - 1);
  if (least > most) return;
  const Member* members = p.members + (i64)task.index * p.members_capacity;
  const int count = p.members_count[task.index];
  int from = 0;  // the first box that reaches as far as \`least\`
  for (int to = least > 0 ? count : 0; from < to;) {
    const int middle = (from + to) / 2;
    if (members[middle].first + (box_keys - 1) < least) from = middle + 1;
    else to = middle;
  }
  // In each round lane i has box i for the first warpgroup and lane 16 + i has it for the second. Box 0 is the last
  // one of the round before: what it is for the first, the next may be for the second.
  constexpr int most_fresh = 11;
  const int lane = threadIdx.x & 31, place = lane & 15, group = lane >> 4;
  const int own_rest = group == 0 ? rest[0] : rest[1], apart = rest[0] == rest[1] ? 0 : 1;
  auto load = [&](int base) -> Member {
    const int at = base + place - 1;
    return place > 0 && at < count ? members[at] : Member{NO_MEMBER, 0ull};
  };
  Member coming = load(from), older = {NO_MEMBER, 0ull};
  bool ends = false;
#pragma unroll 1
  while (!ends) {
    const Member own = place == 0 ? older : coming;
    from += most_fresh;
    coming = load(from);
    const u32 fresh = __ballot_sync(FULL_WARP, place > 0 && place <= most_fresh && own.first <= most) & 0xffffu;
    const int last = __popc(fresh);  // the place of the last one
    ends = last < most_fresh;
    const int first = (int)own.first;
    Box box = {};
    box.at = ${start};
    const bool is_there = own.first <= most && (place == 0 || (fresh >> place & 1u) != 0u);
    if (group == 1 || apart == 0 ? is_there && place > 0 : is_there && (ends || place < last))
      ask_box(u, task, group, box.at, ${sign === 1 ? 'own.bits' : 'reversed(own.bits)'}, box);
    // A box of both: the second warpgroup takes it.
    const int partner = group == 0 ? place + apart : place - apart;
    const Box other = box_of_lane(box, (group == 0 ? 16 : 0) + (partner & 15));
    if (partner >= 0 && partner < 16 && box.asked != 0u && other.asked != 0u && other.at == box.at) {
      box.asked = group == 0 ? 0u : 3u;
      box.ready |= other.ready;
      box.keep[0] = other.keep[0];
    }
    older.first = __shfl_sync(FULL_WARP, own.first, last);
    older.bits = __shfl_sync(FULL_WARP, own.bits, last);
    take(box, ends);
  }
}
`;
}
