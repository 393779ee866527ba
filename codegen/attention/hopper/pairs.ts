// The walk for slots of two or three boxes: which boxes of keys each warpgroup asks for, and which of them share a
// slot. Two that both ask for fill one; one of each warpgroup's own go together, and with room for three a common one
// between them, so that each works on two.

import { walk } from '../../../dsl/expression.ts';
import { boundsText } from '../../bounds.ts';
import { scalarText } from '../../expression.ts';
import { isUnaligned, keyBoundsText, lastText } from '../../keys.ts';
import type { KernelContext } from '../backend.ts';
import type { KernelPass } from '../passes.ts';
import { sameForRows } from '../rows.ts';
import { visitKinds } from '../walk.ts';
import { blocksText } from './blocks.ts';
import { distancesText } from './distances.ts';
import { boxKeys, type HopperKnobs } from './knobs.ts';
import { boxesText, listText } from './rounds.ts';
import { walkOf } from './walks.ts';

/** Why there is no such walk for a pattern, or undefined. */
export const pairsProblem = (
  passes: readonly KernelPass[],
  knobs: HopperKnobs,
): string | undefined =>
  passes.some((pass) => isUnaligned(pass.mask) && walkOf(pass, boxKeys(knobs)).form === 'boxes')
    ? 'boxes of keys at distances from each query are not alike for 64 rows'
    : undefined;

/** Masks of more nodes are asked in too many places of such a kernel: its compilation would take minutes. */
const mostNodes = 60;

/** Do sets that a mask asks differ within 128 rows, so that warpgroups of 64 may need other keys? */
export function mayAskApart(passes: readonly KernelPass[]): boolean {
  const nodes = passes.flatMap(({ mask }) => [...walk(mask)]);
  const differ = nodes.some((part) => part.op === 'has' && !sameForRows(part, 128));
  return differ && nodes.length <= mostNodes;
}

/**
 * The set of tiles that such a mask walks over, if it does: then the kernel is taken untuned. At distances, the keys
 * of the first warpgroup are mostly those of the second, shifted.
 */
export function asksApart(passes: readonly KernelPass[]): 'distances' | 'blocks' | undefined {
  const tiles = passes.find(({ kind }) => kind === 'tiles');
  if (!tiles || !mayAskApart(passes)) return undefined;
  const { form } = walkOf(tiles, 64);
  return form === 'distances' || form === 'blocks' ? form : undefined;
}

/** `struct Visit` and `place_of` of a step on two boxes. */
export const pairText = `// Keys, entries or pools: one box from \`at\` on, another from \`second\` on.
struct Visit {
  Kind kind;
  int at, second;
};
WARPLOOM_DEVICE int place_of(const Visit& visit, int column) {
  return column < box_keys ? visit.at + column : visit.second + column - box_keys;
}`;

/** Functions that the walk needs. */
export function pairsFunctions({ passes, knobs, names }: KernelContext<HopperKnobs>): string {
  const walks = passes.map((pass) => {
    const way = walkOf(pass, boxKeys(knobs));
    if (pass.kind === 'rest') return '';
    const own = `// What the walk leaves of the mask to ask, for a pair and for a box of pairs.
WARPLOOM_DEVICE bool own_${pass.kind}(const Unit& u, int q, int k) {
  return ${scalarText(way.own, names)};
}
WARPLOOM_DEVICE Truth judge_own_${pass.kind}(const Unit& u, Bounds q, Bounds k) {
  return ${boundsText(way.own, names)};
}
`;
    if (way.form === 'list')
      return `${own}// What a mask asks once for each entry of the list.
WARPLOOM_DEVICE bool listed(const Unit& u, int q, int k) {
  return ${scalarText(way.shared, names)};
}
`;
    if (way.form === 'boxes')
      return `${own}// The last key that a query of [q0, q1] may attend to, or one after it.\n${lastText('last_tiles', pass.mask, names)}\n`;
    return `${own}// The keys that are left by what is linear.
${keyBoundsText('linear_keys', way.own, names)}
${askText}
${way.form === 'distances' ? distancesText(way, names) : blocksText(way, names)}`;
  });
  return `${boxesOf}${walks.join('')}`;
}

