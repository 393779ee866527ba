// The walker of a Hopper block: one warp draws tiles of queries, hands them to the warpgroups that compute, and
// walks over their keys. It is a few steps ahead of the copies, so that nobody waits for a draw or a search.

import { isUnaligned, lastText } from '../../keys.ts';
import { when } from '../../text.ts';
import { tileStartText } from '../addresses.ts';
import type { KernelContext } from '../backend.ts';
import { visitKinds } from '../walk.ts';
import { composedWalk } from './compose.ts';
import { boxText } from './copier.ts';
import { type HopperKnobs, isApart, pipelines, type SharedLayout } from './knobs.ts';
import { byKind, placeOf } from './maps.ts';
import { pairsFunctions } from './pairs.ts';
import { judgesApart } from './stand-ins.ts';

/** Draws a tile if one is to be drawn. */
const drawText = (
  condition: string,
): string => `    // The first tile of a block is that of its own number, so that none waits for the counter before it has work.
    if (${condition}) {
      if (lane == 0) drawn = drawn < 0 ? (int)blockIdx.x : (int)gridDim.x + atomicAdd(p.counter, 1);
      drawn = __shfl_sync(FULL_WARP, drawn, 0);
    }
`;

/** `walk_tasks`. Needs `Control`, `advance` and `load_unit`. */
export function walkerText(context: KernelContext<HopperKnobs>, layout: SharedLayout): string {
  const { knobs, headDim, passes, names, hasTurns = false } = context;
  const { speculative, qBuffers } = knobs;
  // The heads of a tile have their turn together.
  const turned = (unit: string): string => (hasTurns ? `p.turn[1 + ${unit}]` : unit);
  const [main] = passes;
  const paired = isApart(knobs);
  const judges = judgesApart(context);
  const startsLast = main?.kind === 'tiles' && !isUnaligned(main.mask);
  const functions = startsLast
    ? `// The last key that a query of [q0, q1] may attend to, or one after it.\n${lastText('last_tiles', main.mask, names)}\n\n`
    : '';
  return `${paired ? pairsFunctions(context) : functions}// ---- the walker: one warp draws tasks and walks over their keys ----

WARPLOOM_DEVICE void walk_tasks(const Arguments& p, Control& c, const Tiles& tiles) {
  const int lane = threadIdx.x & 31;
  const int ${hasTurns ? `own_units = p.turn[0] / tile_heads, total = own_units * p.tiles` : 'total = p.units * p.tiles'};
  int count = 0;           // tasks so far
  int drawn = -1;          // the last tile drawn; none is left when it is beyond the last one
${when(speculative, '  int again = -1;          // a tile that is to be done again\n')}  u32 pushed = 0;          // pieces so far

  auto push = [&](Piece piece) {
    if (lane == 0) {
      const int place = pushed % queue_length;
      barrier_wait(c.piece_empty[place], (pushed / queue_length & 1) ^ 1);
      c.queue[place] = piece;
${when(paired, '      for (int i = 1; i < slot_boxes; ++i) barrier_arrive(c.piece_full[place]);  // in the name of other lanes\n')}      barrier_arrive(c.piece_full[place]);
    }
    ++pushed;
  };
${
  speculative
    ? `  // Waits until a task is done. The number of its tile if its weights left the range of floats, else -1.
  auto settle = [&](int which) {
    if (which < 0) return -1;
    Task& task = c.tasks[which % task_count];
    barrier_wait(c.done[which % task_count], which / task_count & 1);
    const int number = task.order == COMPUTE && task.failed ? task.number : -1;
    __syncwarp();
    if (lane == 0 && task.order == COMPUTE) task.order = STOP;  // it is settled; others may still be read
    __syncwarp();
    return number;
  };
`
    : ''
}  // Writes the next task; false when there is none.
  auto pick = [&]() -> bool {
${
  speculative
    ? `    int number = again >= 0 ? again : settle(count - task_count);
    again = -1;
    const bool careful = number >= 0;
${drawText('!careful && drawn < total')}    if (!careful && drawn >= total) return false;
    if (!careful) number = drawn;
`
    : `${drawText('drawn < total')}    if (drawn >= total) return false;
    const int number = drawn;
`
}    // So many units at a time that their keys stay in L2; of those the last tiles first, the longest under a
    // causal mask.
    const int section = number / (p.section * p.tiles), in_section = number - section * p.section * p.tiles;
    const int units = min(p.section, ${hasTurns ? 'own_units' : 'p.units'} - section * p.section);
    const int tile = in_section / units, index = ${turned('(section * p.section + in_section % units) * tile_heads')};
    if (lane == 0) {
      Task& task = c.tasks[count % task_count];
      const Unit u = load_unit(p, index);
      const int start = ${tileStartText(false)};
      task.unit = u;
      task.index = index;
      task.start = start;
      task.q0 = max(start, u.offset);
      task.q1 = min(start + q_tile, u.k_len) - 1;
      task.order = COMPUTE;
${when(speculative, '      task.number = number;\n      task.careful = careful;\n      task.failed = 0;\n')}    }
    __syncwarp();
    return true;
  };
  // Each warpgroup gets the task, and its rows of Q, as soon as it has room for them.
  auto publish = [&](Order order) {
    if (elect_one()) {
      Task& task = c.tasks[count % task_count];
      if (order != COMPUTE) task.order = order;
      const int buffer = ${qBuffers === 2 ? 'count & 1' : '0'};
#pragma unroll
      for (int group = 0; group < groups; ++group) {
        u64& full = c.q_full[buffer][group];
        barrier_wait(c.q_empty[buffer][group], (count${qBuffers === 2 ? ' >> 1' : ''} & 1) ^ 1);
        if (order == COMPUTE) {
          const u32 to = tiles.q + (buffer * groups + group) * q_group_bytes;
          const int row = task.start + query_of(group * 64) - task.unit.offset;
          barrier_arrive_expect(full, q_bytes);
${boxText('p.q_map', 'to', 'full', headDim, 64, 'row, head_of(task.unit, group * 64), 0, task.unit.batch', 'DROP_FROM_CACHE', '          ')}
        } else {
          barrier_arrive(full);
        }
      }
    }
    ++count;
  };
${paired ? composedWalk(context) : singleWalk()}
#pragma unroll 1
  for (;;) {
    const bool picked = pick();
    if (count == 0) __syncthreads();  // all have met: barriers are ready
    if (picked) {
      walk_keys();
      continue;
    }
${
  speculative
    ? `    // What is still at work may have to be done again, the oldest first.
${when(pipelines(knobs, layout), '    publish(FINISH);\n')}#pragma unroll 1
    for (int i = task_count; i > 0 && again < 0; --i) again = settle(count - i);
    if (again < 0) break;
`
    : '    break;\n'
}  }
  publish(STOP);
  push({PIECE_STOP});
  // The last block out leaves the counter as it found it: as many drew from it as there are tiles.
  if (lane == 0 && drawn == total + (int)gridDim.x - 1) atomicAdd(p.counter, -total);
}`;

  function singleWalk(): string {
    const place = (part: 0 | 1): string => byKind(passes, 'piece.x', (kind) => placeOf(kind)[part]);
    return `  // The keys of the task that was picked, step by step. A tile that the mask refuses wholly has one step.
  auto walk_keys = [&]() {
${judges ? '    const int place = count % task_count;\n    const Task& task = c.tasks[place];\n' : '    const Task& task = c.tasks[count % task_count];\n'}    const Unit& u = task.unit;
    Walk walk = {0, 0, 0, 0, 0};
    // Kind and flags of a visit, and where it is.
    auto piece_of = [&](const Visit& visit) -> int2 { return make_int2((int)visit.kind | (visit.full ? PIECE_FULL : 0), visit.at); };
${
  startsLast
    ? `    // The last keys come first: under a causal mask each row has its own among them, and so a reference.
    int last = max(last_tiles(u, task.q0, task.q1), 0) / k_tile * k_tile;
    const Truth truth = judge_tiles(u, {task.q0, task.q1}, {last, min(last + k_tile, u.k_len) - 1});
    int2 piece = piece_of({truth.may ? TILE : NOTHING, last, !truth.may_not && last + k_tile <= u.k_len});
    if (!truth.may) last = -1;
    auto following = [&]() -> int2 {
      Visit visit;
      do visit = advance(u, p, task.index, task.q0, task.q1, walk);
      while (visit.kind == TILE && visit.at == last);
      return piece_of(visit);
    };
`
    : `    int2 piece = make_int2(NOTHING, 0);
    auto following = [&]() -> int2 { return piece_of(advance(u, p, task.index, task.q0, task.q1, walk)); };
`
}    bool first = true;
#pragma unroll 1
    for (;;) {  // the walk is here once: it is long, and compilers take their time for it
      const int2 next = following();
      const bool ends = (next.x & PIECE_KIND) == NOTHING;
      if (ends && (piece.x & PIECE_KIND) == NOTHING) piece = make_int2(${visitKinds[passes[0]!.kind]}, 0);
      if ((piece.x & PIECE_KIND) != NOTHING) {
        push({piece.x | (ends ? PIECE_LAST : 0)${when(judges, ' | place << 8')}, ${place(0)}, ${place(1)}, piece.y});
        if (first) publish(COMPUTE);
        first = false;
      }
      if (ends) break;
      piece = next;
    }
  };`;
  }
}
