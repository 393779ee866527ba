// The consumers of a Hopper block: each warpgroup has 64 rows of the tile, multiplies them with what the slots
// hold, and keeps scores, weights and outputs in registers.
// Sources: FlashAttention-3 (Shah et al., 2024) for products that overlap the softmax; the speculative softmax
// and products across tiles are our own.

import { real } from '../../../dsl/expression.ts';
import { scalarText } from '../../expression.ts';
import type { KernelContext } from '../backend.ts';
import { scaleText } from '../softmax.ts';
import { visitKinds } from '../walk.ts';
import { finishText } from './finish.ts';
import { type HopperKnobs, isApart, pipelines, type SharedLayout, slotKeys } from './knobs.ts';
import { distancesOf } from './members.ts';
import { poolExponent } from './pools.ts';
import { judgesApart } from './stand-ins.ts';

/** `consume`. Needs `Control`, the products, the scores and the softmax. */
export function consumerText(context: KernelContext<HopperKnobs>, layout: SharedLayout): string {
  const { knobs, passes, score, names } = context;
  const { speculative, pingPong, qBuffers } = knobs;
  const { outReplacesQ } = layout;
  const pipelined = pipelines(knobs, layout);
  const judged = judgesApart(context);
  const hasRest = passes.some(({ kind }) => kind === 'rest');
  const when = (condition: boolean, text: string, otherwise = ''): string =>
    condition ? text : otherwise;
  const kSlab = slotKeys(knobs) * 128;
  const paired = isApart(knobs);
  const lastProduct = paired
    ? 'if (held == 2) multiply_p_v(Number<2>()); else multiply_p_v(Number<1>());'
    : 'multiply_p_v();';
  const careful = speculative ? ', careful' : '';
  const two = paired ? 'Number<2>()' : '';
  const some = paired ? '<boxes.value * box_blocks>' : '';
  // Scores that are exponents already are less what they are relative to, where that is known before.
  const relative = score?.value !== undefined;
  // What is left of a bias that products have a part of.
  const ramp = score?.ramp;
  // And what stand-ins count for.
  const pool = poolExponent(context);
  const hasBase = ramp !== undefined || pool !== undefined;
  // At the end of a run of members a box often lacks its first key alone.
  const endsRuns = distancesOf(context) !== undefined;
  // Where a step's keys are: of those that need no mask only scores and stand-ins ask.
  const asksPlace = score !== undefined || hasRest;
  const factors = relative ? '' : `scale, ${when(hasBase, 'base, ')}origin, `;
  const weigh = (from: string, to: string, indent: string): string =>
    `${indent}softmax.weigh<${from}, ${to}>(${factors}s);\n`;
  const climb = (blocks: string, indent: string): string =>
    `softmax.climb${blocks}(scale, ${when(hasBase, 'base, ')}s);\n${indent}softmax.${relative ? `relate${blocks}(s)` : 'find_origins(origin)'};\n`;
  const kindText = passes.length === 1 ? visitKinds[passes[0]!.kind] : '(Kind)(what & PIECE_KIND)';
  /** The author's score and mask on what `visit` is, in score blocks as the template arguments say. */
  const maskText = (indent: string, some: string, isFull: string, more = ''): string =>
    [
      ...(score?.value
        ? [
            `apply_score${some}(task->unit, p, task->index, visit, task->start + query_of(row), column, reference, s);`,
          ]
        : []),
      ...(ramp
        ? [`if (steep) add_bias(task->unit, task->start + query_of(row), at + column, s);`]
        : []),
      ...(hasRest
        ? [
            ...(pool === undefined
              ? []
              : [
                  `base[0] = base[1] = visit.kind == STAND_INS ? ${scalarText(real(pool), names)} : 0.f;`,
                ]),
            `if (visit.kind == STAND_INS) weigh_pools${some}(task->unit, scale, visit, column, s);`,
          ]
        : []),
      ...(judged
        ? [`if (visit.kind == STAND_INS) {`, `  if (!visit.full) drop_stand_ins();`, `} else`]
        : []),
      `${isFull}mask_scores${some}(task->unit, p, task->index, visit, task->start + query_of(row), column, s${more});`,
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
  Task* task = nullptr;
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
${when(
  paired,
  `  u64 k_matrix = 0;            // of the step: where the keys are that this warpgroup works on
  int second = 0, box = 0;     // where its second box begins; the first one that it works on
  u32 asked = 0u;              // what this warpgroup asks for
  int held = 2, held_box = 0;  // of the weights: how many boxes of V they are for, and the first one
`,
)}
  auto multiply_q_k = [&](${when(paired, 'auto boxes')}) {
    products_begin();
${when(!paired, '    const u64 k_matrix = k_first + (u64)(k_slot * k_bytes >> 4);\n')}${when(
  paired,
  `    if constexpr (boxes.value == 1) multiply_box_scores(s, q_matrix, k_matrix);
    else multiply_scores(s, q_matrix, k_matrix);
`,
  '    multiply_scores(s, q_matrix, k_matrix);\n',
)}${when(ramp !== undefined, '    add_ramp(s, slope[0][0], ramp);  // the last one: what is large is rounded once\n')}    products_commit();
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
    next_place(k_slot, k_parity, stages);
  };
  auto release_v = [&]() {
    if (lane == 0) barrier_arrive(c.v_empty[v_slot]);
    next_place(v_slot, v_parity, stages);
  };
  auto scores_done = [&]() {${when(ramp !== undefined, ' pin(slope);')} pin(s); };
  auto outputs_done = [&]() {
    pin(out);
    pin(weights);
    release_v();
  };
  // What a slot holds, as one lane tells it, the one that will let go of it: all know then that the others have the same.
${
  paired
    ? `  const Held* slot = nullptr;  // for lanes that tell nothing one that nobody writes: no predicate, which would take longer
  auto told = [&](const int& held) { return __shfl_sync(FULL_WARP, held, 0); };
`
    : '  auto told = [&](const int& held) { return __shfl_sync(FULL_WARP, lane == 0 ? held : 0, 0); };\n'
}  // What the step is.
  auto wait_for_k = [&]() {
${when(paired, '    slot = lane == 0 ? &c.held[k_slot] : &c.nothing;\n')}    barrier_wait(c.k_full[k_slot], k_parity);
${
  paired
    ? `    const u64 word = __shfl_sync(FULL_WARP, slot->told[group], 0);
    k_matrix = k_first & ~0xffffffffull | (u32)word;
    what = (int)(word >> 32) & 31;
    asked = (u32)(word >> 40);
    box = (int)(asked >> 8);
`
    : '    what = told(c.held[k_slot].what);\n'
}  };
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
)}${
  ramp
    ? `    if (order == COMPUTE) {
      const Unit& u = task_of(received).unit;
      slope_factor(is_steep(u) ? 0.f : ${scalarText(ramp.slope, names)}, slope);
    }
`
    : ''
}    ++received;
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
    ? `  // Where the keys of the step are, and which of them the walk lets through: read while its products are under way.
  u32 keep[score_blocks / 4];
${when(endsRuns, '  u32 loses_first = 0u;  // of which boxes this lane has the first key, and it alone is not let through\n')}  bool plain = false, ready = false;  // nothing${when(endsRuns, ' else')} is masked; no more than keys decides
  auto read_keys = [&](auto boxes) {
    auto read_place = [&]() {
      at = told(slot->at[box]);
      second = told(slot->at[min(box + 1, slot_boxes - 1)]);
    };
${when(asksPlace, '    read_place();\n')}    const u32 used = boxes.value == 2 ? 3u : 1u;
    plain = (asked & used & ${endsRuns ? '(asked >> 4 | asked >> 6)' : 'asked >> 4'}) == used;
${when(endsRuns, '    loses_first = plain && column == 0 ? asked >> 6 : 0u;\n')}    if (plain) return;
${when(!asksPlace, '    read_place();\n')}    ready = (~(asked >> 2) & asked & used) == 0u;
#pragma unroll
    for (int i = 0; i < boxes.value; ++i) {
      const u64 known = asked >> i & 1u ? slot->keep[box + i][group] : 0ull;  // none for this warpgroup
      const u64 keys = __shfl_sync(FULL_WARP, known, 0);
#pragma unroll
      for (int word = 0; word < box_keys / 32; ++word) keep[i * (box_keys / 32) + word] = (u32)(keys >> 32 * word);
    }
  };
  // The author's score and mask on the products of a step.
  auto score_and_mask = [&](auto boxes${when(relative, ', const float (&reference)[2]')}) {
    const Visit visit = {${kindText}, at, second};
${maskText('    ', '<boxes.value * box_blocks>', 'if (!plain) ', ', keep, ready')}${when(
  endsRuns,
  `#pragma unroll
    for (int i = 0; i < boxes.value; ++i)
      if (loses_first >> i & 1u) s[0][i * box_blocks][0] = s[0][i * box_blocks][2] = NEGATIVE_INFINITY;