const boxesOf = `// The queries of a warpgroup: none where the last is before the first.
WARPLOOM_DEVICE Bounds rows_of(const Task& task, int group) {
  const int first = task.start + group * 64;
  return {max(first, task.unit.offset), min(first + 63, task.unit.k_len - 1)};
}

// A box of keys. By a bit for each warpgroup: who asks for it, and for whom no more than \`keep\` decides its pairs.
struct Box {
  int at;
  u32 asked, ready;
  u64 keep[groups];  // the keys that a warpgroup may attend to, so far
};
#define WHOLE_BOX (~0ull >> (64 - box_keys))

// Who asks for a box, for whom it is ready, and for whom all keys of it are: two bits each.
WARPLOOM_DEVICE u32 asking(const Box& own) {
  u32 whole = 0u;
#pragma unroll
  for (int group = 0; group < groups; ++group) whole |= own.keep[group] == WHOLE_BOX ? 1u << group : 0u;
  return own.asked | (own.ready & own.asked) << 2 | (own.ready & own.asked & whole) << 4;
}

// The place of the n-th bit that is set.
WARPLOOM_DEVICE int nth_bit(u32 bits, int n) {
  int place = 0;
#pragma unroll
  for (int step = 16; step > 0; step /= 2) {
    const int below = __popc(bits >> place & ((1u << step) - 1));
    if (n < below) continue;
    n -= below;
    place += step;
  }
  return place;
}
WARPLOOM_DEVICE Box box_of_lane(const Box& box, int lane) {
  Box other;
  other.at = __shfl_sync(FULL_WARP, box.at, lane);
  other.asked = __shfl_sync(FULL_WARP, box.asked, lane);
  other.ready = __shfl_sync(FULL_WARP, box.ready, lane);
#pragma unroll
  for (int group = 0; group < groups; ++group) other.keep[group] = __shfl_sync(FULL_WARP, box.keep[group], lane);
  return other;
}
// Lanes 16 and up have asked for the boxes of the first 16 lanes in the name of the second warpgroup.
WARPLOOM_DEVICE void join_halves(Box& box) {
  const Box other = box_of_lane(box, (threadIdx.x & 31) | 16);
  box.asked |= other.asked;
  box.ready |= other.ready;
  box.keep[1] = other.keep[1];
  if ((threadIdx.x & 31) >= 16) box.asked = 0u;
}

`;

const askText = `// Asks for a box in the name of a warpgroup. \`bits\`: its keys that are members.
WARPLOOM_DEVICE void ask_box(const Unit& u, const Task& task, int group, int at, u64 bits, Box& box) {
  const Bounds rows = rows_of(task, group);
  const int from = max(at, 0), to = min(at + box_keys, u.k_len) - 1;
  if (from > to || rows.lo > rows.hi) return;
  const Truth truth = judge_own_tiles(u, rows, {from, to});
  bits &= ~0ull >> (63 - (to - at)) & ~0ull << (from - at);
  if (!truth.may || bits == 0ull) return;
  box.asked = 1u << group;
  box.ready = truth.may_not ? 0u : 1u << group;
  box.keep[0] = group == 0 ? bits : 0ull;
  box.keep[1] = group == 1 ? bits : 0ull;
}
`;

