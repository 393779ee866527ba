// The `warploom` command: one verb a file in this folder, and here the way from the words of the command
// line to the verb and from its end to the exit code. terminal.ts is where words go, failure.ts what an
// error says, target.ts and modules.ts find the pattern, parameters.ts and inputs.ts its numbers and tensors.

import { createRequire } from 'node:module';
import type { Command } from 'commander';
import { PatternError, render } from '../../dsl/diagnostic.ts';
import { bench } from './bench.ts';
import { check } from './check.ts';
import { compile } from './compile.ts';
import { doctor } from './doctor.ts';
import { draw } from './draw.ts';
import { emit } from './emit.ts';
import { explain } from './explain.ts';
import { exit, failureOf, UsageError } from './failure.ts';
import { strayError, unfinishedModule } from './modules.ts';
import { run } from './run.ts';
import type { Setting } from './target.ts';
import { Terminal } from './terminal.ts';
import { tune } from './tune.ts';
import {
  type Context,
  patternCommand,
  patternsCommand,
  plainCommand,
  quietCommand,
} from './verb.ts';

/** Runs the command line to its end, and the process with it. */
export async function main(words: readonly string[], setting: Setting): Promise<never> {
  const terminal = new Terminal();
  const stopping = new AbortController();
  // Until then, nothing but a module of the user ends the process.
  let isEnding = false;
  process.on('exit', () => {
    const unfinished = isEnding ? undefined : unfinishedModule();
    if (!unfinished) return;
    terminal.say(render(unfinished));
    process.exitCode = exit.wrong;
  });
  for (const [name, code] of [
    ['SIGINT', exit.interrupted],
    ['SIGTERM', 143],
  ] as const) {
    // An unfinished file is removed on the way out (files/atomic.ts).
    process.on(name, () => {
      isEnding = true;
      stopping.abort();
      terminal.say('warploom: interrupted');
      process.exit(code);
    });
  }
  const end = async (code: number): Promise<never> => {
    isEnding = true;
    await terminal.flush();
    return process.exit(code);
  };
  // What a module of the user leaves behind, such as a promise that nobody awaits.
  for (const name of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(name, (error: unknown) => {
      const stray = strayError(error);
      const { text, code } = failureOf(stray ? new PatternError([stray]) : error);
      if (text !== undefined) terminal.say(text);
      void end(code);
    });
  }
  const code = await perform(words, { ...setting, terminal, signal: stopping.signal });
  // A module of the user may keep timers or sockets; the verb is done.
  return end(code);
}

/** Performs one command line and returns its exit code. */
export async function perform(words: readonly string[], context: Context): Promise<number> {
  let code: number = exit.fine;
  try {
    const program = await programFor(words, context, (ended) => {
      code = ended;
    });
    await program.parseAsync([...words], { from: 'user' });
    return code;
  } catch (error) {
    const failure = failureOf(error);
    if (failure.text !== undefined) context.terminal.say(failure.text);
    return failure.code;
  }
}

async function programFor(
  words: readonly string[],
  context: Context,
  done: (code: number) => void,
): Promise<Command> {
  const [verb, ...rest] = words;
  const program = quietCommand('warploom', context)
    .description('sparse attention from a predicate over (query, key)')
    .version(version(), '-V, --version')
    .addHelpText('after', `\nBuilt-in patterns:\n${list([...context.patterns.keys()])}`);
  const wordsOf = (name: string) => (name === verb ? rest : undefined);
  program.addCommand(await patternCommand(run, wordsOf('run'), context, done));
  program.addCommand(plainCommand(check, context, done));
  program.addCommand(await patternCommand(draw, wordsOf('draw'), context, done));
  program.addCommand(await patternCommand(explain, wordsOf('explain'), context, done));
  program.addCommand(await patternCommand(emit, wordsOf('emit'), context, done));
  program.addCommand(await patternsCommand(compile, wordsOf('compile'), context, done));
  program.addCommand(await patternCommand(bench, wordsOf('bench'), context, done));
  program.addCommand(await patternCommand(tune, wordsOf('tune'), context, done));
  program.addCommand(plainCommand(doctor, context, done));
  if (words.length === 0) {
    throw new UsageError('no verb', 'warploom --help lists what it can do');
  }
  return program;
}

/** Names in lines of a readable width. */
function list(names: readonly string[]): string {
  const lines: string[] = [];
  for (const name of names) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + name.length < 76)
      lines[lines.length - 1] = `${last}, ${name}`;
    else lines.push(`  ${name}`);
  }
  return lines.join(',\n');
}

/** Of this package: two folders up in the repository, three in the package. */
function version(): string {
  const require = createRequire(import.meta.url);
  for (const place of ['../../package.json', '../../../package.json']) {
    try {
      const found = require(place) as { name?: string; version?: string };
      if (found.name === 'warploom' && found.version) return found.version;
    } catch {
      // The other place has it.
    }
  }
  return 'unknown';
}
