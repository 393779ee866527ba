// One step of a consumer: the products of a tile of keys become weights while those of the last one's values are under way.

import { real } from '../../../dsl/expression.ts';
import { scalarText } from '../../expression.ts';
import { when } from '../../text.ts';
import type { KernelContext } from '../backend.ts';
import { visitKinds } from '../walk.ts';
import type { HopperKnobs } from './knobs.ts';
import { maskReads, placeRead } from './reads.ts';
import {
  boxesArgument,
  climbCall,
  climbed,
  hasScore,
  lastProduct,
  stepBlocks,
  stepTemplate,
  type Traits,
  weighCall,
} from './traits.ts';

/** `score`, `mask` and `step` of a consumer, and `find_base` of one with a ramp. */
export function stepText(context: KernelContext<HopperKnobs>, traits: Traits): string {
  const { speculative, pingPong } = context.knobs;
  const { mixed, chooses, relative, small } = traits;
  const ramp = context.score?.ramp;
  const boxes = boxesArgument(traits, 'boxes');
  const blocks = stepTemplate(traits);
  return `${scoreText(context, traits)}${maskText(context, traits)}  // One step: this tile's Q K^T and the last one's P V are under way together.
  auto step = [&](${[when(mixed, 'auto boxes'), when(speculative, 'bool careful')].filter(Boolean).join(', ')}) {
${when(!mixed, '    wait_for_k();\n')}${when(pingPong, '    threads_wait(1 + group, 256);\n')}    multiply_q_k(${boxes});
    ${lastProduct(traits)}
${when(pingPong, '    threads_arrive(1 + (group + 1 == groups ? 0 : group + 1), 256);\n')}${when(speculative, '    const bool grows = softmax.grows();\n')}${placeRead(traits, boxes, '    ')}${when(ramp !== undefined, '    find_base();\n')}    products_wait<1>();
    scores_done();
${when(
  relative,
  `    const float reference[2] = {${[0, 1].map((i) => (speculative ? `careful ? 0.f : softmax.reference[${i}]` : '0.f')).join(', ')}};
`,
)}${when(hasScore(traits), `    score(${[boxes, when(relative, 'reference'), when(small, 'Number<0>()')].filter(Boolean).join(', ')});\n`)}    constexpr int blocks = ${stepBlocks(traits)}, early = blocks * early_quarters / 4;
${when(!relative, `    float origin[2]${when(speculative, ' = {softmax.reference[0], softmax.reference[1]}')};\n`)}${
  speculative ? seldomText(traits, boxes, blocks) : alwaysText(traits, boxes, blocks)
}    products_wait<0>();
    outputs_done();
${weighCall(traits, 'early', 'blocks', '    ')}    pack${blocks}(s, weights);
    go_on();
${when(mixed, '    held = boxes.value;\n')}${when(chooses, '    held_box = box;\n')}  };
`;
}

/** Masks and references of a step where most have none to apply and leave them where they are. */
const seldomText = (
  traits: Traits,
  boxes: string,
  blocks: string,
): string => `    // Whatever few steps do stands in one branch, since compilers put it between what all of them do: a jump over each part
    // of it would wait for instructions each time. The first weights, made before the last P V is waited for, stand in both:
    // where branches have met, ptxas waits as soon as the exponents are there.
    if (careful || grows || !is_plain()) {
      ${maskReads(traits) ? `if (!is_plain()) read_mask(${boxes});\n      ` : ''}release_k();
      if (!is_plain()) mask(${boxes});
      const bool moves = careful ? ${climbed(traits, blocks)} : grows;
      if (!careful && grows) softmax.follow();
      if (moves) what |= STEP_MOVES;
${
  traits.relative
    ? `      if (careful || moves) softmax.relate${blocks}(reference, s);
`
    : `      softmax.find_origins(origin);
${weighCall(traits, '0', 'early', '      ')}`
}    } else {
      release_k();
${when(!traits.relative, weighCall(traits, '0', 'early', '      '))}    }
${when(traits.relative, weighCall(traits, '0', 'early', '    '))}`;

