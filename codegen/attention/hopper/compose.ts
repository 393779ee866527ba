// How boxes become pieces: which of those that warpgroups ask for share a slot. Two that both ask for fill one; one of
// each warpgroup's own go together, and with room for three a common one between them, so that each works on two.
// All pieces of a round are found at once: a box knows its piece by its rank among its like.

import { when } from '../../text.ts';
import type { KernelContext } from '../backend.ts';
import type { KernelPass } from '../passes.ts';
import { visitKinds } from '../walk.ts';
import { boxKeys, type HopperKnobs } from './knobs.ts';
import { placeOf } from './maps.ts';
import { choosesBoxes, stepsDiffer } from './pairs.ts';
import { boxesText, listText } from './rounds.ts';
import { walkOf } from './walks.ts';

/** `walk_keys`: pushes the pieces of the task that was picked. Needs `publish`. */
export function composedWalk(context: KernelContext<HopperKnobs>): string {
  const { passes, knobs } = context;
  const { boxes } = knobs;
  const mixed = stepsDiffer(context);
  /** Each of a slot's halves counts, where a step is on two boxes. */
  const fills = boxes === 3 && !mixed;
  return `  // The keys of the task that was picked. Lanes hold boxes until they find a piece.
  auto walk_keys = [&]() {
    const Task& task = c.tasks[count % task_count];
    const Unit& u = task.unit;
    int kind = NOTHING, head = 0, batch = 0;
    Box own = {};
    bool descends = false;  // later boxes are of earlier keys
    bool opened = false;
    // The last piece is told when it is known whether another follows: arrivals that this lane owes it; its first box?
    int owed = 0;
    bool leads = false;
    auto arrive = [&](u32 number, int arrivals) {
#pragma unroll
      for (int i = 0; i < slot_boxes; ++i)
        if (i < arrivals) barrier_arrive(c.piece_full[number % queue_length]);
    };
    // Writes pieces, a few at a time. The box of this lane goes to one of them, at a place among so many boxes, of which
    // so many lanes hold one. Each lane waits and arrives for what it writes itself; the first one of a piece arrives for
    // those who are missing.
    auto write = [&](int pieces, int piece, int place, int boxes, int writers, bool opens) {
      constexpr int most_written = queue_length / 3;
#pragma unroll 1
      for (int from = 0; from < pieces; from += most_written) {
        const int some = min(pieces - from, most_written);
        const bool writes = piece >= from && piece < from + some;
        const u32 number = pushed + (u32)max(piece - from, 0);
        if (writes) barrier_wait(c.piece_empty[number % queue_length], (number / queue_length & 1) ^ 1);
        Piece& to = c.queue[number % queue_length];
        const u32 asks = asking(own);
        if (writes && place == 0) {
          to.what = kind | ${when(mixed, '(opens && piece == 0 ? PIECE_AS_THEY_ARE : 0) | ')}boxes << 6 | (int)(asks << 8);
          to.head = head;
          to.batch = batch;
          // Boxes that nobody writes.
#pragma unroll
          for (int box = 1; box < slot_boxes; ++box) to.at[box] = NO_KEYS;
        }
        __syncwarp();
        if (writes) {
          to.at[place] = own.at;
          if (place > 0) reinterpret_cast<u8*>(&to.what)[1 + place] = (u8)asks;
        }
        __syncwarp();
        if (writes) {
          const u32 what = (u32)to.what;  // with all that is asked
#pragma unroll
          for (int group = 0; group < groups; ++group) {
${
  choosesBoxes(context)
    ? `            const u32 first = first_box(what, group);
            if ((u32)place - first < 2u) to.keep[group][(u32)place - first] = own.keep[group];
            if (place == 0) to.told[group] = (u64)(tell(what, what >> (8 + group) >> 8 * first) | first << 16) << 32 | first * (box_keys * 128 >> 4);
`
    : `            to.keep[group][place] = own.keep[group];
            if (place == 0) to.told[group] = (u64)tell(what, what >> (8 + group)) << 32;
`
}          }
          own.asked = 0u;
        }
        arrive(pushed - 1, owed);
        pushed += some;
        const int arrivals = !writes ? 0 : place == 0 ? 1 + slot_boxes - writers : 1;
        const bool is_last = number == pushed - 1;
        arrive(number, is_last ? 0 : arrivals);
        owed = is_last ? arrivals : 0;
        leads = place == 0;
        __syncwarp();
        if (opens && from == 0) publish(COMPUTE);
      }
    };
    // Makes pieces of the boxes that lanes hold; at the end of a kind of all of them. The first two of a tile go together.
    auto pair_up = [&](bool ends) {
      constexpr int most_left = ${fills ? 7 : 8};  // boxes of one warpgroup alone: with ${fills ? 'one that returns, two of both' : 'one of both'} and 22 more, lanes have room for all
      u32 common = __ballot_sync(FULL_WARP, own.asked == 3u);
      u32 alone[groups] = {__ballot_sync(FULL_WARP, own.asked == 1u), __ballot_sync(FULL_WARP, own.asked == 2u)};
      int piece = -1, place = 0, boxes = 2, writers = 2;
      const bool opens = !opened;
      int pieces = opens ? 1 : 0;
${when(fills, '      bool returns = false;  // is this box of both one that the second has later?\n')}      if (!opened) {  // one for each warpgroup, where there is one
        const u32 all = common | alone[0] | alone[1];
        if (__popc(all) < (ends ? 1 : 2)) return;
        u32 from = common | alone[0];
        if (from == 0u) from = all;
        from &= -from;
        u32 then = (common | alone[1]) & ~from;
        if (then == 0u) then = all & ~from;
        then &= -then;
${when(fills, besideText)}        const u32 taken = from | then${when(fills, ' | beside')};
        common &= ~taken;
        alone[0] &= ~taken;
        alone[1] &= ~taken;
        if ((taken >> lane & 1u) != 0u) {
          piece = 0;
${
  fills
    ? `          place = (beside >> lane & 1u) != 0u ? 0 : (int)(then >> lane & 1u) + (beside != 0u ? 1 : 0);
          boxes = beside != 0u ? 3 : 2;
`
    : '          place = (int)(then >> lane & 1u);\n'
}          writers = __popc(taken);
        }
        opened = true;
      }
${when(boxes === 3, rowsText)}      const bool both = own.asked == 3u;
      const int rank = __popc((both ? common : own.asked == 1u ? alone[0] : alone[1]) & ((1u << lane) - 1));
      const int commons = __popc(common), firsts = __popc(alone[0]), seconds = __popc(alone[1]);
      const int threes = ${boxes === 3 ? 'min(commons, min(firsts, seconds))' : '0'};
${
  fills
    ? '      const int twos = (commons - threes - (ends ? 0 : 1)) / 2;  // one is left for those that come alone\n'
    : '      const int twos = (commons - threes) / 2;\n'
}      const int halves = min(firsts, seconds) - threes;
      // What is left finds no like: it waits for the next round, or goes by twos.
      const int odd = ends ? commons - threes - 2 * twos : 0, left = odd + firsts + seconds - 2 * (threes + halves);
      const int rests = ends ? (left + 1) / 2 : left > most_left ? left / 2 : 0;
      if (piece < 0 && own.asked != 0u) {
        const int next = rank - threes, after = pieces + threes + twos;
        if (next < 0) {  // each works on its own one and the common one
          piece = pieces + rank;
          place = both ? 1 : own.asked == 1u ? 0 : 2;
          boxes = writers = 3;
        } else if (both && next < 2 * twos) {
          piece = pieces + threes + next / 2;
          place = (next & 1) ^ (descends ? 1 : 0);
        } else if (!both && next < halves) {  // each works on its own half of the slot
          piece = after + next;
          place = own.asked == 1u ? 0 : 1;
        } else {
          const int number = both ? 0 : odd + next - halves;
          if (both ? ends : number < 2 * rests) {
            piece = after + halves + number / 2;
            place = number & 1;
            ${when(mixed, 'boxes = ')}writers = min(2, left - (number & ~1));
          }
        }
      }
      write(pieces + threes + twos + halves + rests, piece, place, boxes, writers, opens);
${when(fills, '      if (returns) own.asked = 2u;\n')}    };
    // Boxes that somebody asks for go to lanes without one, in their order. Compilers write all of this out for each call:
    // a kind has one, which tells with the last boxes that they are.
    auto take = [&](const Box& fresh, bool ends) {
      const u32 idle = __ballot_sync(FULL_WARP, own.asked == 0u), asked = __ballot_sync(FULL_WARP, fresh.asked != 0u);
      const int rank = __popc(idle & ((1u << lane) - 1));
      const Box next = box_of_lane(fresh, nth_bit(asked, rank) & 31);
      if (own.asked == 0u && rank < __popc(asked)) own = next;
      pair_up(ends);
    };
${passes.map((pass) => passText(pass, context)).join('')}    // A tile that the mask refuses wholly has one piece, of boxes that nobody asks for.
    if (!opened) write(1, lane == 0 ? 0 : -1, 0, 2, 1, true);
    if (owed > 0 && leads)
#pragma unroll
      for (int group = 0; group < groups; ++group) c.queue[(pushed - 1) % queue_length].told[group] |= (u64)PIECE_LAST << 32;
    arrive(pushed - 1, owed);
    __syncwarp();
  };
`;
}

