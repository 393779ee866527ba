// The loop of a consumer over its tasks and their steps. What a step does is written once, for first steps and others:
// compiling takes as long as the text is, and a short one stays in the instruction cache.

import type { KernelContext } from '../backend.ts';
import { scaleText } from '../softmax.ts';
import { type HopperKnobs, isApart, pipelines, type SharedLayout } from './knobs.ts';

/** The loop of `consume`. Needs its products, `score_and_mask` and `finish`. */
export function stepsText(context: KernelContext<HopperKnobs>, layout: SharedLayout): string {
  const { knobs } = context;
  const pipelined = pipelines(knobs, layout);
  if (isApart(knobs)) return `${boxesText(knobs)}${continuousText(context, pipelined)}`;
  return pipelined ? continuousText(context, pipelined) : separateText(context);
}

const when = (condition: boolean, text: string, otherwise = ''): string =>
  condition ? text : otherwise;

/** Directives stay where lines begin. */
const indented = (text: string, indent: string): string => text.replaceAll(/^(?!#|$)/gm, indent);

/**
 * One loop over the steps of all tasks. Where it is pipelined the first Q K^T of a task runs beside the last P V of the
 * task before; else the next task gets the room of this one and is asked for when that is over.
 */
function continuousText(context: KernelContext<HopperKnobs>, pipelined: boolean): string {
  const { knobs } = context;
  const { speculative } = knobs;
  const paired = isApart(knobs);
  const before = `received - ${pipelined ? 2 : 1}, alone`; // the task whose outputs there are
  return `  Order order = next_task();
  bool opens = true;   // the coming step is the first of its task
  bool owes = false;   // P V of the step before is yet to come
  bool alone = false;  // the step is the only one of its task
${when(speculative, '  bool careful = false;\n')}#pragma unroll 1
  while (order == COMPUTE || owes) {
    const bool computes = order == COMPUTE;  // else nothing but P V is left to do
    // The softmax runs beside P V, but for that of a first step, whose outputs begin when those before are finished${when(speculative, ', and that\n    // of a second attempt')}.
    const bool quick = !opens${when(speculative, ' && !careful')};
    bool rescale = false;  // the outputs so far are yet to be multiplied by factors
${when(paired, '    bool both = true;      // boxes of the tile, else one\n')}    if (computes) wait_for_k();
    if (!owes) {
${indented(firstText(knobs), '      ')}
    } else if (computes) {
${indented(productsText(knobs, 'quick'), '      ')}
    } else {
${indented(lastText(knobs), '      ')}
    }
    if (computes) {
${scaleOfTask(context, '      ')}${
  paired
    ? `      if (both) {
        read_keys(two);
        release_k();
        score_and_mask(two);
        if (quick) ${weighText(knobs)}
      } else {
        read_keys(one);
        release_k();
        score_and_mask(one);
        if (quick) ${weighText(knobs, '<box_blocks>')}
      }
`
    : `      release_k();
      score_and_mask();
      if (quick) ${weighText(knobs)}
`
}    }
    products_wait<0>();
    if (owes) outputs_done();
    if (!quick) {
      if (opens) {
        if (owes) finish(${before});
        if (!computes) {
          owes = false;
${when(!pipelined, '          order = next_task();\n', when(speculative, '          if (order == FINISH) order = next_task();\n'))}          continue;
        }
${indented(beginText(knobs), '        ')}
      }
${when(
  paired && speculative,
  `      if (!both)  // the second half has what was there before
#pragma unroll
        for (int j = box_blocks; j < score_blocks; ++j)
#pragma unroll
          for (int e = 0; e < 4; ++e) s[0][j][e] = NEGATIVE_INFINITY;
`,
)}      rescale = softmax.absorb(scale, s);
${when(speculative, '      if (!careful) softmax.keep();\n')}    }
${indented(packText(knobs), '    ')}
    if (rescale) softmax.rescale(out);
    owes = true;
    opens = (what & PIECE_LAST) != 0;
    if (opens) {
      release_q(received - 1);
      order = ${pipelined ? 'next_task()' : 'FINISH'};
    }
  }`;
}

/** A loop for each task: three warpgroups have no register to spare for more. */
function separateText(context: KernelContext<HopperKnobs>): string {
  const { knobs } = context;
  const { speculative } = knobs;
  return `#pragma unroll 1
  while (next_task() == COMPUTE) {
    const int number = received - 1;
    bool opens = true;     // this is the first step
    bool rescale = false;  // the outputs so far are yet to be multiplied by factors
    bool alone = false;    // the step is the only one
${when(speculative, '    bool careful = false;\n')}    wait_for_k();
${indented(firstText(knobs), '    ')}
${scaleOfTask(context, '    ')}${indented(beginText(knobs), '    ')}
#pragma unroll 1
    for (;;) {
      if (!opens) {
        wait_for_k();
${indented(productsText(knobs, '!careful'), '        ')}
      }
      release_k();
      score_and_mask();
      ${when(speculative, `if (opens || careful) rescale = softmax.absorb(scale, s);\n      else `)}${weighText(knobs)}
${when(speculative, '      if (opens && !careful) softmax.keep();\n')}      products_wait<0>();
      if (!opens) outputs_done();
      pack(s, weights);
      if (rescale) softmax.rescale(out);
      if (what & PIECE_LAST) break;
      opens = false;
    }
    release_q(number);
    multiply_p_v();
    products_wait<0>();
    outputs_done();
    finish(number, alone);
  }`;
}

/** The factor of scores, where it is the task's. */
const scaleOfTask = (context: KernelContext, indent: string): string =>
  when(
    context.score !== undefined,
    `${indent}const Unit& u = task_of(received - 1).unit;\n${indent}scale = ${scaleText(context)};\n`,
  );

/** The first Q K^T of a task, with nothing beside it. */
const firstText = (knobs: HopperKnobs): string =>
  [`multiply_q_k(${isApart(knobs) ? 'two' : ''});`, 'products_wait<0>();', 'scores_done();'].join(
    '\n',
  );

/** The last P V of a task, with nothing beside it. */
const lastText = (knobs: HopperKnobs): string =>
  isApart(knobs) ? 'if (held == 2) multiply_p_v(two);\nelse multiply_p_v(one);' : 'multiply_p_v();';

/** The outputs become those of the task that was asked for last. */
const beginText = ({ speculative }: HopperKnobs): string => `alone = (what & PIECE_LAST) != 0;
${when(speculative, 'careful = __shfl_sync(FULL_WARP, (int)task_of(received - 1).careful, 0);\n')}softmax.begin();
#pragma unroll
for (int j = 0; j < value_blocks; ++j)
#pragma unroll
  for (int e = 0; e < 4; ++e) out[0][j][e] = 0.f;`;

/** Q K^T of a step and P V of the step before are under way together until there are scores. */
function multiplyText(
  { speculative, pingPong }: HopperKnobs,
  follows: string,
  boxes = '',
  before = '',
): string {
  return [
    ...(pingPong ? ['threads_wait(1 + group, 256);'] : []),
    `multiply_q_k(${boxes});`,
    `multiply_p_v(${before});`,
    ...(pingPong ? ['threads_arrive(1 + (group + 1 == groups ? 0 : group + 1), 256);'] : []),
    ...(speculative ? [`if (${follows}) rescale = softmax.follow();`] : []),
    'products_wait<1>();',
    'scores_done();',
  ].join('\n');
}

/** What is only known as the kernel runs: the boxes of a step and of the step before. */
const boxesText = (knobs: HopperKnobs): string => `  const Number<1> one = {};
  const Number<2> two = {};
  auto multiply = [&](auto boxes, auto before, bool quick, bool& rescale) {
${indented(multiplyText(knobs, 'quick', 'boxes', 'before'), '    ')}
  };
`;

/** Both products of a step that is not the first one there is. */
const productsText = (knobs: HopperKnobs, follows: string): string =>
  isApart(knobs)
    ? `both = opens || (asked & 3u) == 3u;
if (both && held == 2) multiply(two, two, quick, rescale);
else if (both) multiply(two, one, quick, rescale);
else if (held == 2) multiply(one, two, quick, rescale);
else multiply(one, one, quick, rescale);`
    : multiplyText(knobs, follows);

/** Scores become weights, relative to the first step's; without speculation to the highest so far. */
const weighText = ({ speculative }: HopperKnobs, some = ''): string =>
  speculative ? `softmax.weigh${some}(scale, s);` : `rescale = softmax.absorb${some}(scale, s);`;

const packText = (knobs: HopperKnobs): string =>
  isApart(knobs)
    ? `if (both) pack(s, weights);
else pack<box_blocks>(s, weights);
held = both ? 2 : 1;
held_box = box;`
    : 'pack(s, weights);';
