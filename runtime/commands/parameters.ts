// A pattern's own numbers as options of the command: made from its schemas, read back as a call's values.

import { InvalidArgumentError, Option } from 'commander';
import type { Definition } from '../../dsl/definition.ts';
import {
  defaultOf,
  type Fixed,
  isFixed,
  isTensorInput,
  type NumberSchema,
  rangeText,
  type TensorInput,
} from '../../dsl/given.ts';

export type Values = Readonly<Record<string, number | readonly number[]>>;

/** An option and the parameter that it sets. */
export interface ParameterOption {
  readonly name: string;
  readonly option: Option;
}

/** One option per parameter of the patterns; `taken` are the long names that the verb itself has. */
export function parameterOptions(
  definitions: readonly Definition[],
  taken: ReadonlySet<string>,
): ParameterOption[] {
  const entries = new Map<string, NumberSchema | Fixed>();
  for (const { given } of definitions) {
    for (const [name, entry] of Object.entries(given)) {
      if (!isTensorInput(entry) && !entries.has(name)) entries.set(name, entry);
    }
  }
  const title = definitions.map(({ name }) => name).join(', ');
  return [...entries].map(([name, entry]) => {
    const plain = `--${kebab(name)}`;
    // Commander reads --no-x as the absence of x.
    const isFree = !taken.has(plain) && !plain.startsWith('--no-');
    const long = isFree ? plain : `--parameter-${kebab(name)}`;
    const option = new Option(`${long} <n>`, describe(entry))
      .argParser(numbersFrom)
      .helpGroup(`Parameters of ${title}:`);
    return { name, option };
  });
}

/** The parameters that were given on the command line. */
export function valuesOf(
  options: readonly ParameterOption[],
  flags: Readonly<Record<string, unknown>>,
): Values {
  return Object.fromEntries(
    options
      .map(({ name, option }) => [name, flags[option.attributeName()]] as const)
      .filter((entry): entry is readonly [string, number | number[]] => entry[1] !== undefined),
  );
}

/** blocksPerRow -> blocks-per-row */
export const kebab = (name: string): string =>
  name
    .replace(/[^A-Za-z0-9]+/g, '-')
    .replace(/([a-z0-9])([A-Z])/g, '$1-$2')
    .replace(/^-|-$/g, '')
    .toLowerCase();

/** `12`, or one number per head: `12,16,12,16`. Whether they fit the schema is not for this place. */
export function numbersFrom(text: string): number | number[] {
  const numbers = text.split(',').map((part) => {
    const number = Number(part);
    if (part.trim() === '' || (Number.isNaN(number) && part.trim() !== 'NaN')) {
      throw new InvalidArgumentError('Give a number, or one per head joined by commas.');
    }
    return number;
  });
  return numbers.length === 1 ? numbers[0]! : numbers;
}

/** Type, bounds, default, and whether another value is another kernel. */
export function describe(entry: NumberSchema | Fixed): string {
  const usual = defaultOf(entry);
  const parts = [usual === undefined ? 'required' : `default: ${usual}`];
  if (isFixed(entry)) parts.push('fixed: another value is another kernel');
  return `${rangeText(entry)} (${parts.join('; ')})`;
}

/** The captured tensors that the patterns declare. */
export function tensorsOf(
  definitions: readonly Definition[],
): [name: string, input: TensorInput][] {
  const all = definitions.flatMap(({ given }) => Object.entries(given));
  const tensors = all.filter((entry): entry is [string, TensorInput] => isTensorInput(entry[1]));
  return [...new Map(tensors)];
}
