// `warploom bench`: how long warm calls of a pattern take beside dense causal attention on the same device,
// in rounds that alternate, so that a clock that drifts does so for both.

import type { Command } from 'commander';
import type { AnyPattern, Pattern } from '../../dsl/pattern.ts';
import { grouped, percent } from '../../dsl/plan/explain.ts';
import type { LaunchShape } from '../../dsl/shape.ts';
import { type AttendResult, compile } from '../attend.ts';
import type { Device } from '../device.ts';
import { explainPlans } from '../explain.ts';
import type { Fallback } from '../hulls.ts';
import type { CallOptions } from '../parts.ts';
import { checkCall, type PlannedCall, planCall } from '../plans.ts';
import { deviceData, deviceHelp, openNamed, threadsHelp, timeOn, uploaded } from './devices.ts';
import { exit } from './failure.ts';
import {
  addInputOptions,
  countFrom,
  fallbackOption,
  type InputFlags,
  isQuicklyPlanned,
  loadInputs,
  sizeFrom,
  usualDtype,
} from './inputs.ts';
import { duration, table } from './terminal.ts';
import type { PatternVerb } from './verb.ts';

interface BenchFlags extends InputFlags {
  readonly device?: string;
  readonly threads?: number;
  readonly rounds: number;
  readonly json?: boolean;
  readonly fallback?: Fallback;
}

/** One thing that is timed: medians over the rounds, of one call. */
interface Measured {
  readonly what: string;
  /** On the device where it has a clock, else until the result is there. */
  readonly ms: number;
  /** Until the call returns; the device may still be at work. */
  readonly hostMs: number;
  /** By the multiplications and additions of the pairs visited, and of all pairs of the causal triangle. */
  readonly teraflops: { readonly visited?: number; readonly dense: number };
  /** `ms` of dense causal attention is 1. */
  readonly shareOfDense: number;
}

export const bench: PatternVerb<BenchFlags> = {
  name: 'bench',
  summary: 'time warm calls of a pattern beside dense causal attention on the same device',
  examples: [
    'a-shape --random 1,32,8,131072,128 --device cuda',
    'vertical-slash --random 1,2,1,1024,64 --device cpu --rounds 3 --json',
  ],
  addOptions(command: Command) {
    addInputOptions(command, { length: false });
    command
      .option('--device <name>', deviceHelp)
      .option('--threads <n>', threadsHelp, sizeFrom)
      .addOption(fallbackOption())
      .option('--rounds <n>', 'how often each is timed', countFrom, 5)
      .option('--json', 'print one object for a program');
  },
  async act(target, params, flags, { terminal, signal, patterns }) {
    const { rounds, fallback } = flags;
    const device = await openNamed(flags);
    try {
      const inputs = await loadInputs(flags, target.definitions, usualDtype(device));
      const { shape, dtype } = checkCall(target.pattern, inputs, params);
      const there = device.kind === 'cpu' ? inputs : await uploaded(inputs, device);
      const options = { ...shape, dtype, device };
      const attend = await compile(target.pattern as Pattern, {
        ...options,
        ...(fallback && { fallback }),
      });
      const dense = await compile(patterns.get('causal') as AnyPattern, options);
      const { q, k, v } = there;
      const call = { signal };
      const isDynamic = target.definitions.some(({ estimates }) => estimates.length > 0);
      // The sets of one call are those of all: attention alone takes them as given.
      const sets = isDynamic ? await attend.estimate(there, params, call) : undefined;
      const chosen = sets && { chosen: sets };
      const contenders: Contender[] = [
        { what: 'attention', run: () => attend({ ...there, ...chosen }, params, call) },
        { what: 'dense causal', run: () => dense({ q, k, v }, {}, call) },
      ];
      if (isDynamic)
        contenders.unshift({ what: 'with estimate', run: () => attend(there, params, call) });
      const progress = terminal.progress('timing');
      const times = await timeRounds(contenders, device, rounds, progress.update);
      progress.done();
      const dependent = causalPairs(shape);
      const visited = isQuicklyPlanned(target.definitions, shape)
        ? await pairsOf(await planCall(target.pattern, { ...inputs, ...chosen }, params), call)
        : undefined;
      const measured = contenders.map(({ what }, i): Measured => {
        const { ms, hostMs } = times[i]!;
        const rate = (pairs: number) => (2 * pairs * (shape.headDim + shape.valueDim)) / (ms * 1e9);
        const own = what === 'dense causal' ? dependent : visited;
        return {
          what,
          ms,
          hostMs,
          teraflops: { ...(own !== undefined && { visited: rate(own) }), dense: rate(dependent) },
          shareOfDense: ms / times.at(-1)!.ms,
        };
      });
      if (flags.json) {
        const facts = { pattern: target.name, params, shape, dtype, device: deviceData(device) };
        terminal.printJson({ ...facts, rounds, pairs: { visited, dense: dependent }, measured });
      } else {
        const { batch, heads, kvHeads, qLen, kLen, headDim } = shape;
        const share =
          visited === undefined || dependent === 0
            ? ''
            : `${percent(visited / dependent)} of the causal pairs visited, `;
        terminal.print(
          [
            target.name,
            `batch ${batch}, heads ${heads}/${kvHeads}, ${grouped(qLen)} queries x ${grouped(kLen)} keys, dim ${headDim}, ${dtype}; ${device.description}`,
            `${share}medians of ${rounds} round${rounds === 1 ? '' : 's'}`,
            '',
            textOf(measured),
          ].join('\n'),
        );
      }
      return exit.fine;
    } finally {
      await device.dispose();
    }
  },
};

