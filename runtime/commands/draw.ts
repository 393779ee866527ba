// `warploom draw`: the plan of one head as an SVG, or as a picture in the terminal.

import { svgTurns } from '../../dsl/picture/svg.ts';
import { terminalTurns } from '../../dsl/picture/terminal.ts';
import { planOf } from '../draw.ts';
import { writeAtomically } from '../files/atomic.ts';
import { planCall } from '../plans.ts';
import { inTurns, planningIn } from '../turns.ts';
import { exit } from './failure.ts';
import { checkPlace } from './files.ts';
import { addInputOptions, type InputFlags, sizeFrom, sizesOrInputs } from './inputs.ts';
import type { PatternVerb } from './verb.ts';

interface DrawFlags extends InputFlags {
  readonly head: number;
  readonly batch: number;
  readonly out?: string;
}

export const draw: PatternVerb<DrawFlags> = {
  name: 'draw',
  summary: 'draw which keys each query tile of a head visits; 1024 keys unless stated',
  examples: [
    'a-shape --length 2048 --window 512',
    'vertical-slash --input head.safetensors --out plan.svg',
    'block-sparse --random 1,8,2,4096,64 --head 3 --out plan.svg',
  ],
  addOptions(command) {
    addInputOptions(command, { length: true, chosen: true });
    command
      .option('--head <n>', 'which query head', sizeFrom, 0)
      .option('--batch <n>', 'of which batch entry', sizeFrom, 0)
      .option(
        '--out <file>',
        'write an SVG to a file; without it, a screen shows a picture in text',
      );
  },
  async act(target, params, flags, { terminal, signal }) {
    if (flags.out !== undefined) checkPlace(flags.out);
    const inputs = await sizesOrInputs(flags, target, 1024);
    const progress = terminal.callProgress();
    const options = { onProgress: progress.update, signal };
    const planned = await planCall(target.pattern, inputs, params, options);
    const { title, plan } = planOf(planned, flags);
    const { columns, hasColours: colour } = terminal;
    const isText = flags.out === undefined && terminal.isScreen;
    const turns = isText
      ? terminalTurns(plan, { title, columns, colour })
      : svgTurns(plan, { title });
    const picture = await inTurns(turns, planningIn(options));
    progress.done();
    if (flags.out !== undefined) {
      await writeAtomically(flags.out, picture);
      terminal.say(`wrote ${flags.out}`);
    } else {
      terminal.print(picture.trimEnd());
    }
    return exit.fine;
  },
};