/**
 * One more box for the first piece: where its first box is for both warpgroups and the other for the second alone, the
 * first would have nothing beside it, and one of its own would be left alone at the end.
 */
const besideText = `        u32 beside = 0u;
        if (!ends && (from & common) != 0u && (then & alone[1]) != 0u) beside = common & ~from;
        beside &= -beside;
        returns = (beside >> lane & 1u) != 0u;
        if (returns) own.asked = 1u;
`;

/** The boxes of `own` that make a slot of three by themselves. */
const rowsText = `      // Three that follow each other, one of each kind, are one copy.
      {
        const bool is_free = own.asked != 0u && piece < 0;
        const int middle = own.at + (own.asked == 1u ? box_keys : own.asked == 2u ? -box_keys : 0);
        const u32 like = __match_any_sync(FULL_WARP, is_free ? (i64)middle : (i64)(lane + 1) << 32);
        const u32 third = like & common;  // the lane of the middle one
        const bool is_row = is_free && third != 0u && (like & alone[0]) != 0u && (like & alone[1]) != 0u;
        const u32 rows = __ballot_sync(FULL_WARP, is_row && own.asked == 3u);
        if (is_row) {
          piece = pieces + __popc(rows & (third - 1));
          place = own.asked == 3u ? 1 : own.asked == 1u ? 0 : 2;
          boxes = writers = 3;
        }
        const u32 taken = __ballot_sync(FULL_WARP, is_row);
        common &= ~taken;
        alone[0] &= ~taken;
        alone[1] &= ~taken;
        pieces += __popc(rows);
      }
`;

function passText(pass: KernelPass, { knobs }: KernelContext<HopperKnobs>): string {
  const way = walkOf(pass, boxKeys(knobs));
  const [head, batch] = placeOf(pass.kind);
  const descends = way.form === 'blocks' || (way.form === 'distances' && way.search.sign === -1);
  const walked = {
    distances: '    walk_distances(p, task, take);\n',
    blocks: '    walk_blocks(u, task, take);\n',
    list: listText,
    boxes: boxesText(pass),
  }[way.form];
  return `    kind = ${visitKinds[pass.kind]}, head = ${head}, batch = ${batch};
    descends = ${descends};
${walked}`;
}