/** `walk_keys`: pushes the pieces of the task that was picked. Needs `publish`. */
export function pairsWalk(context: KernelContext<HopperKnobs>): string {
  const { passes } = context;
  return `  // The keys of the task that was picked, a few boxes at a time. A lane holds a box that waits for another, or is of
  // the piece that is pushed when it is known whether one follows.
  auto walk_keys = [&]() {
    const int task_place = count % task_count;
    const Task& task = c.tasks[task_place];
    const Unit& u = task.unit;
    int kind = ${visitKinds[passes[0]!.kind]};
    Box own = {};
    int holders[3] = {32, 32, 32}, flags = 0;  // the next piece: lanes that hold its boxes, 32 for none
    bool waits = false, opened = false;
    auto emit = [&](int first, int second, int third, int what) {
      if (waits) {
        const int place = pushed % queue_length;
        const u32 asks = asking(own);
        flags |= what & PIECE_LAST;
        u32 asked[3];
        int boxes = 0;
#pragma unroll
        for (int i = 0; i < 3; ++i) {
          asked[i] = holders[i] < 32 ? __shfl_sync(FULL_WARP, asks, holders[i]) : 0u;
          if (holders[i] < 32) ++boxes;
        }
        flags |= (flags & PIECE_OPENS ? 2 : boxes) << 24;
        // Each warpgroup works on the first two of its boxes; of three, the second begins at the second one.
        int source = 32;  // of the keys that a lane writes: for warpgroup lane / 2 those of its box lane % 2
#pragma unroll
        for (int group = 0; group < groups; ++group) {
          int from = boxes == 3 ? group : 0;
          const u32 one = (boxes == 3 && group == 1 ? asked[1] : asked[0]) >> group & 21u;
          const u32 two = (boxes == 3 && group == 1 ? asked[2] : asked[1]) >> group & 21u;
          u32 bits = one | two << 1;
          if ((bits & 3u) == 2u && !(flags & PIECE_OPENS)) {
            bits = two;
            ++from;
          }
          flags |= (int)(bits | (u32)from << 6) << (8 + 8 * group);
          const int wanted = from + (lane & 1);
          if (lane >> 1 == group) source = wanted == 0 ? holders[0] : wanted == 1 ? holders[1] : holders[2];
        }
        const u64 keep[groups] = {__shfl_sync(FULL_WARP, own.keep[0], source & 31), __shfl_sync(FULL_WARP, own.keep[1], source & 31)};
        barrier_wait(c.piece_empty[place], (pushed / queue_length & 1) ^ 1);
        Piece& piece = c.queue[place];
        if (lane < 2 * groups) piece.keep[lane >> 1][lane & 1] = source == 32 ? 0ull : lane < 2 ? keep[0] : keep[1];
        if (lane == 0) {
          piece.what = flags;
          piece.task = task_place;
          piece.at = 0;
          piece.more[0] = piece.more[1] = u.k_len;
        }
        __syncwarp();
        if (lane == holders[0]) piece.at = own.at;
        if (lane == holders[1]) piece.more[0] = own.at;
        if (lane == holders[2]) piece.more[1] = own.at;
        if (lane == holders[0] || lane == holders[1] || lane == holders[2]) own.asked = 0u;
        __syncwarp();
        if (lane == 0) barrier_arrive(c.piece_full[place]);
        ++pushed;
        if (flags & PIECE_OPENS) publish(COMPUTE);
      }
      holders[0] = first;
      holders[1] = second;
      holders[2] = third;
      flags = (what & ~PIECE_LAST) | kind;
      waits = true;
    };
    // Makes pieces of the boxes that lanes hold; at the end of a kind of all of them. The first two go together, whoever asks.
    auto pair_up = [&](bool ends) {
      const bool is_free = lane != holders[0] && lane != holders[1] && lane != holders[2];
      u32 common = __ballot_sync(FULL_WARP, is_free && own.asked == 3u);
      u32 alone[groups] = {__ballot_sync(FULL_WARP, is_free && own.asked == 1u), __ballot_sync(FULL_WARP, is_free && own.asked == 2u)};
#pragma unroll 1
      for (;;) {
        const u32 all = common | alone[0] | alone[1];
        u32 from = 0u, then = 0u, last = 0u;  // lanes of which the lowest are taken
        if (!opened) {
          if (__popc(all) >= (ends ? 1 : 2)) {  // one for each warpgroup, where there is one
            from = common | alone[0];
            if (from == 0u) from = all;
            then = (common | alone[1]) & ~(from & -from);
            if (then == 0u) then = all & ~(from & -from);
          }
        } else if (slot_boxes == 3 && common != 0u && alone[0] != 0u && alone[1] != 0u) {
          from = alone[0];
          then = common;
          last = alone[1];
        } else if ((common & (common - 1)) != 0u) {
          from = common;
        } else if (alone[0] != 0u && alone[1] != 0u) {
          from = alone[0];  // each warpgroup works on its own half of the slot
          then = alone[1];
        } else if (ends) {
          from = all;
        } else if (__popc(alone[0] | alone[1]) > 8) {
          from = alone[0] | alone[1];
        }
        if (from == 0u) break;
        if (then == 0u && opened) then = from & (from - 1);
        const u32 taken = (from & -from) | (then & -then) | (last & -last);
        common &= ~taken;
        alone[0] &= ~taken;
        alone[1] &= ~taken;
        const int what = opened ? 0 : PIECE_OPENS;
        opened = true;
        emit(__ffs(from) - 1, then != 0u ? __ffs(then) - 1 : 32, last != 0u ? __ffs(last) - 1 : 32, what);
      }
    };
    // Boxes that somebody asks for go to lanes without one, in their order.
    auto take = [&](const Box& fresh) {
      const u32 idle = __ballot_sync(FULL_WARP, own.asked == 0u), asked = __ballot_sync(FULL_WARP, fresh.asked != 0u);
      const int rank = __popc(idle & ((1u << lane) - 1));
      const Box next = box_of_lane(fresh, nth_bit(asked, rank) & 31);
      if (own.asked == 0u && rank < __popc(asked)) own = next;
      pair_up(false);
    };
${passes.map((pass) => passText(pass, context)).join('')}    // A tile that the mask refuses wholly has one piece.
    if (!opened) emit(32, 32, 32, PIECE_OPENS | ${visitKinds[passes[0]!.kind]});
    emit(32, 32, 32, PIECE_LAST);
  };
`;
}

function passText(pass: KernelPass, { passes, knobs }: KernelContext<HopperKnobs>): string {
  const { form } = walkOf(pass, boxKeys(knobs));
  const kind = pass === passes[0] ? '' : `    kind = ${visitKinds[pass.kind]};\n`;
  const walked = {
    distances: '    walk_distances(u, task, take);\n',
    blocks: '    walk_blocks(u, task, take);\n',
    list: listText,
    boxes: boxesText(pass),
  }[form];
  return `${kind}${walked}    pair_up(true);\n`;
}
