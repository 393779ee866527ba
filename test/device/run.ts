// The laws on a device. Every process opens the device for itself; compiled kernels are shared by the cache. A
// failure prints the command that repeats it; a process that dies or hangs is a failure of the law that it tried.

import { type ChildProcess, fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { type Command, Option } from 'commander';
import { PatternError } from '../../dsl/diagnostic.ts';
import { exit } from '../../runtime/commands/failure.ts';
import { countFrom, sizeFrom } from '../../runtime/commands/inputs.ts';
import { openDevice } from '../../runtime/device.ts';
import {
  callOf,
  deviceOption,
  lawOption,
  type Program,
  positiveFrom,
} from '../programs/program.ts';
import { type DeviceLaw, laws } from './laws.ts';

interface Flags {
  readonly device: string;
  readonly seed: number;
  readonly cases: number;
  readonly minutes: number;
  readonly processes: number;
  readonly law?: string;
  readonly from?: number;
}

export const program: Program<Flags> = {
  summary: 'the laws of test/laws on a device, in random calls that are compared with the oracle',
  examples: ['--minutes 8', '--device emulated:sm_80 --cases 500', "--law '9 ones' --seed 7"],
  addOptions(command: Command) {
    const names = laws.map(({ name }) => name);
    command
      .addOption(deviceOption())
      .option('--seed <n>', 'another seed, other calls', sizeFrom, 1)
      .option('--cases <n>', 'ends after so many', countFrom, 20_000)
      .option('--minutes <n>', 'or after so long', positiveFrom, 8)
      .option(
        '--processes <n>',
        'that try laws at the same time',
        countFrom,
        availableParallelism(),
      )
      .addOption(lawOption(names, ['cases', 'minutes', 'processes']))
      // What the other processes do.
      .addOption(new Option('--from <turn>').argParser(sizeFrom).hideHelp());
  },
  async act(_, flags) {
    if (flags.law !== undefined) return repeat(flags.law, flags);
    if (flags.from !== undefined) return work(flags.from, flags);
    return lead(flags);
  },
};

/** A process that is silent for longer hangs: a turn takes seconds, its compilations included. */
const hangsAfterMs = 120_000;
const silent = `nothing for ${hangsAfterMs / 1000} s: a kernel hangs, or its compiler takes as long`;
/** More than these say nothing new. */
const mostFailures = 100;
const mostShown = 12;

/** The laws in the order in which they are tried: all in the first round, then each by its share. */
const most = Math.max(...laws.map(({ share }) => share));
const turns = Array.from({ length: most }, (_, round) =>
  laws.filter(({ share }) => (round * share) % most < share),
).flat();

const lawOf = (turn: number): DeviceLaw => turns[turn % turns.length]!;
const seedOf = (seed: number, turn: number): number => seed * 1_000_003 + turn;

/** Half of the turns make a graph of whatever they launch, where calls would have to repeat for that. */
const asGraphs = process.env.WARPLOOM_GRAPHS;
function chooseGraphs(seed: number): void {
  if (asGraphs !== undefined) return;
  // By a bit that neighbours do not share in turn: laws come in turn as well.
  if (Math.imul(seed, 0x9e3779b1) < 0) process.env.WARPLOOM_GRAPHS = 'always';
  else delete process.env.WARPLOOM_GRAPHS;
}

interface Progress {
  readonly turn: number;
  readonly cases: number;
  readonly failure?: string;
}

const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);

/** One process: every so many turns from `from` on, until it is ended, or until the device is lost. */
async function work(from: number, { device: name, seed, processes }: Flags): Promise<never> {
  const device = await openDevice(name);
  const send = (progress: Progress) =>
    new Promise<void>((sent) => process.send?.(progress, undefined, undefined, () => sent()));
  for (let turn = from; ; turn += processes) {
    chooseGraphs(seedOf(seed, turn));
    try {
      await send({ turn, cases: await lawOf(turn).trial(device, seedOf(seed, turn)) });
    } catch (error) {
      await send({ turn, cases: 0, failure: messageOf(error) });
      // After a fault the device refuses everything: another process goes on.
      if (isFault(error)) process.exit(0);
    }
  }
}

/** Is this, or what caused it, a device that faulted? */
function isFault(error: unknown): boolean {
  if (error instanceof PatternError && error.code === 'R008') return true;
  return error instanceof Error && error.cause !== undefined && isFault(error.cause);
}

/** Starts the processes and counts; the exit code says whether all went well. */
async function lead({ device, seed, cases, minutes, processes }: Flags): Promise<number> {
  await (await openDevice(device)).dispose();
  const begun = performance.now();
  const counts = new Map(laws.map(({ name }) => [name, 0]));
  let failures = 0;
  const total = () => [...counts.values()].reduce((sum, count) => sum + count, 0);
  const seconds = () => ((performance.now() - begun) / 1000).toFixed(0);

  const fail = (turn: number, what: string) => {
    failures += 1;
    if (failures > mostShown) return;
    const { name } = lawOf(turn);
    console.log(`law ${name} fails: ${what.slice(0, 2000)}
again: ${callOf('test:device')} --device ${device} --law '${name}' --seed ${seedOf(seed, turn)}`);
  };

  let end = () => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  /** The living processes: what each is at, and since when. */
  const living = new Map<ChildProcess, { turn: number; since: number; isSilent: boolean }>();
  let isEnding = false;
  const start = (turn: number) => {
    const child = fork(process.argv[1]!, [...process.argv.slice(2), '--from', String(turn)]);
    const at = { turn, since: performance.now(), isSilent: false };
    living.set(child, at);
    child.on('message', (progress: Progress) => {
      at.turn = progress.turn + processes;
      at.since = performance.now();
      const { name } = lawOf(progress.turn);
      counts.set(name, counts.get(name)! + progress.cases);
      if (progress.failure !== undefined) fail(progress.turn, progress.failure);
      if (total() >= cases || failures >= mostFailures) end();
    });
    child.on('exit', (code, signal) => {
      living.delete(child);
      if (isEnding) return;
      const isLost = code === 0;
      if (!isLost)
        fail(at.turn, at.isSilent ? silent : `its process ends with ${signal ?? `code ${code}`}`);
      if (failures >= mostFailures) end();
      else start(isLost ? at.turn : at.turn + processes);
    });
  };
  for (let part = 0; part < processes; part += 1) start(part);
  setTimeout(() => end(), minutes * 60_000);
  setInterval(() => {
    console.log(`${total()} cases in ${seconds()} s, ${failures} failures`);
    for (const [child, at] of living) {
      if (performance.now() - at.since <= hangsAfterMs) continue;
      at.isSilent = true;
      child.kill('SIGKILL');
    }
  }, 15_000);
  await ended;
  isEnding = true;
  for (const child of living.keys()) child.kill('SIGKILL');
  const perLaw = [...counts].map(([law, count]) => `  law ${law}: ${count}`).join('\n');
  console.log(
    `${total()} cases on ${device} in ${seconds()} s, seed ${seed}, ${failures} failures\n${perLaw}`,
  );
  return failures > 0 || total() === 0 ? exit.wrong : exit.fine;
}

/** One law with one seed, here. */
async function repeat(name: string, { device: where, seed }: Flags): Promise<number> {
  const law = laws.find((one) => one.name === name)!;
  chooseGraphs(seed);
  const device = await openDevice(where);
  try {
    console.log(`${await law.trial(device, seed)} cases of law ${name}, all right`);
    return exit.fine;
  } catch (error) {
    console.error(error);
    return exit.wrong;
  } finally {
    await device.dispose();
  }
}
