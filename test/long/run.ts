// The laws at overnight size: `npx tsx test/long/run.ts --cases 100000 --seed 1 [--minutes 30]`.
// So many cases of law 6 (devices agree), and a tenth as many of each of laws 1 to 4, on two processes.
// Every round of cases has its own seed, so that a failure is repeated by the command it prints.

import { type ChildProcess, fork } from 'node:child_process';
import { parseArgs } from 'node:util';
import fc from 'fast-check';
import { printArrow } from '../../dsl/print.ts';
import { openDevice } from '../../runtime/device.ts';
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

const processes = 2;
/** Failures of one law after which a process leaves it out. */
const mostFailures = 3;

interface Progress {
  readonly part: number;
  readonly law: string;
  readonly cases: number;
  readonly failure?: string;
}

type Property = fc.IRawProperty<unknown, boolean>;

/** Each property, and its cases in a round of 100 cases of law 6. */
async function properties(): Promise<(readonly [law: string, cases: number, Property])[]> {
  const device = await openDevice('cpu', { threads: 0 });
  return [
    ['6 devices, random patterns', 75, devicesAgree(device)],
    ['6 devices, built-in patterns', 25, builtInsAgree(device)],
    ['1 lift', 5, textLifts()],
    ['1 meanings', 5, meaningsAgree()],
    ['1 compiled sets', 3, compiledSetsAgree()],
    ['2 intervals', 5, pointsLieInIntervals()],
    ['2 answers', 5, answersAreTrue()],
    ['2 operations', 20, operationsBound()],
    ['2 single pairs', 5, singlePairsAreExact()],
    ['2 small boxes', 5, smallBoxesAreDecided()],
    ['3 coverage', 7, plansCover()],
    ['3 exactness', 3, builtInsClassifyExactly()],
    ['4 forms', 10, formsAgree()],
  ].map(([law, cases, property]) => [law, cases, property] as [string, number, Property]);
}

/** Rounds of one process, until told to stop: `first`, `first + step` ... below `rounds`. */
async function work(part: number, seed: number, rounds: number): Promise<void> {
  const all = await properties();
  const failed = new Map<string, number>();
  for (let round = part; round < rounds; round += processes) {
    for (const [law, numRuns, property] of all) {
      // A law that fails and fails is told often enough.
      if ((failed.get(law) ?? 0) >= mostFailures) continue;
      const details = await fc.check(property, { numRuns, seed: seed * 1_000_003 + round });
      if (details.failed) failed.set(law, (failed.get(law) ?? 0) + 1);
      const failure = details.failed ? describe(law, seed, round, details) : undefined;
      const progress: Progress = { part, law, cases: numRuns, ...(failure ? { failure } : {}) };
      await new Promise<void>((sent) =>
        process.send?.(progress, undefined, undefined, () => sent()),
      );
    }
  }
  process.disconnect();
}

function describe(
  law: string,
  seed: number,
  round: number,
  details: fc.RunDetails<unknown>,
): string {
  const again = `npx tsx test/long/run.ts --seed ${seed} --round ${round} --law '${law}'`;
  const text = JSON.stringify(details.counterexample, (_, value: unknown) => {
    const isNode = typeof value === 'object' && value !== null && 'op' in value && 'kind' in value;
    return isNode ? printArrow(value as never, declarations) : value;
  });
  const error = details.errorInstance;
  const why = error instanceof Error ? error.message : String(error);
  return `law ${law} fails on ${text}\n${why}\nagain: ${again}`;
}

/** Starts the processes and reports; resolves with all failures. */
async function lead(cases: number, seed: number, minutes: number): Promise<string[]> {
  const rounds = Math.ceil(cases / 100);
  const begun = performance.now();
  const counts = new Map<string, number>();
  const failures: string[] = [];
  let shown = 0;
  const show = (isLast = false) => {
    const now = performance.now();
    if (!isLast && now - shown < 5000) return;
    shown = now;
    const done = [...counts]
      .filter(([law]) => law.startsWith('6'))
      .reduce((sum, [, n]) => sum + n, 0);
    const rate = (done / (now - begun)) * 1000;
    const line = `${done} of ${rounds * 100} cases of law 6, ${rate.toFixed(0)} a second, seed ${seed}, ${failures.length} failures`;
    console.log(
      isLast ? `${line}\n${[...counts].map(([law, n]) => `  law ${law}: ${n}`).join('\n')}` : line,
    );
  };
  const children = Array.from({ length: processes }, (_, part) =>
    fork(import.meta.filename, [
      '--part',
      String(part),
      '--cases',
      String(cases),
      '--seed',
      String(seed),
    ]),
  );
  const stop = setTimeout(() => {
    for (const child of children) child.kill();
  }, minutes * 60_000);
  const ended = (child: ChildProcess) =>
    new Promise<void>((resolve) => {
      child.on('message', ({ law, cases: n, failure }: Progress) => {
        counts.set(law, (counts.get(law) ?? 0) + n);
        if (failure !== undefined) {
          failures.push(failure);
          console.log(failure);
        }
        show();
      });
      child.on('exit', (code, signal) => {
        if (code !== 0 && signal === null) failures.push(`a process ended with code ${code}`);
        resolve();
      });
    });
  await Promise.all(children.map(ended));
  clearTimeout(stop);
  show(true);
  return failures;
}

/** One round of one law again, in this process. */
async function repeat(seed: number, round: number, law: string): Promise<void> {
  for (const [name, numRuns, property] of await properties()) {
    if (name === law) await fc.assert(property, { numRuns, seed: seed * 1_000_003 + round });
  }
}

const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: '100000' },
    seed: { type: 'string', default: '1' },
    minutes: { type: 'string', default: '600' },
    part: { type: 'string' },
    round: { type: 'string' },
    law: { type: 'string' },
  },
});
const [cases, seed] = [Number(values.cases), Number(values.seed)];
if (values.part !== undefined) await work(Number(values.part), seed, Math.ceil(cases / 100));
else if (values.round !== undefined) await repeat(seed, Number(values.round), values.law ?? '');
else {
  const failures = await lead(cases, seed, Number(values.minutes));
  process.exitCode = failures.length > 0 ? 1 : 0;
}
