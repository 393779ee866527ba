// The bench of whole calls, on the heads of examples/planted. `bench compare` holds its results against the
// rivals' dense attention.

import { writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { openDevice } from '../../index.ts';
import { exit } from '../../runtime/commands/failure.ts';
import {
  addOnlyOption,
  addRoundOptions,
  deviceOption,
  jsonOption,
  type Program,
  type RoundFlags,
  worksNamed,
} from '../programs/program.ts';
import { ourReport } from './attention/ours.ts';
import { median, type Result } from './attention/report.ts';
import { wholeText } from './end-to-end/report.ts';
import { runWhole, type WholeResult } from './end-to-end/run.ts';
import { tinyWholeWorks, type WholeWork, wholeWorks } from './end-to-end/works.ts';

interface Flags extends RoundFlags {
  readonly device: string;
  readonly only?: readonly string[];
  readonly tiny?: boolean;
  readonly json?: string;
}

export const program: Program<Flags> = {
  summary: 'whole calls on planted heads, from q, k and v to the output, beside dense attention',
  examples: ['--json whole.json', '--only 128K --rounds 3', '--tiny --device cpu'],
  addOptions(command: Command) {
    command
      .addOption(deviceOption())
      .option('--tiny', 'every work at a size for a slow device')
      .addOption(jsonOption());
    addRoundOptions(command, { rounds: 5, roundMs: 20 });
    addOnlyOption(command, wholeWorks);
  },
  async act(_, { device: name, only, tiny, rounds, roundMs, json }) {
    const works = worksNamed(tiny ? tinyWholeWorks : wholeWorks, only);
    const device = await openDevice(name);
    const found: WholeResult[] = [];
    await runWhole(device, works, {
      rounds,
      roundMs,
      onResult(result) {
        found.push(result);
        console.error(result.work, result.failure ?? `${median(result.ms)!.toFixed(3)} ms`);
        if (json === undefined) return;
        const results = found.map((one) => asResult(one, works));
        const report = { ...ourReport(device, results), whole: found };
        writeFileSync(json, `${JSON.stringify(report, null, 1)}\n`);
      },
    });
    console.log([device.description, wholeText(found, works)].join('\n'));
    await device.dispose();
    return found.some(({ failure }) => failure !== null) ? exit.wrong : exit.fine;
  },
};

/** A result as the bench of attention reports it: of the pairs that dense attention has. */
function asResult({ work, ms, error, failure }: WholeResult, works: readonly WholeWork[]): Result {
  const { shape } = works.find(({ name }) => name === work)!;
  const pairs = (shape.heads * shape.kLen * (shape.kLen + 1)) / 2;
  const plain = { work, contender: 'warploom', pairs, headDim: shape.headDim };
  return { ...plain, ms: [...ms], megahertz: [], error, preparationMs: null, failure };
}
