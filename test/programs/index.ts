// The programs beside the command: benches and tests of devices, each a module that is loaded once it is
// asked for. Words, --help, complaints and exit codes are those of the command (runtime/commands).

import { patterns } from '../../patterns/index.ts';
import { exit, failureOf, UsageError } from '../../runtime/commands/failure.ts';
import { suggestion } from '../../runtime/commands/nearest.ts';
import type { Terminal } from '../../runtime/commands/terminal.ts';
import { plainCommand } from '../../runtime/commands/verb.ts';
import { callOf, type Program } from './program.ts';

/** By the names that they have in the bundle: `./warploom bench:attention`. */
export const programs: Readonly<Record<string, () => Promise<{ readonly program: Program }>>> = {
  'bench:attention': () => import('../bench/attention.bench.ts'),
  'bench:calls': () => import('../bench/calls.bench.ts'),
  'bench:compare': () => import('../bench/compare.bench.ts'),
  'bench:compile': () => import('../bench/compile.bench.ts'),
  'bench:cpu': () => import('../bench/cpu.bench.ts'),
  'bench:end-to-end': () => import('../bench/end-to-end.bench.ts'),
  'bench:index': () => import('../bench/index.bench.ts'),
  'bench:plan': () => import('../bench/plan.bench.ts'),
  'bench:products': () => import('../bench/products.bench.ts'),
  'bench:works': () => import('../bench/works.bench.ts'),
  'test:core': () => import('../device/core-program.ts'),
  'test:device': () => import('../device/run.ts'),
  'test:laws': () => import('../long/run.ts'),
  'test:mutations': () => import('../mutations/run.ts'),
  'test:primitives': () => import('../device/compare.ts'),
  'test:sanitizers': () => import('../device/sanitizers/index.ts'),
  'tune:defaults': () => import('../bench/defaults.ts'),
};

/** Runs `bench attention --quick`, or the same as `bench:attention --quick`; returns the exit code. */
export async function perform(words: readonly string[], terminal: Terminal): Promise<number> {
  const [name, rest] = named(words);
  let code: number = exit.fine;
  try {
    if (name === 'bench:' || /^bench:(-h|--help)$/.test(name)) {
      terminal.print(await overview());
      return code;
    }
    const load = programs[name];
    if (!load) throw unknown(name);
    const { program } = await load();
    const call = callOf(name);
    const { signal } = new AbortController();
    const context = { patterns, readHeads: () => [], modules: {}, terminal, signal };
    const command = plainCommand({ ...program, name: call, call }, context, (ended) => {
      code = ended;
    });
    await command.parseAsync([...rest], { from: 'user' });
    return code;
  } catch (error) {
    const failure = failureOf(error);
    if (failure.text !== undefined) terminal.say(failure.text);
    return failure.code;
  }
}

function named([first = '', ...rest]: readonly string[]): [name: string, rest: string[]] {
  if (first !== 'bench') return [first, rest];
  const [bench = '', ...more] = rest;
  return [`bench:${bench}`, more];
}

/** One family is all that a program of an unknown name can mean. */
function unknown(name: string): UsageError {
  const [, family, own] = /^(bench:)?(.*)$/.exec(name)!;
  const known = Object.keys(programs).flatMap((one) =>
    family === undefined ? [one] : one.startsWith(family) ? [one.slice(family.length)] : [],
  );
  const guess = suggestion(own!, known);
  const what = `there is no ${family === undefined ? 'program' : 'bench'} '${own}'`;
  return new UsageError(what, `${guess ? `${guess}; ` : ''}there are: ${known.join(', ')}`);
}

/** What each bench measures. */
async function overview(): Promise<string> {
  const benches = Object.entries(programs).filter(([name]) => name.startsWith('bench:'));
  const lines = await Promise.all(
    benches.map(async ([name, load]) => {
      const { program } = await load();
      return `  ${name.slice('bench:'.length).padEnd(12)}${program.summary}`;
    }),
  );
  return `Usage: ${callOf('bench:NAME')} [options]\n\nBenches:\n${lines.join('\n')}\n\nOptions of one: ${callOf('bench:attention')} --help`;
}