interface Contender {
  readonly what: string;
  readonly run: () => Promise<AttendResult<unknown>>;
}

/** On a GPU, so many milliseconds of work are enqueued at once: the gap before the first call weighs little. */
const batchMs = 20;
const mostCalls = 20;

/** Each contender once unseen, then all of them in turn, round after round. */
async function timeRounds(
  contenders: readonly Contender[],
  device: Device,
  rounds: number,
  onProgress: (share: number) => void,
): Promise<{ ms: number; hostMs: number }[]> {
  const once = async ({ run }: Contender, calls: number) => {
    const timed = await timeOn(device, async () => {
      for (let i = 0; i < calls; i += 1) {
        const { out, lse } = await run();
        out.dispose();
        lse.dispose();
      }
    });
    return { ms: (timed.deviceMs ?? timed.hostMs) / calls, hostMs: timed.callMs / calls };
  };
  const calls: number[] = [];
  for (const one of contenders) {
    await once(one, 1);
    if (device.kind !== 'cuda') calls.push(1);
    else calls.push(Math.min(mostCalls, Math.ceil(batchMs / (await once(one, 1)).ms)));
  }
  const all: { ms: number; hostMs: number }[][] = contenders.map(() => []);
  for (let round = 0; round < rounds; round += 1) {
    for (const [i, one] of contenders.entries()) all[i]!.push(await once(one, calls[i]!));
    onProgress((round + 1) / rounds);
  }
  return all.map((times) => ({
    ms: median(times.map(({ ms }) => ms)),
    hostMs: median(times.map(({ hostMs }) => hostMs)),
  }));
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;

/** (query, key) pairs up to the diagonal, of all heads. */
function causalPairs({ batch, heads, qLen, kLen }: LaunchShape): number {
  const rows = Math.min(qLen, kLen);
  return batch * heads * (rows * kLen - (rows * (rows - 1)) / 2);
}

/** Visited pairs; of tiles across the diagonal, those below it, as of dense causal attention. */
async function pairsOf(planned: PlannedCall, options: CallOptions): Promise<number> {
  const { parts } = await explainPlans(planned, { ...options, proveTiles: 0 });
  return parts.reduce(
    (sum, { launch }) =>
      launch.groups.reduce((all, { units, summary: { against, pairs } }) => {
        const own = against === 'causal' ? pairs.visitedCausal : pairs.visited;
        return all + units.length * own;
      }, sum),
    0,
  );
}

function textOf(measured: readonly Measured[]): string {
  const title = ['', 'time', 'host', 'TFLOP/s visited', 'TFLOP/s dense', 'of dense'];
  const figures = (rate: number | undefined): string => rate?.toPrecision(3) ?? '-';
  const rows = measured.map(({ what, ms, hostMs, teraflops, shareOfDense }) => [
    what,
    duration(ms),
    duration(hostMs),
    figures(teraflops.visited),
    figures(teraflops.dense),
    percent(shareOfDense),
  ]);
  return table([title, ...rows]);
}
