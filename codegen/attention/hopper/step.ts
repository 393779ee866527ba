// One step of a consumer: the products of a tile of keys become weights while those of the last one's values are under way.

import { real } from '../../../dsl/expression.ts';
import { scalarText } from '../../expression.ts';
import { when } from '../../text.ts';
import type { KernelContext } from '../backend.ts';
import { visitKinds } from '../walk.ts';
import type { HopperKnobs } from './knobs.ts';
import { climbCall, lastProduct, type Traits, weighCall } from './traits.ts';

/** `score_and_mask` and `step` of a consumer, and `find_base` of one with a ramp. */
export function stepText(context: KernelContext<HopperKnobs>, traits: Traits): string {
  const { speculative, pingPong } = context.knobs;
  const { paired, relative, small } = traits;
  const ramp = context.score?.ramp;
  const some = paired ? '<boxes.value * box_blocks>' : '';
  return `${scoreAndMaskText(context, traits)}  // One step: this tile's Q K^T and the last one's P V are under way together.
  auto step = [&](${when(paired, 'auto boxes')}${when(paired && speculative, ', ')}${when(speculative, 'bool careful')}) {
    bool rescale = false;
${when(!paired, '    wait_for_k();\n')}${when(pingPong, '    threads_wait(1 + group, 256);\n')}    multiply_q_k(${when(paired, 'boxes')});
    ${lastProduct(traits)}
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
)}    score_and_mask(${[when(paired, 'boxes'), when(relative, 'reference'), when(small, 'Number<0>()')].filter(Boolean).join(', ')});
    // Some scores become weights before the last P V is waited for, the others while those are packed. The first stand in
    // both branches: where these have met, ptxas waits as soon as the exponents are there, with too few weights made.
    // Origins are found in one branch, so that the other's exponents wait for no more than the products.
    constexpr int blocks = ${paired ? 'boxes.value * box_blocks' : 'score_blocks'}, early = blocks * early_quarters / 4;
${when(!relative, `    float origin[2]${when(speculative, ' = {softmax.reference[0], softmax.reference[1]}')};\n`)}${when(
  speculative,
  `    if (careful) {
      rescale = ${climbCall(traits, some, '      ')}${when(!relative, weighCall(traits, '0', 'early', '      '))}    }${when(!relative, ' else {')}
${weighCall(traits, '0', 'early', relative ? '    ' : '      ')}${when(!relative, '    }\n')}`,
  `    rescale = ${climbCall(traits, some, '    ')}${weighCall(traits, '0', 'early', '    ')}`,
)}    products_wait<0>();
    outputs_done();
${weighCall(traits, 'early', 'blocks', '    ')}    pack${some}(s, weights);
    if (rescale) softmax.rescale(out);
${when(paired, '    held = boxes.value;\n    held_box = box;\n')}  };
`;
}

/** The author's score and mask on the products of a step. */
function scoreAndMaskText(
  { passes, score, names }: KernelContext<HopperKnobs>,
  { paired, judged, hasRest, relative, small, pool, endsRuns }: Traits,
): string {
  const ramp = score?.ramp;
  const applied = small
    ? `<${paired ? 'boxes.value * box_blocks' : 'score_blocks'}, begins.value != 0>`
    : when(paired, '<boxes.value * box_blocks>');
  const parameters = [
    when(paired, 'auto boxes'),
    when(relative, 'const float (&reference)[2]'),
    when(small, 'auto begins'),
  ];
  const kindText = passes.length === 1 ? visitKinds[passes[0]!.kind] : '(Kind)(what & PIECE_KIND)';
  /** The author's score and mask on what `visit` is, in score blocks as the template arguments say. */
  const maskText = (indent: string, some: string, isFull: string, more = ''): string =>
    [
      ...(score?.value
        ? [
            `apply_score${applied}(task->unit, p, task->index, visit, task->start + query_of(row), column, reference, ${when(small, 'shortest, ')}s);`,
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
  return paired
    ? `  // The author's score and mask on the products of a step.
  auto score_and_mask = [&](${parameters.filter(Boolean).join(', ')}) {
    const Visit visit = {${kindText}, at, second};
${maskText('    ', '<boxes.value * box_blocks>', 'if (!plain) ', ', keep, ready')}${when(
  endsRuns,
  `#pragma unroll
    for (int i = 0; i < boxes.value; ++i)
      if (loses_first >> i & 1u) s[0][i * box_blocks][0] = s[0][i * box_blocks][2] = NEGATIVE_INFINITY;
`,
)}  };
`
    : `${when(
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
  auto score_and_mask = [&](${parameters.filter(Boolean).join(', ')}) {
    const Visit visit = {${kindText}, at, (what & PIECE_FULL) != 0};
${maskText('    ', '', 'if (!visit.full) ')}  };
`;
}
