// The laws on a device: `npm run test:device -- [--device cuda] [--minutes 8] [--cases 20000] [--seed 1]`.
// Every process opens the device for itself; compiled kernels are shared by the cache. A failure prints the
// command that repeats it; a process that dies or hangs is a failure of the law that it tried.

import { type ChildProcess, fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { PatternError } from '../../dsl/diagnostic.ts';
import { openDevice } from '../../runtime/device.ts';
import { type DeviceLaw, laws } from './laws.ts';

const { values } = parseArgs({
  options: {
    device: { type: 'string', default: 'cuda' },
    seed: { type: 'string', default: '1' },
    cases: { type: 'string', default: '20000' },
    minutes: { type: 'string', default: '8' },
    processes: { type: 'string', default: String(availableParallelism()) },
    law: { type: 'string' },
    from: { type: 'string' },
    help: { type: 'boolean', short: 'h' },
  },
});
if (values.help) {
  console.log(`The laws of results on a device, in random calls.
  --device cuda      cuda:1, cpu, emulated:sm_80
  --seed 1           another seed, other calls
  --cases 20000      ends after so many
  --minutes 8        or after so long
  --processes ${values.processes}       that try laws at the same time
  --law '<name>'     one law with this seed, here: what a failure prints`);
  process.exit(0);
}
const [seed, cases, minutes, processes] = [
  values.seed,
  values.cases,
  values.minutes,
  values.processes,
].map(Number) as [number, number, number, number];

/** A process that is silent for longer hangs: a turn takes seconds, its compilations included. */
const hangsAfterMs = 120_000;
/** More than these say nothing new. */
const mostFailures = 100;
const mostShown = 12;

/** The laws in the order in which they are tried: all in the first round, then each by its share. */
const most = Math.max(...laws.map(({ share }) => share));
const turns = Array.from({ length: most }, (_, round) =>
  laws.filter(({ share }) => (round * share) % most < share),
).flat();

const lawOf = (turn: number): DeviceLaw => turns[turn % turns.length]!;
const seedOf = (turn: number): number => seed * 1_000_003 + turn;

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
async function work(from: number): Promise<void> {
  const device = await openDevice(values.device);
  const send = (progress: Progress) =>
    new Promise<void>((sent) => process.send?.(progress, undefined, undefined, () => sent()));
  for (let turn = from; ; turn += processes) {
    chooseGraphs(seedOf(turn));
    try {
      await send({ turn, cases: await lawOf(turn).trial(device, seedOf(turn)) });
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
async function lead(): Promise<number> {
  try {
    await (await openDevice(values.device)).dispose();
  } catch (error) {
    console.error(messageOf(error));
    return 1;
  }
  const begun = performance.now();
  const counts = new Map(laws.map(({ name }) => [name, 0]));
  let failures = 0;
  const total = () => [...counts.values()].reduce((sum, count) => sum + count, 0);
  const seconds = () => ((performance.now() - begun) / 1000).toFixed(0);

  const fail = (turn: number, what: string) => {
    failures += 1;
    if (failures > mostShown) return;
    const command = import.meta.filename.endsWith('.ts')
      ? 'npm run test:device --'
      : 'warploom test:device';
    const { name } = lawOf(turn);
    console.log(`law ${name} fails: ${what.slice(0, 2000)}
again: ${command} --device ${values.device} --law '${name}' --seed ${seedOf(turn)}`);
  };

  let end = () => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  /** The living processes: what each is at, and since when. */
  const living = new Map<ChildProcess, { turn: number; since: number }>();
  let isEnding = false;
  const start = (turn: number) => {
    const child = fork(process.argv[1]!, [...process.argv.slice(2), '--from', String(turn)]);
    const at = { turn, since: performance.now() };
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
      if (!isLost) fail(at.turn, `its process ends with ${signal ?? `code ${code}`}`);
      if (failures >= mostFailures) end();
      else start(isLost ? at.turn : at.turn + processes);
    });
  };
  for (let part = 0; part < processes; part += 1) start(part);
  setTimeout(() => end(), minutes * 60_000);
  setInterval(() => {
    console.log(`${total()} cases in ${seconds()} s, ${failures} failures`);
    for (const [child, { since }] of living)
      if (performance.now() - since > hangsAfterMs) child.kill('SIGKILL');
  }, 15_000);
  await ended;
  isEnding = true;
  for (const child of living.keys()) child.kill('SIGKILL');
  const perLaw = [...counts].map(([law, count]) => `  law ${law}: ${count}`).join('\n');
  console.log(
    `${total()} cases on ${values.device} in ${seconds()} s, seed ${seed}, ${failures} failures\n${perLaw}`,
  );
  return failures > 0 || total() === 0 ? 1 : 0;
}

/** One law with one seed, here. */
async function repeat(name: string): Promise<number> {
  const law = laws.find((one) => one.name === name);
  if (!law) {
    console.error(
      `there is no law '${name}'; the laws are: ${laws.map((one) => one.name).join(', ')}`,
    );
    return 2;
  }
  chooseGraphs(seed);
  const device = await openDevice(values.device);
  try {
    console.log(`${await law.trial(device, seed)} cases of law ${name}, all right`);
    return 0;
  } catch (error) {
    console.error(error);
    return 1;
  } finally {
    await device.dispose();
  }
}

if (values.law !== undefined) process.exitCode = await repeat(values.law);
else if (values.from !== undefined) await work(Number(values.from));
else process.exit(await lead());
