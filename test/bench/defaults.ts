// Runs the tuner over head dimensions, forms of plans and lengths, and writes the table of defaults that the code
// ships.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { rows } from '../../codegen/attention/hopper/defaults.ts';
import { type PlanForm, planForms } from '../../codegen/attention/hopper/plan-forms.ts';
import type { LaunchShape } from '../../dsl/shape.ts';
import { diagnosticsOf, exit } from '../../runtime/commands/failure.ts';
import { countFrom } from '../../runtime/commands/inputs.ts';
import { budgetFrom } from '../../runtime/commands/tune.ts';
import { writeAtomically } from '../../runtime/files/atomic.ts';
import { defaultsText, type FormWork, merged, tuneDefaults } from '../../runtime/tuner/defaults.ts';
import { deviceOption, type Program, placeFrom } from '../programs/program.ts';
import { numbersOf, subjects } from './attention/subjects.ts';
import { type Work, works } from './attention/works.ts';

interface Flags {
  readonly budget: number;
  readonly device: string;
  readonly dims: readonly number[];
  readonly forms: readonly string[];
  readonly lengths: readonly number[];
  readonly out: string;
}

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
const forms: readonly FormWork[] = [
  standsFor('causal', 'causal 16K'),
  standsFor('full', 'full 16K'),
  standsFor('scored', 'alibi 16K'),
  standsFor('ranges', 'a-shape 32K'),
  standsFor('capped', 'soft-cap 16K'),
  standsFor('blocks', 'blocks 64, top 100, 70 % shared 128K', 4),
  standsFor('distances', 'vertical-slash 128K 32/8', 4),
  standsFor('shared', 'flash-prefill 4.7 % with stand-ins 128K 32/8', 4),
];

const inSource = join(import.meta.dirname, '..', '..', 'codegen/attention/hopper/defaults.ts');
const usual = { dims: [128, 64, 96, 256, 192], lengths: [16384, 131072, 4096] };

export const program: Program<Flags> = {
  summary:
    'the table of defaults for a Hopper GPU; rows that were not measured stay, Ctrl-C keeps what was',
  examples: ['--budget 9m', '--dims 128 --forms ranges,blocks --out defaults.ts'],
  addOptions(command: Command) {
    const list = (name: string, what: string, usual: readonly number[], from = countsFrom) =>
      new Option(name, what).argParser(from).default(usual, usual.join());
    command
      .addOption(
        new Option('--budget <time>', 'how long to search: 30s, 9m')
          .argParser(budgetFrom)
          .default(budgetFrom('9m'), '9m'),
      )
      .addOption(deviceOption())
      .addOption(list('--dims <numbers>', 'of heads', usual.dims))
      .addOption(list('--lengths <numbers>', 'of queries and keys', usual.lengths, lengthsFrom))
      .addOption(
        new Option('--forms <names>', 'of plans')
          .argParser(formsFrom)
          .default(planForms, planForms.join()),
      )
      .addOption(
        new Option('--out <file>', 'where the table is written')
          .argParser(placeFrom)
          .default(
            existsSync(inSource) ? inSource : 'defaults.ts',
            existsSync(inSource) ? 'the table in codegen' : 'defaults.ts',
          ),
      );
  },
  async act(_, flags) {
    const interrupted = new AbortController();
    process.once('SIGINT', () => interrupted.abort());
    const start = Date.now();
    let count = 0;
    const measured = await tuneDefaults({
      works: forms.filter(({ form }) => flags.forms.includes(form)),
      dims: flags.dims,
      lengths: flags.lengths,
      device: flags.device,
      budgetMs: flags.budget,
      signal: interrupted.signal,
      onFailure(name, error) {
        // Without the device every other search fails as well.
        if (diagnosticsOf(error)?.some(({ code }) => code === 'R002')) throw error;
        console.error(`${name}: ${error instanceof Error ? error.message : String(error)}`);
      },
      onResult(name, { best, untuned, candidates }, row) {
        count += 1;
        const timed = candidates.filter(({ rounds }) => rounds > 0).length;
        const { ms, ratio } = best.sustained ?? best;
        const time = ms === undefined ? '' : `, ${ms.toFixed(3)} ms`;
        const gain =
          ratio === undefined ? '' : `, ${(100 * ratio).toFixed(1)} % of ${untuned.name}`;
        const kept = row
          ? ''
          : ' (no row: not compared, of the other back-end, or of no real chip)';
        const seconds = ((Date.now() - start) / 1000).toFixed(0);
        console.log(
          `${seconds.padStart(4)} s  ${name}: ${best.name}${time}${gain}, ${timed} timed${kept}`,
        );
      },
    });
    if (measured.length === 0) {
      console.error(`none of ${count} searches found a row: is the device a Hopper GPU?`);
      return exit.wrong;
    }
    await writeAtomically(flags.out, defaultsText(merged(rows, measured)));
    console.log(`wrote ${measured.length} rows to ${flags.out}`);
    return exit.fine;
  },
};

const countsFrom = (text: string): number[] => text.split(',').map(countFrom);

/** Shorter calls have no room for what is drawn: a near band, runs beyond it and a thousand columns. */
const leastLength = 4096;

function lengthsFrom(text: string): number[] {
  const lengths = countsFrom(text);
  if (lengths.every((length) => length >= leastLength)) return lengths;
  throw new InvalidArgumentError(`Lengths are ${leastLength} and more.`);
}

function formsFrom(text: string): string[] {
  const forms = text.split(',');
  if (forms.every((form) => (planForms as readonly string[]).includes(form))) return forms;
  throw new InvalidArgumentError(`Forms are ${planForms.join(', ')}.`);
}
