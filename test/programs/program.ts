// What a program beside the command is, and the options that several have. Which there are: index.ts.

import { type Command, InvalidArgumentError, Option } from 'commander';
import { UsageError } from '../../runtime/commands/failure.ts';
import { checkPlace } from '../../runtime/commands/files.ts';
import { countFrom } from '../../runtime/commands/inputs.ts';
import type { PlainVerb } from '../../runtime/commands/verb.ts';
import { deviceKinds } from '../../runtime/device.ts';

/** Exported as `program` by its module, which does nothing until `act` is called. */
export type Program<Flags = unknown> = Omit<PlainVerb<Flags>, 'name' | 'call'>;

/** The words that call a program, here or in the bundle. */
export function callOf(name: string): string {
  if (!import.meta.url.endsWith('.ts')) return `./warploom ${name}`;
  const [, bench] = /^bench:(.*)$/.exec(name) ?? [];
  return bench === undefined ? `npm run ${name} --` : `npm run bench -- ${bench}`;
}

export const deviceOption = (): Option =>
  new Option(
    '--device <name>',
    `where to run: ${deviceKinds.join(', ')}; cuda:1 is the second GPU`,
  ).default('cuda');

/** Repeats a failure: of the options beside it only the seed is read. */
export const lawOption = (names: readonly string[], others: string[]): Option =>
  new Option('--law <name>', 'one law with this seed, here: what a failure prints')
    .choices(names)
    .conflicts(others);

export const jsonOption = (): Option =>
  new Option('--json <file>', 'where each result is written as soon as it is there').argParser(
    placeFrom,
  );

/** A file that can be written. Throws FileError F005. */
export function placeFrom(path: string): string {
  checkPlace(path);
  return path;
}

export interface RoundFlags {
  readonly rounds: number;
  readonly roundMs: number;
}

export function addRoundOptions(command: Command, { rounds, roundMs }: RoundFlags): void {
  command
    .option('--rounds <n>', 'how often each is timed; medians count', countFrom, rounds)
    .option('--round-ms <n>', 'milliseconds of calls that make a round', positiveFrom, roundMs);
}

/** A number above 0. */
export function positiveFrom(text: string): number {
  const number = Number(text);
  if (!(number > 0 && number < Number.POSITIVE_INFINITY))
    throw new InvalidArgumentError('Give a number above 0.');
  return number;
}

interface Named {
  readonly name: string;
}

export function addOnlyOption(command: Command, works: readonly Named[]): void {
  command
    .option('--only <texts...>', 'works alone that have one of these in their names')
    .addHelpText('after', `\nWorks:\n${works.map(({ name }) => `  ${name}`).join('\n')}`);
}

/** Works that have one of the texts in their names; all without texts. Throws UsageError for a text that is in none. */
export function worksNamed<Work extends Named>(
  works: readonly Work[],
  only: readonly string[] = [],
): Work[] {
  const lost = only.find((text) => !works.some(({ name }) => name.includes(text)));
  if (lost !== undefined) {
    const names = works.map(({ name }) => name).join('; ');
    throw new UsageError(`no work has '${lost}' in its name`, `there are: ${names}`);
  }
  return works.filter(({ name }) => only.length === 0 || only.some((text) => name.includes(text)));
}
