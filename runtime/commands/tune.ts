// `warploom tune`: the fastest kernel of a pattern for calls of a class of lengths, found on the device and written
// down for all calls from then on.

import { type Command, InvalidArgumentError, Option } from 'commander';
import { isHeadPatterns } from '../../dsl/heads.ts';
import { grouped, percent } from '../../dsl/plan/explain.ts';
import { candidateOf, type TunedCandidate, type TuneResult } from '../tuner/result.ts';
import type { SearchProgress } from '../tuner/search.ts';
import { tunedStore } from '../tuner/store.ts';
import { tune as tunePattern } from '../tuner/tune.ts';
import { deviceHelp } from './devices.ts';
import { exit, UsageError } from './failure.ts';
import {
  addInputOptions,
  type InputFlags,
  loadCaptured,
  loadInputs,
  randomShape,
} from './inputs.ts';
import { duration, type Terminal, table } from './terminal.ts';
import type { PatternVerb } from './verb.ts';

interface TuneFlags extends InputFlags {
  readonly device?: string;
  readonly budget: number;
  readonly json?: boolean;
}

export const tune: PatternVerb<TuneFlags> = {
  name: 'tune',
  summary:
    'find the fastest kernel of a pattern for such lengths on this GPU, and keep it for all calls',
  examples: [
    'causal --random 1,32,16384,128',
    'a-shape --random 1,32,8,131072,128 --window 4096 --budget 60s --device cuda:1',
    'mine.ts#mine --input head.safetensors --json',
  ],
  addOptions(command: Command) {
    addInputOptions(command, { length: false, seed: false });
    command
      .option('--device <name>', deviceHelp)
      .addOption(
        new Option('--budget <time>', 'how long to search, the tensors brought over: 30s, 2m')
          .argParser(budgetFrom)
          .default(30_000, '30s'),
      )
      .option('--json', 'print one object for a program');
  },
  async act(target, params, flags, { terminal, signal }) {
    const { pattern } = target;
    if (isHeadPatterns(pattern)) {
      throw new UsageError(
        'a pattern per head has a kernel for each',
        `tune them one by one: ${target.definitions.map(({ name }) => name).join(', ')}`,
      );
    }
    const dtype = flags.dtype ?? 'bf16';
    const shape = randomShape(flags);
    // Random numbers are only timed and compared with each other: quick ones will do.
    const inputs = shape
      ? { ...(await loadCaptured(flags, target.definitions)), shape, dtype }
      : await loadInputs(flags, target.definitions, dtype);
    const live = liveTable(terminal, flags.budget);
    const { device, budget: budgetMs } = flags;
    // The process may end with this turn, and the screen is cleared for its last words.
    signal.addEventListener('abort', live.leave);
    const result = await tunePattern(pattern, {
      ...{ inputs, params, device, budgetMs, signal },
      onProgress: live.update,
    });
    live.done();
    if (flags.json) terminal.printJson(result);
    else terminal.print(textOf(result));
    return exit.fine;
  },
};

/** `30s`, `2m`, `500ms`: milliseconds. */
export function budgetFrom(text: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)(ms|s|m)$/.exec(text) ?? [];
  const ms = Number(number) * { ms: 1, s: 1000, m: 60_000 }[unit as 'ms' | 's' | 'm'];
  if (!(ms > 0)) throw new InvalidArgumentError('Give a time such as 30s, 2m or 500ms.');
  return ms;
}

/** What is shown while it works; of a search that is interrupted it stays, in full. */
function liveTable(terminal: Terminal, budgetMs: number) {
  const live = terminal.live('preparing the tensors');
  let latest: SearchProgress | undefined;
  return {
    update: (progress: SearchProgress) => {
      latest = progress;
      live.update(() => progressText(progress, budgetMs));
    },
    leave: () => {
      if (latest) terminal.say(progressText(latest, budgetMs));
    },
    done: () => live.done(),
  };
}

/** So many candidates are shown: the ones that matter fit a screen. */
const mostShown = 10;
const words = {
  compiling: 'compiling',
  checking: 'checking results',
  timing: 'timing',
  sustaining: 'timing the fastest alone',
  done: 'done',
} as const;

