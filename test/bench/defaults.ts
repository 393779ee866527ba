// Runs the tuner over head dimensions, forms of plans and lengths, and writes the table of defaults that the code
// ships.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { rows } from '../../codegen/attention/hopper/defaults.ts';
import { planForms } from '../../codegen/attention/hopper/plan-forms.ts';
import { diagnosticsOf, exit } from '../../runtime/commands/failure.ts';
import { countFrom } from '../../runtime/commands/inputs.ts';
import { budgetFrom } from '../../runtime/commands/tune.ts';
import { writeAtomically } from '../../runtime/files/atomic.ts';
import { defaultsText, merged, tuneDefaults } from '../../runtime/tuner/defaults.ts';
import { deviceOption, type Program, placeFrom } from '../programs/program.ts';
import { formWorks } from './attention/forms.ts';

interface Flags {
  readonly budget: number;
  readonly device: string;
  readonly dims: readonly number[];
  readonly forms: readonly string[];
  readonly lengths: readonly number[];
  readonly out: string;
}

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
      works: formWorks.filter(({ form }) => flags.forms.includes(form)),
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
