// A work of the bench for each form of plans that has default tiles of its own.

import type { PlanForm } from '../../../codegen/attention/hopper/plan-forms.ts';
import type { LaunchShape } from '../../../dsl/shape.ts';
import type { FormWork } from '../../../runtime/tuner/defaults.ts';
import { numbersOf, subjects } from './subjects.ts';
import { type Work, works } from './works.ts';

/** A work of the bench stands for a form of plans, at other sizes too: for sets, with the lists that are drawn for it. */
function standsFor(form: PlanForm, name: string, group = 1): FormWork {
  const work = works.find((one) => one.name === name)!;
  const { captured, chosen, pattern } = subjects[work.subject];
  const at = ({ qLen, ...sizes }: LaunchShape): Work => ({ ...work, ...sizes, length: qLen });
  return {
    ...{ form, pattern: pattern(work), group, params: numbersOf(work) },
    ...(captured && { captured: (shape) => captured(at(shape)) }),
    ...(chosen && { chosen: (shape) => chosen(at(shape)) }),
  };
}

// What is chosen for tiles of a single head serves any number of KV heads. Block lists of calls up to 6,400 keys have all
// blocks: what is fastest there is 9 % faster than with boxes (an H200), and a poor choice for lists that leave some out.
export const formWorks: readonly FormWork[] = [
  standsFor('causal', 'causal 16K'),
  standsFor('full', 'full 16K'),
  standsFor('scored', 'alibi 16K'),
  standsFor('ranges', 'a-shape 32K'),
  standsFor('capped', 'soft-cap 16K'),
  standsFor('blocks', 'blocks 64, top 100, 70 % shared 128K', 4),
  standsFor('distances', 'vertical-slash 128K 32/8', 4),
  standsFor('shared', 'flash-prefill 4.7 % with stand-ins 128K 32/8', 4),
];