`,
)}  };
`
    : `  // Where the keys of the step are: read while its products are under way.
  auto read_keys = [&]() { at = told(c.held[k_slot].at); };
${when(
  ramp !== undefined,
  `  // What its rows have beside the products: known before these are.
  auto find_base = [&]() {
#pragma unroll
    for (int half = 0; half < 2; ++half)
      base[half] = steep ? 0.f : bias_at(task->unit, task->start + query_of(row) + 8 * half, at);
  };
`,
)}${when(
  judged,
  `  // The pools of the step that stand in for nobody: as they were judged.
  auto drop_stand_ins = [&]() {
    barrier_wait(c.judged_full[judged], judged_parity);
    keep_stand_ins(c.judged[judged], query_of(row), column, s);
    barrier_arrive(c.judged_empty[judged]);  // each lane for what it has read
    next_place(judged, judged_parity, judged_places);
  };
`,
)}  // The author's score and mask on the products of a step.
  auto score_and_mask = [&](${when(relative, 'const float (&reference)[2]')}) {
    const Visit visit = {${kindText}, at, (what & PIECE_FULL) != 0};
${maskText('    ', '', 'if (!visit.full) ')}  };
`
}  // One step: this tile's Q K^T and the last one's P V are under way together.
  auto step = [&](${when(paired, 'auto boxes')}${when(paired && speculative, ', ')}${when(speculative, 'bool careful')}) {
    bool rescale = false;
${when(!paired, '    wait_for_k();\n')}${when(pingPong, '    threads_wait(1 + group, 256);\n')}    multiply_q_k(${when(paired, 'boxes')});
    ${lastProduct}
${when(pingPong, '    threads_arrive(1 + (group + 1 == groups ? 0 : group + 1), 256);\n')}${when(speculative, '    if (!careful) rescale = softmax.follow();\n')}    read_keys(${when(paired, 'boxes')});
${when(ramp !== undefined, '    find_base();\n')}    products_wait<1>();
    scores_done();
    release_k();
${when(
  relative,
  speculative
    ? `    const float reference[2] = {careful ? 0.f : softmax.reference[0], careful ? 0.f : softmax.reference[1]};
`
    : `    const float reference[2] = {0.f, 0.f};
`,
)}    score_and_mask(${[when(paired, 'boxes'), when(relative, 'reference')].filter(Boolean).join(', ')});
    // Some scores become weights before the last P V is waited for, the others while those are packed. The first stand in
    // both branches: where these have met, ptxas waits as soon as the exponents are there, with too few weights made.
    // Origins are found in one branch, so that the other's exponents wait for no more than the products.
    constexpr int blocks = ${paired ? 'boxes.value * box_blocks' : 'score_blocks'}, early = blocks * early_quarters / 4;
${when(!relative, `    float origin[2]${when(speculative, ' = {softmax.reference[0], softmax.reference[1]}')};\n`)}${when(
  speculative,
  `    if (careful) {
      rescale = ${climb(some, '      ')}${when(!relative, weigh('0', 'early', '      '))}    }${when(!relative, ' else {')}
${weigh('0', 'early', relative ? '    ' : '      ')}${when(!relative, '    }\n')}`,
  `    rescale = ${climb(some, '    ')}${weigh('0', 'early', '    ')}`,
)}    products_wait<0>();
    outputs_done();
${weigh('early', 'blocks', '    ')}    pack${some}(s, weights);
    if (rescale) softmax.rescale(out);
${when(paired, '    held = boxes.value;\n    held_box = box;\n')}  };
${finishText(context, layout)}

  Order order = next_task();
  bool begun = false;  // the first product of the task is done
