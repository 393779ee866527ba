// `warploom explain`: what a call would visit, cost, keep and specialise, without running attention.

import type { Limits } from '../../dsl/estimate/limits.ts';
import { grouped, unitNames } from '../../dsl/plan/explain.ts';
import { explain as explainCall } from '../explain.ts';
import { fallbackLimits } from '../fallback.ts';
import { splitHulls } from '../hulls.ts';
import { type CheckedCall, checkCall } from '../plans.ts';
import { exit } from './failure.ts';
import { addInputOptions, type InputFlags, sizesOrInputs } from './inputs.ts';
import { archFrom, checkArch, cudaText, explainCuda, runningAs, usualArch } from './kernels.ts';
import { nothingChosen } from './report.ts';
import type { PatternVerb } from './verb.ts';

interface ExplainFlags extends InputFlags {
  readonly exact?: boolean;
  readonly arch?: string;
  readonly json?: boolean;
}

/** Heads whose cost is known once they have chosen, and from how many members on it is no less than that of dense attention. */
interface DearHeads {
  readonly heads: readonly number[];
  readonly limits: Limits;
}

function limitsOf({ parts, inputs, shape }: CheckedCall): DearHeads[] {
  if (inputs.segments) return [];
  return parts.flatMap((part, i) => {
    const found = fallbackLimits(part, inputs.given[i]!, shape)?.heads ?? new Map<number, Limits>();
    return [...new Set(found.values())].map((limits) => {
      return { heads: part.heads.filter((head) => found.get(head) === limits), limits };
    });
  });
}

function limitsText({ heads, limits }: DearHeads, of: number): string {
  const each = Object.entries(limits).map(([name, count]) => `${grouped(count)} of ${name}`);
  return `${unitNames(heads, of, 1)}: cost known after selection; ${each.join(', or ')} would cost as much as dense attention`;
}

export const explain: PatternVerb<ExplainFlags> = {
  name: 'explain',
  summary:
    'tell what a pattern visits, costs, keeps in memory and is specialised for; 4096 keys unless stated',
  examples: [
    'a-shape --length 131072',
    'vertical-slash --input head.safetensors --verticals 500',
    'mine.ts#mine --random 1,32,8,8192,128 --json',
  ],
  addOptions(command) {
    addInputOptions(command, { length: true, chosen: true });
    command
      .option('--exact', 'count the allowed pairs too, pair by pair')
      .option(
        '--arch <name>',
        'of the kernels: sm_80, sm_90, sm_90a (default: of the GPU, else sm_90)',
        archFrom,
      )
      .option('--json', 'print one object for a program');
  },
  async act(target, params, flags, { terminal, signal }) {
    const inputs = await sizesOrInputs(flags, target, 4096);
    const progress = terminal.callProgress();
    const options = { onProgress: progress.update, signal, exact: flags.exact === true };
    const explanation = await explainCall(target.pattern, inputs, params as never, options);
    const call = checkCall(target.pattern, inputs, params);
    // Without sets that are passed, a call of these sizes may have nothing to choose.
    const split = inputs.chosen ? undefined : splitHulls(call.parts, call.inputs, 'none');
    const running = split ? runningAs(call, split) : call;
    const cuda = await explainCuda(running, flags.arch ?? usualArch());
    // An architecture that was asked for is there, or there is no answer.
    if (flags.arch !== undefined && 'reason' in cuda) await checkArch(flags.arch);
    progress.done();
    const dense = split?.heads ?? [];
    const limits = inputs.chosen ? [] : limitsOf(running);
    if (flags.json) {
      terminal.printJson({ pattern: target.name, ...explanation, dense, limits, cuda });
    } else {
      const { heads } = call.shape;
      const notes = [
        ...(split ? [`${unitNames(dense, heads, 1)}: ${nothingChosen}`] : []),
        ...limits.map((one) => limitsText(one, heads)),
      ];
      const note = notes.map((line) => `\n${line}\n`).join('');
      terminal.print(`${explanation}\n${note}\n${cudaText(cuda)}`);
    }
    const isWrong = explanation.parts.some(({ launch }) =>
      launch.groups.some(({ proof }) => proof.counterexample !== undefined),
    );
    return isWrong ? exit.wrong : exit.fine;
  },
};
