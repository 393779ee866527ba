// The consumers of a Hopper block: each warpgroup has 64 rows of the tile, multiplies them with what the slots
// hold, and keeps scores, weights and outputs in registers.
// Sources: FlashAttention-3 (Shah et al., 2024) for products that overlap the softmax; the speculative softmax
// and products across tiles are our own.

import { when } from '../../text.ts';
import type { KernelContext } from '../backend.ts';
import { scaleText } from '../softmax.ts';
import { finishText } from './finish.ts';
import { type HopperKnobs, type SharedLayout, slotKeys } from './knobs.ts';
import { firstReads, readsText } from './reads.ts';
import { stepText } from './step.ts';
import { climbCall, hasScore, lastProduct, traitsOf, weighCall } from './traits.ts';

/** `consume`. Needs `Control`, the products, the scores and the softmax. */
export function consumerText(context: KernelContext<HopperKnobs>, layout: SharedLayout): string {
  const { knobs, score } = context;
  const { speculative, pingPong } = knobs;
  const traits = traitsOf(context, layout);
  const { paired, mixed, chooses, pipelined, judged, relative, small, pool } = traits;
  const ramp = score?.ramp;
  const two = when(mixed, 'Number<2>()');
  const careful = speculative ? ', careful' : '';
  return `// ---- the consumers: 64 rows of queries for each warpgroup ----

// References have moved in a step, and outputs are to follow: told with what the step is, since loops end by both.
#define STEP_MOVES 32
${when(
  mixed || small,
  `// A number that is part of a type: how many boxes, which block, or whether a task begins.
template <int n> struct Number {
  static constexpr int value = n;
};

`,
)}WARPLOOM_DEVICE void consume(const Arguments& p, Control& c, const Tiles& tiles, int group) {
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5 & 3;
  // This lane's rows are \`row\` and \`row + 8\`; its columns are \`column\` and the next of every eight.
  const int row = group * 64 + warp * 16 + (lane >> 2), column = (lane & 3) * 2;
  const bool elected = (threadIdx.x & 127) == 0;
  // All from the first tile on: compilers find again what they do not keep from step to step, then by an addition.
  const u64 first = matrix_descriptor(tiles.q, 16, 1024);
  const u64 q_first = further_on(first, group * q_group_bytes >> 4);
  const u64 k_first = further_on(first, tiles.k - tiles.q >> 4);
  const u64 v_first = further_on(first, tiles.v - tiles.q >> 4, ${slotKeys(knobs) * 128 - 16});
  ${relative ? 'constexpr float scale = 1.f;' : score ? 'float scale = 0.f;' : `const float scale = ${scaleText(context)};`}  // makes exponents of 2 of scores
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
${when(small, '  Shortest shortest = {};  // of the task\n')}  Task* task = nullptr;
${when(
  ramp !== undefined,
  `  const u64 ramp = plain_descriptor(tiles.ramp, 16, 16);  // the next eight keys, or columns, begin a row further on
  u32 slope[1][1][4];  // of the task whose products are next, as their factor
  bool steep = false;  // products have no part of the bias
  float base[2];       // what the author's score adds at the first of the step's keys
`,
)}${when(
  pool !== undefined,
  '  float base[2];  // what the keys of the step count for: of stand-ins log2 of those that they are for\n',
)}${when(judged, '  int judged = 0;  // of steps of stand-ins\n  u32 judged_parity = 0;\n')}  int at = 0, what = 0;  // of the step: what its K slot holds
  u64 k_matrix = 0;      // where that is, or what this warpgroup works on of it
${when(
  paired,
  `  int second = 0;              // where its second box begins
  u32 asked = 0u;              // what this warpgroup asks for
${when(
  chooses,
  `  int box = 0, held_box = 0;   // the first box that it works on, and the first one of V that the weights are for
`,
)}${when(mixed, '  int held = 2;                // how many they are for\n')}`,
)}
  auto multiply_q_k = [&](${when(mixed, 'auto boxes')}) {
    products_begin();
${when(
  mixed,
  `    if constexpr (boxes.value == 1) multiply_box_scores(s, found_anew(q_matrix, v_slot), k_matrix);
    else multiply_scores(s, found_anew(q_matrix, v_slot), k_matrix);
`,
  '    multiply_scores(s, found_anew(q_matrix, v_slot), k_matrix);\n',
)}${when(ramp !== undefined, '    add_ramp(s, slope[0][0], ramp);  // the last one: what is large is rounded once\n')}    products_commit();
  };
  auto multiply_p_v = [&](${when(mixed, 'auto boxes')}) {
    u64 v_matrix = further_on(v_first, v_slot * (v_bytes >> 4)${when(chooses, ' + held_box * (box_keys * 128 >> 4)')});
    pin(v_matrix);
    barrier_wait(c.slots[v_slot].v_full, v_parity);
    pin(out);
    pin(weights);
    products_begin();
${when(
  mixed,
  `    if constexpr (boxes.value == 1) multiply_box_values(out, weights[0], v_matrix);
    else multiply_values(out, weights[0], v_matrix);
`,
  '    multiply_values(out, weights[0], v_matrix);\n',
)}    products_commit();
  };
  auto release_k = [&]() { barrier_arrive_if(lane == 0, c.slots[k_slot].k_empty); };
  // The weights of the step are there, and the next step is to multiply its values with them.
  auto go_on = [&]() {
    v_slot = k_slot, v_parity = k_parity;
    next_place(k_slot, k_parity, stages);
  };
  auto scores_done = [&]() {${when(ramp !== undefined, ' pin(slope);')} pin(s); };
  auto outputs_done = [&]() {
    pin(out);
    pin(weights);
    barrier_arrive_if(lane == 0, c.slots[v_slot].v_empty);
  };
${readsText(context, layout, traits)}${stepText(context, traits)}${finishText(context, layout)}

  Order order = next_task();
  bool begun = false;  // the first product of the task is done
#pragma unroll 1
  while (order == COMPUTE) {
    if (!begun) {
      wait_for_k();
      multiply_q_k(${two});
${firstReads(traits, '      ')}      products_wait<0>();
      scores_done();
      release_k();
    }
    const int number = received - 1;
    task = &task_of(number);
${when(score !== undefined && !relative, `    const Unit& u = task->unit;\n${when(ramp !== undefined, '    steep = is_steep(u);\n')}    scale = ${when(ramp !== undefined, 'steep ? 1.f : ')}${scaleText(context)};\n`)}${when(small, '    shortest = shortest_of(task->unit);\n')}    softmax.begin();
#pragma unroll
    for (int j = 0; j < value_blocks; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e) out[0][j][e] = 0.f;
${when(ramp !== undefined, '    find_base();\n')}${when(hasScore(traits), `    score(${[two, when(relative, '{0.f, 0.f}'), when(small, 'Number<1>()')].filter(Boolean).join(', ')});\n`)}    if (!is_plain()) mask(${two});
${when(!relative, '    float origin[2];\n')}    ${climbCall(traits, '', '    ')}${weighCall(traits, '0', 'score_blocks', '    ')}    pack(s, weights);
    go_on();
${when(mixed, '    held = 2;\n')}${when(chooses, `    held_box = ${mixed ? '0' : 'box'};\n`)}    const bool alone = (what & PIECE_LAST) != 0;  // the only step
${when(
  speculative,
  `    const bool careful = __shfl_sync(FULL_WARP, (int)task->careful, 0);
    if (!careful) softmax.keep();
`,
)}#pragma unroll 1
    while (!(what & PIECE_LAST)) {
${mixed ? boxLoop(careful) : stepLoop(speculative)}      if (what & STEP_MOVES) softmax.rescale(out);
    }
    release_q(number);
    begun = false;
${when(
  pipelined,
  `    order = next_task();
    if (order == COMPUTE) {  // its first Q K^T runs beside this task's last P V
      wait_for_k();
${when(pingPong, '      threads_wait(1 + group, 256);\n')}${when(
  mixed,
  `      auto overlap = [&](auto boxes) {
        multiply_q_k(Number<2>());
        multiply_p_v(boxes);
${firstReads(traits, '        ')}        products_wait<1>();
      };
      if (held == 2) overlap(Number<2>());
      else overlap(Number<1>());
`,
  `      multiply_q_k();
      multiply_p_v();
`,
)}${when(pingPong, '      threads_arrive(1 + (group + 1 == groups ? 0 : group + 1), 256);\n')}${when(!mixed, `${firstReads(traits, '      ')}      products_wait<1>();\n`)}      scores_done();
      release_k();
      begun = true;
    } else {
      ${lastProduct(traits)}
    }
`,
  `    ${lastProduct(traits)}\n`,
)}    products_wait<0>();
    outputs_done();
    finish(number, alone);
${when(pipelined, speculative ? '    if (order == FINISH) order = next_task();\n' : '', '    order = next_task();\n')}  }
  if (elected) store_wait_read();
}`;
}

// Outputs follow references outside of the loops of steps, which go on as long as none moves: what few steps do would stand
// between what all do.

const stepLoop = (
  speculative: boolean,
): string => `      do step(${when(speculative, 'careful')}); while (!(what & (PIECE_LAST | STEP_MOVES)));
`;

const boxLoop = (careful: string): string => `#pragma unroll 1
      do {
        wait_for_k();
        if ((asked & 3u) == 3u) step(Number<2>()${careful});
        else step(Number<1>()${careful});
      } while (!(what & (PIECE_LAST | STEP_MOVES)));
`;
