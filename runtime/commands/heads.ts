// `--heads FILE --layer N` in place of a pattern: one layer of a model, each head with its own pattern and
// numbers. What such a file says is read by the patterns' own reader, which the entry hands over.

import type { Command } from 'commander';
import { Option } from 'commander';
import { diagnostic, PlanError } from '../../dsl/diagnostic.ts';
import { readText } from '../files/bytes.ts';
import { UsageError } from './failure.ts';
import { sizeFrom } from './inputs.ts';
import { definitionsOf, type Setting, type Target } from './target.ts';

export interface HeadsFlags {
  readonly heads?: string;
  readonly layer?: number;
}

/** Adds the options that name a layer. */
export function addHeadsOptions(command: Command): void {
  const add = (option: Option) => command.addOption(option.helpGroup('Instead of a pattern:'));
  add(
    new Option(
      '--heads <file>',
      'a pattern and budgets for each head: a configuration of MInference (.json)',
    ),
  );
  add(new Option('--layer <n>', 'the layer of that file, from 0').argParser(sizeFrom));
}

/**
 * The layer that the flags name; undefined where they name none. Throws UsageError for half of a name, FileError
 * F001 and F006, PlanError S007 for a layer that the file does not have.
 */
export async function findLayer(
  { heads: file, layer }: HeadsFlags,
  pattern: string | undefined,
  { readHeads }: Setting,
): Promise<Target | undefined> {
  if (file === undefined) {
    if (layer === undefined) return undefined;
    throw new UsageError('--layer without a file', 'name the file: --heads FILE --layer N');
  }
  if (pattern !== undefined) {
    const what = `both a pattern, '${pattern}', and --heads`;
    throw new UsageError(what, 'give one of the two: the file says which pattern each head has');
  }
  if (layer === undefined) throw new UsageError('--heads without a layer', 'name it: --layer N');
  const layers = readHeads(await readText(file), { file: `'${file}'` });
  const call = layers[layer];
  if (!call) {
    throw new PlanError([
      diagnostic('S007', `'${file}' has no layer ${layer}`, {
        help: `it has the layers 0 to ${layers.length - 1}`,
      }),
    ]);
  }
  const definitions = definitionsOf(call.pattern);
  const names = definitions.map(({ name }) => name).join(', ');
  const name = `layer ${layer} of ${file} (${names})`;
  return { name, pattern: call.pattern, definitions, params: call.params };
}
