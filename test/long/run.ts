// The laws at overnight size, on the CPU: so many cases of law 6 (devices agree), and a tenth as many of each of laws 1 to
// 4, on two processes. Every round of cases has its own seed, so that a failure is repeated by the command it prints.

import { type ChildProcess, fork } from 'node:child_process';
import { type Command, Option } from 'commander';
import fc from 'fast-check';
import { printArrow } from '../../dsl/print.ts';
import { exit } from '../../runtime/commands/failure.ts';
import { countFrom, sizeFrom } from '../../runtime/commands/inputs.ts';
import { type CpuDevice, openDevice } from '../../runtime/device.ts';
import { declarations } from '../laws/arbitraries.ts';
import {
  answersAreTrue,
  operationsBound,
  pointsLieInIntervals,
  singlePairsAreExact,
  smallBoxesAreDecided,
} from '../laws/properties/abstraction.ts';
import { builtInsAgree, builtInsClassifyExactly } from '../laws/properties/built-ins.ts';
import { formsAgree, plansCover } from '../laws/properties/coverage.ts';
import { devicesAgree } from '../laws/properties/devices.ts';
import { compiledSetsAgree, meaningsAgree, textLifts } from '../laws/properties/lift.ts';
import { callOf, lawOption, type Program, positiveFrom } from '../programs/program.ts';

interface Flags {
  readonly seed: number;
  readonly cases: number;
  readonly minutes: number;
  readonly law?: string;
  readonly part?: number;
}

type Property = fc.IRawProperty<unknown, boolean>;

interface Law {
  readonly name: string;
  /** Of a round of 100 cases of law 6. */
  readonly cases: number;
  readonly property: (device: CpuDevice) => Property;
}

const law = (name: string, cases: number, property: (device: CpuDevice) => unknown): Law => ({
  name,
  cases,
  property: property as Law['property'],
});

const laws: readonly Law[] = [
  law('6 devices, random patterns', 75, (device) => devicesAgree(device)),
  law('6 devices, built-in patterns', 25, (device) => builtInsAgree(device)),
  law('1 lift', 5, () => textLifts()),
  law('1 meanings', 5, () => meaningsAgree()),
  law('1 compiled sets', 3, () => compiledSetsAgree()),
  law('2 intervals', 5, () => pointsLieInIntervals()),
  law('2 answers', 5, () => answersAreTrue()),
  law('2 operations', 20, () => operationsBound()),
  law('2 single pairs', 5, () => singlePairsAreExact()),
  law('2 small boxes', 5, () => smallBoxesAreDecided()),
  law('3 coverage', 7, () => plansCover()),
  law('3 exactness', 3, () => builtInsClassifyExactly()),
  law('4 forms', 10, () => formsAgree()),
];

export const program: Program<Flags> = {
  summary: 'laws 1 to 4 and 6 of test/laws on the CPU, as long as you like',
  examples: ['--cases 100000 --seed 2', '--minutes 30', "--law '4 forms' --seed 1000004"],
  addOptions(command: Command) {
    const names = laws.map(({ name }) => name);
    command
      .option('--seed <n>', 'another seed, other cases', sizeFrom, 1)
      .option('--cases <n>', 'of law 6, after which it ends', countFrom, 100_000)
      .option('--minutes <n>', 'or after so long', positiveFrom, 600)
      .addOption(lawOption(names, ['cases', 'minutes']))
      // What the other processes do.
      .addOption(new Option('--part <n>').argParser(sizeFrom).hideHelp());
  },
  async act(_, flags) {
    if (flags.law !== undefined) return repeat(flags.law, flags.seed);
    if (flags.part !== undefined) return work(flags.part, flags);
    return lead(flags);
  },
};

const processes = 2;
/** Failures of one law after which a process leaves it out. */
const mostFailures = 3;

/** What Node can wait for: 24 days. */
const longestTimeoutMs = 2 ** 31 - 1;

interface Progress {
  readonly law: string;
  readonly cases: number;
  readonly failure?: string;
}

const roundsOf = ({ cases }: Flags): number => Math.ceil(cases / 100);

