// The Hopper kernel itself: the roles of a block.

import type { KernelContext } from '../backend.ts';
import { padded, queriesOf } from '../tiles.ts';
import {
  boxKeys,
  earlyQuarters,
  groupsOf,
  type HopperKnobs,
  isApart,
  registersOf,
  type SharedLayout,
  slabsOf,
  threadsOf,
} from './knobs.ts';
import { rampPlaceText } from './ramp.ts';
import { judgedBarriers, judgesApart } from './stand-ins.ts';

/** All sizes by name, so that the text below reads without arithmetic. */
export function constantsText(
  { headDim, valueDim, knobs }: KernelContext<HopperKnobs>,
  layout: SharedLayout,
): string {
  const { kTile, stages, qBuffers, boxes, headsPerTile } = knobs;
  return `constexpr int head_dim = ${headDim}, value_dim = ${valueDim};
constexpr int q_tile = ${queriesOf(knobs)}, k_tile = ${kTile}, stages = ${stages}, q_buffers = ${qBuffers}, tile_heads = ${headsPerTile};
${isApart(knobs) ? `constexpr int slot_boxes = ${boxes}, box_keys = ${boxKeys(knobs)}, box_blocks = ${boxKeys(knobs) / 8};  // a tile of keys is two boxes\n` : ''}constexpr int early_quarters = ${earlyQuarters(knobs, valueDim)};  // of a step's scores: those that become weights before the last P V is waited for
constexpr int groups = ${groupsOf(knobs)};  // warpgroups that compute, 64 rows each
constexpr int row_blocks = 1;  // of 16 query rows, each warp
constexpr int score_blocks = ${kTile / 8}, value_blocks = ${padded(valueDim) / 8};  // of 8 columns
constexpr int key_steps = ${kTile / 16};  // of 16, along the sum of P V
// Bytes in shared memory, where tiles lie in slabs of 64 columns, 128 bytes a row, swizzled.
constexpr int q_bytes = ${64 * slabsOf(headDim) * 128}, q_group_bytes = ${layout.qGroup}, out_group_bytes = ${layout.outGroup};  // of a warpgroup
constexpr int k_bytes = ${layout.k}, v_bytes = ${layout.v};
`;
}

/** `Tiles`, where tiles, and a ramp, lie in shared memory. */
export const tilesText = ({ score }: Pick<KernelContext, 'score'>): string => `struct Tiles {
  u32 q, k, v, out${score?.ramp ? ', ramp' : ''};
};`;

export function mainText(context: KernelContext<HopperKnobs>, layout: SharedLayout): string {
  const { knobs, valueDim, score } = context;
  const { compute, copy } = registersOf(knobs, valueDim);
  const judges = judgesApart(context);
  return `// ---- the kernel: one block for each multiprocessor, whose warps have their roles ----

extern "C" __global__ void __launch_bounds__(${threadsOf(knobs)}, ${knobs.blocks})
attention(const __grid_constant__ Arguments p) {
  extern __shared__ __align__(1024) u8 shared[];
  __shared__ Control control;
  const u32 first = shared_address(shared) + 1023u & ~1023u;
${rampPlaceText(context, layout)}  const Tiles tiles = {first, first + ${layout.kFrom}, first + ${layout.vFrom}, first + ${layout.outFrom}${score?.ramp ? ', ramp' : ''}};
  if (threadIdx.x == 0) {
    for (Slot& slot : control.slots) {
      barrier_init(slot.k_full, 1);
      barrier_init(slot.v_full, 1);
      barrier_init(slot.k_empty, 4 * groups);
      barrier_init(slot.v_empty, 4 * groups);
    }
    for (int i = 0; i < q_buffers; ++i)
      for (int group = 0; group < groups; ++group) {
        barrier_init(control.q_full[i][group], 1);
        barrier_init(control.q_empty[i][group], ${layout.outReplacesQ ? 1 : 4});
      }
    for (int i = 0; i < queue_length; ++i) {
      barrier_init(control.piece_full[i], ${isApart(knobs) ? 'slot_boxes' : 1});
      barrier_init(control.piece_empty[i], ${judges ? 3 : 2});
    }
${judges ? judgedBarriers(knobs) : ''}${
  knobs.speculative
    ? `    for (int i = 0; i < task_count; ++i) barrier_init(control.done[i], groups);
`
    : ''
}    barrier_init(control.begun, 1);
    barrier_init_done();
  } else if (threadIdx.x == 32) {
    tensor_map_prefetch(p.q_map);
    tensor_map_prefetch(p.k_map);
    tensor_map_prefetch(p.v_map);
  }
${isApart(knobs) ? '  if (threadIdx.x < sizeof(Held) / 4) reinterpret_cast<u32*>(&control.nothing)[threadIdx.x] = 0u;\n' : ''}  const int warp = __shfl_sync(FULL_WARP, (int)threadIdx.x >> 5, 0), group = warp >> 2;
  if (group == groups) {
    registers_give<${copy}>();
    if (warp == 4 * groups) walk_tasks(p, control, tiles);  // it picks its first task before it meets the others
    else __syncthreads();
    if (warp == 4 * groups + 1) order_copies<true>(p, control, tiles);
    if (warp == 4 * groups + 2) order_copies<false>(p, control, tiles);
${judges ? '    if (warp == 4 * groups + 3) judge_stand_ins(control);\n' : ''}  } else {
    registers_take<${compute}>();
    __syncthreads();
    consume(p, control, tiles, group);
  }
}
`;
}