/** The line and the table of a moment. The first line says it all. */
export function progressText(
  { phase, elapsedMs, standings, best, untuned }: SearchProgress,
  budgetMs: number,
): string {
  const lead = best === untuned ? 'nothing faster than the untuned one yet' : `best ${best.name}`;
  const title = `${words[phase]}, ${duration(elapsedMs)} of ${duration(budgetMs)}: ${lead}`;
  const all = standings.map(candidateOf).sort(byRatio);
  const timed = all.filter(({ rounds }) => rounds > 0);
  return [`${title}; ${countsText(all)}`, ...(timed.length > 0 ? [tableOf(timed)] : [])].join('\n');
}

const byRatio = (a: TunedCandidate, b: TunedCandidate): number =>
  (a.ratio ?? Infinity) < (b.ratio ?? Infinity) ? -1 : 1;

/** Every state with its number. */
function countsText(all: readonly TunedCandidate[]): string {
  const counts = new Map<string, number>();
  for (const { state } of all) counts.set(state, (counts.get(state) ?? 0) + 1);
  return [...counts].map(([state, count]) => `${count} ${state}`).join(', ');
}

/** Names come last: they are long, and a narrow screen cuts them off. */
function tableOf(timed: readonly TunedCandidate[]): string {
  const shown = timed.slice(0, mostShown);
  const areSustained = shown.some(({ sustained }) => sustained);
  const title = ['of untuned', ...(areSustained ? ['alone'] : []), 'time', 'rounds', 'state'];
  const rows = shown.map(({ ms, ratio, rounds, state, sustained }) => [
    percent(ratio!),
    ...(areSustained ? [sustained ? percent(sustained.ratio) : ''] : []),
    duration(sustained?.ms ?? ms!),
    String(rounds),
    state,
  ]);
  const names = ['kernel', ...shown.map(({ name }) => name)];
  return table([title, ...rows])
    .split('\n')
    .map((line, i) => `${line}  ${names[i]}`)
    .join('\n');
}

function textOf(result: TuneResult): string {
  const { pattern, shape, dtype, device, chip, best, candidates, isComplete } = result;
  const { batch, heads, kvHeads, qLen, kLen, headDim, valueDim } = shape;
  const dims = headDim === valueDim ? `${headDim}` : `${headDim}/${valueDim}`;
  const where = chip ? `${chip.chip}, driver ${chip.driver}` : device;
  const ended = isComplete ? '' : '; not all was tried: a longer --budget may find better';
  const bad = candidates.filter(({ state }) => ['fails', 'hangs', 'wrong'].includes(state));
  return [
    pattern,
    `batch ${batch}, heads ${heads}/${kvHeads}, ${grouped(qLen)} queries x ${grouped(kLen)} keys, dim ${dims}, ${dtype}; ${where}`,
    '',
    ...(best.rounds > 0 ? [tableOf(candidates.filter(({ rounds }) => rounds > 0)), ''] : []),
    `best      ${best.name}: ${gainText(result)}`,
    `tried     ${countsText(candidates)}${ended}`,
    ...bad.slice(0, mostShown).map(({ name, state, why }) => `${state.padEnd(8)}  ${name}: ${why}`),
    `kept      ${keptText(result)}`,
    ...damagedText(),
  ].join('\n');
}

function gainText({ best, untuned, candidates }: TuneResult): string {
  if (best.name !== untuned.name)
    return `${percent(best.sustained?.ratio ?? best.ratio!)} of the untuned kernel's time (${untuned.name})`;
  const others = candidates.filter(({ name, rounds }) => name !== best.name && rounds > 0);
  if (others.some(({ sustained }) => sustained))
    return 'untuned: nothing is faster when the chip does nothing else';
  return others.length > 0 ? 'untuned, and nothing is faster' : 'untuned: no other was timed';
}

function keptText({ file, length, chip, best }: TuneResult): string {
  if (file !== undefined) return `for lengths of class ${length}, in ${file}`;
  if (!chip) return 'nowhere: times of this device mean nothing';
  if (best.rounds === 0) return 'nowhere: nothing was timed';
  return 'nowhere: the winner of before was not compared with, or the file cannot be written';
}

function damagedText(): string[] {
  const { damaged, file } = tunedStore();
  if (damaged.length === 0) return [];
  return [`damaged   lines ${damaged.slice(0, 5).join(', ')} of ${file} are left out`];
}