/** Rounds of one process: `part`, `part + processes` ... */
async function work(part: number, flags: Flags): Promise<number> {
  const device = await openDevice('cpu', { threads: 0 });
  const all = laws.map((law) => ({ ...law, property: law.property(device) }));
  const failed = new Map<string, number>();
  for (let round = part; round < roundsOf(flags); round += processes) {
    for (const { name, cases, property } of all) {
      // A law that fails and fails is told often enough.
      if ((failed.get(name) ?? 0) >= mostFailures) continue;
      const seed = flags.seed * 1_000_003 + round;
      const details = await fc.check(property, { numRuns: cases, seed });
      if (details.failed) failed.set(name, (failed.get(name) ?? 0) + 1);
      const failure = details.failed ? describe(name, seed, details) : undefined;
      const progress: Progress = { law: name, cases, ...(failure ? { failure } : {}) };
      await new Promise<void>((sent) =>
        process.send?.(progress, undefined, undefined, () => sent()),
      );
    }
  }
  return exit.fine;
}

function describe(law: string, seed: number, details: fc.RunDetails<unknown>): string {
  const again = `${callOf('test:laws')} --law '${law}' --seed ${seed}`;
  const text = JSON.stringify(details.counterexample, (_, value: unknown) => {
    const isNode = typeof value === 'object' && value !== null && 'op' in value && 'kind' in value;
    return isNode ? printArrow(value as never, declarations) : value;
  });
  const error = details.errorInstance;
  const why = error instanceof Error ? error.message : String(error);
  return `law ${law} fails on ${text}\n${why}\nagain: ${again}`;
}

/** Starts the processes and reports; the exit code says whether all went well. */
async function lead(flags: Flags): Promise<number> {
  const rounds = roundsOf(flags);
  const begun = performance.now();
  const counts = new Map<string, number>();
  let failures = 0;
  const fail = (what: string) => {
    failures += 1;
    console.log(what);
  };
  let shown = 0;
  const show = (isLast = false) => {
    const now = performance.now();
    if (!isLast && now - shown < 5000) return;
    shown = now;
    const done = [...counts]
      .filter(([law]) => law.startsWith('6'))
      .reduce((sum, [, n]) => sum + n, 0);
    const rate = (done / (now - begun)) * 1000;
    const line = `${done} of ${rounds * 100} cases of law 6, ${rate.toFixed(0)} a second, seed ${flags.seed}, ${failures} failures`;
    console.log(
      isLast ? `${line}\n${[...counts].map(([law, n]) => `  law ${law}: ${n}`).join('\n')}` : line,
    );
  };
  const children = Array.from({ length: processes }, (_, part) =>
    fork(process.argv[1]!, [...process.argv.slice(2), '--part', String(part)]),
  );
  let isOver = false;
  const stop = setTimeout(
    () => {
      isOver = true;
      for (const child of children) child.kill();
    },
    Math.min(flags.minutes * 60_000, longestTimeoutMs),
  );
  const ended = (child: ChildProcess) =>
    new Promise<void>((resolve) => {
      child.on('message', ({ law, cases: n, failure }: Progress) => {
        counts.set(law, (counts.get(law) ?? 0) + n);
        if (failure !== undefined) fail(failure);
        show();
      });
      child.on('exit', (code, signal) => {
        if (code !== 0 && !isOver) fail(`a process ends with ${signal ?? `code ${code}`}`);
        resolve();
      });
    });
  await Promise.all(children.map(ended));
  clearTimeout(stop);
  show(true);
  return failures > 0 || counts.size === 0 ? exit.wrong : exit.fine;
}

/** One round of one law with its seed, here. */
async function repeat(name: string, seed: number): Promise<number> {
  const { cases, property } = laws.find((one) => one.name === name)!;
  const device = await openDevice('cpu', { threads: 0 });
  try {
    await fc.assert(property(device), { numRuns: cases, seed });
    console.log(`${cases} cases of law ${name}, all right`);
    return exit.fine;
  } catch (error) {
    console.error(error);
    return exit.wrong;
  } finally {
    await device.dispose();
  }
}
