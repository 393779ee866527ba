// The consumers of a Hopper block: each warpgroup has 64 rows of the tile, multiplies them with what the slots
// hold, and keeps scores, weights and outputs in registers.
// Sources: FlashAttention-3 (Shah et al., 2024) for products that overlap the softmax; the speculative softmax
// and products across tiles are our own.

import type { KernelContext } from '../backend.ts';
import { scaleText } from '../softmax.ts';
import { visitKinds } from '../walk.ts';
import { finishText } from './finish.ts';
import { type HopperKnobs, isApart, pipelines, type SharedLayout, slotKeys } from './knobs.ts';
import { stepsText } from './steps.ts';

/** `consume`. Needs `Control`, the products, the scores and the softmax. */
export function consumerText(context: KernelContext<HopperKnobs>, layout: SharedLayout): string {
  const { knobs, passes, score } = context;
  const { speculative, pingPong, qBuffers } = knobs;
  const { outReplacesQ } = layout;
  const pipelined = pipelines(knobs, layout);
  const hasRest = passes.some(({ kind }) => kind === 'rest');
  const when = (condition: boolean, text: string, otherwise = ''): string =>
    condition ? text : otherwise;
  const kSlab = slotKeys(knobs) * 128;
  const paired = isApart(knobs);
  const kindText = passes.length === 1 ? visitKinds[passes[0]!.kind] : '(Kind)(what & PIECE_KIND)';
  /** The author's score and mask on what `visit` is, in score blocks as the template arguments say. */
  const maskText = (indent: string, some: string, isFull: string, more = ''): string =>
    [
      ...(score?.value
        ? [
            `apply_score${some}(task.unit, p, task.index, visit, task.start + query_of(row), column, s);`,
          ]
        : []),
      ...(hasRest
        ? [`if (visit.kind == STAND_INS) weigh_pools${some}(task.unit, scale, visit, column, s);`]
        : []),
      `${isFull}mask_scores${some}(task.unit, p, task.index, visit, task.start + query_of(row), column, s${more});`,
    ]
      .map((line) => `${indent}${line}\n`)
      .join('');
  return `// ---- the consumers: 64 rows of queries for each warpgroup ----

${when(
  paired,
  `// A number that is part of a type: how many boxes, or which block.
template <int n> struct Number {
  static constexpr int value = n;
};

`,
)}WARPLOOM_DEVICE void consume(const Arguments& p, Control& c, const Tiles& tiles, int group) {
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5 & 3;
  // This lane's rows are \`row\` and \`row + 8\`; its columns are \`column\` and the next of every eight.
  const int row = group * 64 + warp * 16 + (lane >> 2), column = (lane & 3) * 2;
  const bool elected = (threadIdx.x & 127) == 0;
  const u64 q_first = matrix_descriptor(tiles.q + group * q_group_bytes, 16, 1024);
  const u64 k_first = matrix_descriptor(tiles.k, 16, 1024);
  const u64 v_first = matrix_descriptor(tiles.v, ${kSlab}, 1024);
  ${score ? 'float scale = 0.f;' : `const float scale = ${scaleText(context)};`}  // makes exponents of 2 of scores
  u64 q_matrix = q_first;
  int k_slot = 0, v_slot = 0;
  u32 k_parity = 0, v_parity = 0;
  int received = 0;  // tasks so far
${when(
  pingPong,
  `  if (group == groups - 1) threads_arrive(1, 256);  // the first warpgroup begins
`,
)}  Scores s;
  Weights weights;
  Output out;
  Softmax softmax;
  int at = 0, what = 0;  // of the step: what its K slot holds
${when(
  paired,
  `  int second = 0, box = 0;     // of the step: where its second box begins; the first one that it works on
  u32 asked = 0u;              // what this warpgroup asks for
  int held = 2, held_box = 0;  // of the weights: how many boxes of V they are for, and the first one
`,
)}
  auto multiply_q_k = [&](${when(paired, 'auto boxes')}) {
    products_begin();
    const u64 k_matrix = k_first + (u64)(k_slot * k_bytes ${when(paired, '+ box * box_keys * 128 ')}>> 4);
#pragma unroll
    for (int step = 0; step < head_steps; ++step) {
      const u64 q_step = q_matrix + (((step >> 2) * 8192 + (step & 3) * 32) >> 4);
      const u64 k_step = k_matrix + (((step >> 2) * ${kSlab} + (step & 3) * 32) >> 4);
${when(
  paired,
  `      if constexpr (boxes.value == 1) {
        if (step == 0) begin_box(s, q_step, k_step);
        else add_box(s, q_step, k_step);
        continue;
      }
`,
)}      if (step == 0) begin_scores(s, q_step, k_step);
      else add_scores(s, q_step, k_step);
    }
    products_commit();
  };
  auto multiply_p_v = [&](${when(paired, 'auto boxes')}) {
    barrier_wait(c.v_full[v_slot], v_parity);
    pin(out);
    pin(weights);
    products_begin();
    const u64 v_matrix = v_first + (u64)(v_slot * v_bytes ${when(paired, '+ held_box * box_keys * 128 ')}>> 4);
${when(
  paired,
  `    if constexpr (boxes.value == 1) multiply_box_values(out, weights[0], v_matrix);
    else multiply_values(out, weights[0], v_matrix);
`,
  '    multiply_values(out, weights[0], v_matrix);\n',
)}    products_commit();
  };
  auto release_k = [&]() {
    __syncwarp();  // all lanes have read what the slot holds
    if (lane == 0) barrier_arrive(c.k_empty[k_slot]);
    if (++k_slot == stages) {
      k_slot = 0;
      k_parity ^= 1;
    }
  };
  auto release_v = [&]() {
    if (lane == 0) barrier_arrive(c.v_empty[v_slot]);
    if (++v_slot == stages) {
      v_slot = 0;
      v_parity ^= 1;
    }
  };
  auto scores_done = [&]() { pin(s); };
  auto outputs_done = [&]() {
    pin(out);
    pin(weights);
    release_v();
  };
  // Every lane of a warp must know that the others read the same.
  auto wait_for_k = [&]() {
    barrier_wait(c.k_full[k_slot], k_parity);
    at = __shfl_sync(FULL_WARP, c.held[k_slot].at, 0);
    what = __shfl_sync(FULL_WARP, c.held[k_slot].what, 0);
${when(
  paired,
  `    asked = __shfl_sync(FULL_WARP, asked_of(what, group), 0);
    box = (int)(asked >> 6);
    second = __shfl_sync(FULL_WARP, c.held[k_slot].more[box > 0 ? 1 : 0], 0);
    if (box > 0) at = __shfl_sync(FULL_WARP, c.held[k_slot].more[box - 1], 0);
`,
)}  };
  auto buffer_of = [&](int number) { return ${qBuffers === 2 ? 'number & 1' : '0'}; };
  auto release_q = [&](int number) {
    __syncwarp();
${when(!outReplacesQ, '    if (lane == 0) barrier_arrive(c.q_empty[buffer_of(number)][group]);\n')}  };
  auto task_of = [&](int number) -> Task& { return c.tasks[number % task_count]; };
  // Waits for the next task: what it orders.
  auto next_task = [&]() -> Order {
    barrier_wait(c.q_full[buffer_of(received)][group], ${qBuffers === 2 ? 'received >> 1' : 'received'} & 1);
    const Order order = (Order)__shfl_sync(FULL_WARP, (int)task_of(received).order, 0);
${when(
  qBuffers === 2,
  `    q_matrix = q_first + (u64)(__shfl_sync(FULL_WARP, received & 1, 0) * groups * q_group_bytes >> 4);
`,
)}    ++received;
${when(
  pipelined && speculative,
  `    if (order == FINISH) {
      release_q(received - 1);
      if (elected) barrier_arrive(c.done[(received - 1) % task_count]);
    }
`,
)}    return order;
  };
${
  paired
    ? `  // The keys that the walk lets through, read while the slot is held.
  u32 keep[score_blocks / 4];
  bool full = false, ready = false;
  auto read_keys = [&](auto boxes) {
    const u32 used = boxes.value == 2 ? 3u : 1u;
    full = (asked & 17u * used) == 17u * used;
    if (full) return;
    ready = (~(asked >> 2) & asked & used) == 0u;
#pragma unroll
    for (int i = 0; i < boxes.value; ++i) {
      const u64 keys = asked >> i & 1u ? c.held[k_slot].keep[group][i] : 0ull;  // none for this warpgroup
#pragma unroll
      for (int word = 0; word < box_keys / 32; ++word) keep[i * (box_keys / 32) + word] = (u32)(keys >> 32 * word);
    }
  };
  // The author's score and mask on the products of a step.
  auto score_and_mask = [&](auto boxes) {
    const Task& task = task_of(received - 1);
    const Visit visit = {${kindText}, at, second};
${maskText('    ', '<boxes.value * box_blocks>', 'if (!full) ', ', keep, ready')}  };
`
    : `  // The author's score and mask on the products of a step.
  auto score_and_mask = [&]() {
    const Task& task = task_of(received - 1);
    const Visit visit = {${kindText}, at, (what & PIECE_FULL) != 0};
${maskText('    ', '', 'if (!visit.full) ')}  };
`
}${finishText(context, layout)}

${stepsText(context, layout)}
  if (elected) store_wait_read();
}`;
}