/** The same where references follow the highest score of each step. */
const alwaysText = (
  traits: Traits,
  boxes: string,
  blocks: string,
): string => `${when(maskReads(traits), `    if (!is_plain()) read_mask(${boxes});\n`)}    release_k();
    if (!is_plain()) mask(${boxes});
    const bool moves = ${climbCall(traits, blocks, '    ')}    if (moves) what |= STEP_MOVES;
${weighCall(traits, '0', 'early', '    ')}`;

/** The author's score on the products of a step, and what else every step does to them. */
function scoreText(context: KernelContext<HopperKnobs>, traits: Traits): string {
  const { score, names } = context;
  const { mixed, hasRest, relative, small, pool, endsRuns } = traits;
  const ramp = score?.ramp;
  const weighed = stepTemplate(traits);
  const applied = small ? `<${stepBlocks(traits)}, begins.value != 0>` : weighed;
  const parameters = [
    when(mixed, 'auto boxes'),
    when(relative, 'const float (&reference)[2]'),
    when(small, 'auto begins'),
  ];
  const lines = [
    ...(score?.value || hasRest ? [visitText(context, traits)] : []),
    ...(score?.value
      ? [
          `apply_score${applied}(task->unit, p, task->index, visit, task->start + query_of(row), column, reference, ${when(small, 'shortest, ')}s);`,
        ]
      : []),
    ...(ramp
      ? [`if (steep) add_bias(task->unit, task->start + query_of(row), at + column, s);`]
      : []),
    ...(pool === undefined
      ? []
      : [`base[0] = base[1] = visit.kind == STAND_INS ? ${scalarText(real(pool), names)} : 0.f;`]),
    ...(hasRest
      ? [`if (visit.kind == STAND_INS) weigh_pools${weighed}(task->unit, scale, visit, column, s);`]
      : []),
    ...(endsRuns
      ? [
          '// At the end of a run of members, and so in many steps, a box often lacks its first key alone.',
          'const u32 lost = column == 0 ? asked >> 6 : 0u;',
          '#pragma unroll',
          'for (int i = 0; i < 2; ++i)',
          '  if (lost >> i & 1u) s[0][i * box_blocks][0] = s[0][i * box_blocks][2] = NEGATIVE_INFINITY;',
        ]
      : []),
  ];
  return `${when(
    ramp !== undefined,
    `  // What its rows have beside the products: known before these are.
  auto find_base = [&]() {
#pragma unroll
    for (int half = 0; half < 2; ++half)
      base[half] = steep ? 0.f : bias_at(task->unit, task->start + query_of(row) + 8 * half, at);
  };
`,
  )}${when(
    hasScore(traits),
    `  // The author's score on the products of a step${when(endsRuns, ', and what most masks leave out')}.
  auto score = [&](${parameters.filter(Boolean).join(', ')}) {
${lines.map((line) => (line.startsWith('#') ? `${line}\n` : `    ${line}\n`)).join('')}  };
`,
  )}`;
}

/** `mask` of a step that has one. */
function maskText(context: KernelContext<HopperKnobs>, traits: Traits): string {
  const { paired, mixed, judged } = traits;
  const call = `mask_scores${stepTemplate(traits)}(task->unit, p, task->index, visit, task->start + query_of(row), column, s${when(paired, ', keep, ready')});`;
  return `${when(
    judged,
    `  // The pools of the step that stand in for nobody: as they were judged.
  auto drop_stand_ins = [&]() {
    barrier_wait(c.judged_full[judged], judged_parity);
    keep_stand_ins(c.judged[judged], query_of(row), column, s);
    barrier_arrive(c.judged_empty[judged]);  // each lane for what it has read
    next_place(judged, judged_parity, judged_places);
  };
`,
  )}  // The author's mask on the products of a step that has one.
  auto mask = [&](${when(mixed, 'auto boxes')}) {
    ${visitText(context, traits)}
${when(judged, '    if (visit.kind == STAND_INS) drop_stand_ins();\n    else\n  ')}    ${call}
  };
`;
}

/** What a step visits. */
const visitText = ({ passes }: KernelContext<HopperKnobs>, { paired }: Traits): string => {
  const kind = passes.length === 1 ? visitKinds[passes[0]!.kind] : '(Kind)(what & PIECE_KIND)';
  return `const Visit visit = {${kind}, at, ${paired ? 'second' : '(what & PIECE_FULL) != 0'}};`;
};
