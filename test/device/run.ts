// The laws on a device: `npm run test:device -- [--device cuda] [--minutes 8] [--cases 20000] [--seed 1]`.
// Every process has the device to itself as far as it knows; compiled kernels are shared by the cache.
// A failure prints the command that repeats it.

import { type ChildProcess, fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { openDevice } from '../../runtime/device.ts';
import { laws } from './laws.ts';

const { values } = parseArgs({
  options: {
    device: { type: 'string', default: 'cuda' },
    seed: { type: 'string', default: '1' },
    cases: { type: 'string', default: '20000' },
    minutes: { type: 'string', default: '8' },
    processes: { type: 'string', default: String(availableParallelism()) },
    part: { type: 'string' },
    law: { type: 'string' },
  },
});
const [seed, cases, minutes, processes] = [
  values.seed,
  values.cases,
  values.minutes,
  values.processes,
].map(Number) as [number, number, number, number];

interface Progress {
  readonly law: string;
  readonly cases: number;
  readonly failure?: string;
}

const turns = laws.flatMap((law) => Array.from({ length: law.share }, () => law));

/** Seeds of one process, one law after another, until told to stop. */
async function work(part: number): Promise<void> {
  const device = await openDevice(values.device);
  const send = (progress: Progress) =>
    new Promise<void>((sent) => process.send?.(progress, undefined, undefined, () => sent()));
  for (let turn = part; ; turn += processes) {
    const { name, trial } = turns[turn % turns.length]!;
    const own = seed * 1_000_003 + turn;
    try {
      await send({ law: name, cases: await trial(device, own) });
    } catch (error) {
      const what = error instanceof Error ? error.message : String(error);
      const again = `test/device/run.ts --device ${values.device} --law '${name}' --seed ${own}`;
      await send({ law: name, cases: 0, failure: `law ${name}: ${what}\nagain: ${again}` });
    }
  }
}

/** Starts the processes and counts; the exit code says whether all went well. */
async function lead(): Promise<number> {
  const begun = performance.now();
  const counts = new Map<string, number>();
  const failures: string[] = [];
  const children: ChildProcess[] = Array.from({ length: processes }, (_, part) =>
    fork(process.argv[1]!, [...process.argv.slice(2), '--part', String(part)]),
  );
  const total = () => [...counts.values()].reduce((sum, count) => sum + count, 0);
  await new Promise<void>((stop) => {
    const timer = setTimeout(stop, minutes * 60_000);
    const clock = setInterval(() => {
      const seconds = (performance.now() - begun) / 1000;
      console.log(`${total()} cases in ${seconds.toFixed(0)} s, ${failures.length} failures`);
    }, 15_000);
    let alive = children.length;
    for (const child of children) {
      child.on('message', ({ law, cases: done, failure }: Progress) => {
        counts.set(law, (counts.get(law) ?? 0) + done);
        if (failure !== undefined) {
          failures.push(failure);
          if (failures.length <= 12) console.log(failure.slice(0, 2000));
        }
        if (total() >= cases) stop();
      });
      child.on('exit', (code) => {
        alive -= 1;
        if (code !== null) failures.push(`a process ended with code ${code}`);
        if (alive === 0) stop();
      });
    }
    void timer;
    void clock;
  });
  for (const child of children) child.kill('SIGKILL');
  const seconds = ((performance.now() - begun) / 1000).toFixed(0);
  const perLaw = [...counts].map(([law, count]) => `  law ${law}: ${count}`).join('\n');
  console.log(
    `${total()} cases on ${values.device} in ${seconds} s, seed ${seed}, ${failures.length} failures\n${perLaw}`,
  );
  return failures.length > 0 || total() === 0 ? 1 : 0;
}

if (values.law !== undefined) {
  const device = await openDevice(values.device);
  const found = laws.find(({ name }) => name === values.law);
  console.log(`${await found?.trial(device, seed)} cases, all right`);
  await device.dispose();
} else if (values.part !== undefined) await work(Number(values.part));
else process.exit(await lead());
