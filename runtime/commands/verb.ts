// What the verbs have in common, and how one that is about a pattern gets the pattern's parameters as
// its own options: the pattern is found first, the command line parsed in full second.

import { Command } from 'commander';
import { exit, UsageError } from './failure.ts';
import { addHeadsOptions, findLayer } from './heads.ts';
import { nearest } from './nearest.ts';
import { parameterOptions, tensorsOf, type Values, valuesOf } from './parameters.ts';
import { findTarget, findTargets, type Setting, type Target } from './target.ts';
import type { Terminal } from './terminal.ts';

/** What a verb works with. */
export interface Context extends Setting {
  readonly terminal: Terminal;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
}

export interface Verb {
  readonly name: string;
  /** The words that call it; left out, `warploom name`. */
  readonly call?: string;
  readonly summary: string;
  readonly examples: readonly string[];
}

/** A verb without a pattern; `act` returns the exit code. */
export interface PlainVerb<Flags> extends Verb {
  /** The operands, as commander spells them: `<files...>`. */
  readonly operands?: string;
  addOptions(command: Command): void;
  act(operands: readonly string[], flags: Flags, context: Context): Promise<number>;
}

/** A verb about a pattern; `act` returns the exit code. */
export interface PatternVerb<Flags> extends Verb {
  addOptions(command: Command): void;
  act(target: Target, params: Values, flags: Flags, context: Context): Promise<number>;
}

/** A verb about several patterns, whose parameters each has where it knows them. */
export interface PatternsVerb<Flags> extends Verb {
  addOptions(command: Command): void;
  act(targets: readonly Target[], params: Values, flags: Flags, context: Context): Promise<number>;
}

/** A command that throws instead of ending the process, and speaks through the terminal. */
export function quietCommand(
  name: string,
  { terminal }: Context,
  call = name === 'warploom' ? name : `warploom ${name}`,
): Command {
  return new Command(name).exitOverride().configureOutput({
    writeOut: (text) => terminal.print(text.trimEnd()),
    writeErr: (text) => terminal.say(text.trimEnd()),
    outputError: (text, write) => write(complaint(text, call)),
    getOutHelpWidth: () => Math.min(100, terminal.columns),
  });
}

/** Commander's words in our form: one line, and one hint. */
function complaint(text: string, call: string): string {
  const [what = '', guess] = text.trim().split('\n');
  const guesses = /^\(Did you mean (?:one of )?(.*)\?\)$/.exec(guess ?? '')?.[1]?.split(', ') ?? [];
  // Commander takes half of the letters for a resemblance: of 'window' and 'random', too.
  const wrong = /'-*(.*)'/.exec(what)?.[1] ?? '';
  const near = guesses.filter((one) => nearest(wrong, [one.replace(/^-*/, '')]).length > 0);
  const hint = near.length === 0 ? `${call} --help` : `did you mean ${near.join(' or ')}`;
  return `${what.replace(/^error: /, 'warploom: ').replace(/\.$/, '')}\n  = help: ${hint}`;
}

function begin(
  { name, call = `warploom ${name}`, summary, examples }: Verb,
  context: Context,
): Command {
  const lines = examples.map((line) => `  $ ${call} ${line}`.trimEnd());
  return quietCommand(name, context, call)
    .description(summary)
    .addHelpText('after', `\nExamples:\n${lines.join('\n')}`);
}

export function plainCommand<Flags>(
  verb: PlainVerb<Flags>,
  context: Context,
  done: (code: number) => void,
): Command {
  const command = begin(verb, context);
  if (verb.operands) command.argument(verb.operands);
  verb.addOptions(command);
  return command.action(async (...given: unknown[]) => {
    const operands = verb.operands
      ? [(given[0] as string | string[] | undefined) ?? []].flat()
      : [];
    done(await verb.act(operands, command.opts() as Flags, context));
  });
}

const operandHelp = "a built-in's name, or path/to/file.ts#export; before its parameters";

/** `words` are what follows the verb: a pattern among them becomes part of the command. */
export const patternCommand = <Flags>(
  verb: PatternVerb<Flags>,
  words: readonly string[] | undefined,
  context: Context,
  done: (code: number) => void,
): Promise<Command> => {
  const act: PatternsVerb<Flags>['act'] = ([target], ...rest) => verb.act(target!, ...rest);
  const operand = { name: 'pattern', help: operandHelp, most: 1 };
  return commandOf({ ...verb, act }, operand, words, context, done);
};

/** The same for a verb about several patterns. */
export const patternsCommand = <Flags>(
  verb: PatternsVerb<Flags>,
  words: readonly string[] | undefined,
  context: Context,
  done: (code: number) => void,
): Promise<Command> => {
  const operand = { name: 'patterns...', help: `each ${operandHelp}; all: every built-in` };
  return commandOf(verb, operand, words, context, done);
};

async function commandOf<Flags>(
  verb: PatternsVerb<Flags>,
  operand: { readonly name: string; readonly help: string; readonly most?: number },
  words: readonly string[] | undefined,
  context: Context,
  done: (code: number) => void,
): Promise<Command> {
  const start = (hasLayer = false) => {
    const name = hasLayer ? `[${operand.name}]` : `<${operand.name}>`;
    const command = begin(verb, context).argument(name, operand.help);
    verb.addOptions(command);
    addHeadsOptions(command);
    return command;
  };
  // What comes before the first word that only the patterns can explain.
  const first = start();
  const { operands = [], unknown = [] } = words ? first.parseOptions([...words]) : {};
  const specs = operands.slice(0, operand.most);
  // A word for several patterns, such as `all`, is none for one.
  const find = async ([spec, ...others]: readonly string[]) =>
    operand.most === 1
      ? [await findTarget(spec!, context)]
      : findTargets([spec!, ...others], context);
  const layer = await findLayer(first.opts(), specs[0], context);
  const command = start(layer !== undefined);
  if (specs.length === 0 && !layer) {
    const isHelp = ['-h', '--help'].some((word) => unknown.includes(word));
    const [asked] = isHelp ? [] : unknown;
    if (asked === undefined) return command.action(() => done(exit.fine));
    const hint = `warploom ${verb.name} PATTERN ${asked} ...`;
    throw new UsageError(`name the pattern before '${asked}'`, hint);
  }

  const targets = layer ? [layer] : await find(specs);
  const definitions = targets.flatMap((target) => target.definitions);
  const taken = new Set(command.options.map(({ long }) => long ?? ''));
  const options = parameterOptions(definitions, taken);
  for (const { option } of options) command.addOption(option);
  const tensors = tensorsOf(definitions).map(
    ([name, { dtype, dims }]) => `  --tensor ${name}=FILE  ${dtype} [${dims.join(', ')}]`,
  );
  if (tensors.length > 0 && command.options.some(({ long }) => long === '--tensor')) {
    const names = targets.map(({ name }) => name).join(', ');
    command.addHelpText('after', `\nTensors of ${names}:\n${tensors.join('\n')}`);
  }
  return command.action(async () => {
    const flags = command.opts();
    const params = { ...layer?.params, ...valuesOf(options, flags) };
    done(await verb.act(targets, params, flags as Flags, context));
  });
}