#pragma unroll 1
  while (order == COMPUTE) {
    if (!begun) {
      wait_for_k();
      multiply_q_k(${two});
      read_keys(${two});
      products_wait<0>();
      scores_done();
      release_k();
    }
    const int number = received - 1;
    task = &task_of(number);
${when(score !== undefined && !relative, `    const Unit& u = task->unit;\n${when(ramp !== undefined, '    steep = is_steep(u);\n')}    scale = ${when(ramp !== undefined, 'steep ? 1.f : ')}${scaleText(context)};\n`)}    softmax.begin();
#pragma unroll
    for (int j = 0; j < value_blocks; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e) out[0][j][e] = 0.f;
${when(ramp !== undefined, '    find_base();\n')}    score_and_mask(${[two, when(relative, '{0.f, 0.f}')].filter(Boolean).join(', ')});
${when(!relative, '    float origin[2];\n')}    ${climb('', '    ')}${weigh('0', 'score_blocks', '    ')}    pack(s, weights);
${when(paired, '    held = 2;\n    held_box = 0;\n')}    const bool alone = (what & PIECE_LAST) != 0;  // the only step
${when(
  speculative,
  `    const bool careful = __shfl_sync(FULL_WARP, (int)task->careful, 0);
    if (!careful) softmax.keep();
`,
)}#pragma unroll 1
    while (!(what & PIECE_LAST)) ${
      paired
        ? `{
      wait_for_k();
      const bool both = (asked & 3u) == 3u;
      if (both) step(Number<2>()${careful});
      else step(Number<1>()${careful});
    }
`
        : `step(${speculative ? 'careful' : ''});
`
    }    release_q(number);
    begun = false;
${when(
  pipelined,
  `    order = next_task();
    if (order == COMPUTE) {  // its first Q K^T runs beside this task's last P V
      wait_for_k();
${when(pingPong, '      threads_wait(1 + group, 256);\n')}${when(
  paired,
  `      auto overlap = [&](auto boxes) {
        multiply_q_k(Number<2>());
        multiply_p_v(boxes);
        read_keys(Number<2>());
        products_wait<1>();
      };
      if (held == 2) overlap(Number<2>());
      else overlap(Number<1>());
`,
  `      multiply_q_k();
      multiply_p_v();
`,
)}${when(pingPong, '      threads_arrive(1 + (group + 1 == groups ? 0 : group + 1), 256);\n')}${when(!paired, '      read_keys();\n      products_wait<1>();\n')}      scores_done();
      release_k();
      begun = true;
    } else {
      ${lastProduct}
    }
`,
  `    ${lastProduct}\n`,
)}    products_wait<0>();
    outputs_done();
    finish(number, alone);
${when(pipelined, speculative ? '    if (order == FINISH) order = next_task();\n' : '', '    order = next_task();\n')}  }
  if (elected) store_wait_read();
}`;
}
