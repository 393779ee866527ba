// Our half of the bench of attention: works through the public API on one device. Works of one length share
// their rounds, and so do those that are beside another, so that their rates can be compared.

import { compile, type Device, type Tensor } from '../../../index.ts';
import { Gpu } from '../../../runtime/cuda/gpu.ts';
import { uploadSets } from '../../../runtime/cuda/sets.ts';
import { areSmall, errorsOf } from './check.ts';
import { operationsPerCycle } from './clock.ts';
import { Inputs } from './inputs.ts';
import type { Report, Result } from './report.ts';
import { type Call, type RoundOptions, type Stopwatch, stopwatchOn, timeRounds } from './rounds.ts';
import { numbersOf, subjects } from './subjects.ts';
import type { Work } from './works.ts';

export interface OurOptions extends RoundOptions {
  /** Compares some rows of each result with the author's own functions. */
  readonly check: boolean;
  /** Told of each result when it is there. */
  readonly onResult?: (result: Result) => void;
}

const us = 'warploom';

/** Runs works, shortest first. One that fails is reported as such. */
export async function runOurs(
  device: Device,
  works: readonly Work[],
  options: OurOptions,
): Promise<Result[]> {
  const stopwatch = await stopwatchOn(device);
  const inputs = new Inputs(device);
  const results: Result[] = [];
  for (const group of groupsOf(works)) {
    for (const result of await runGroup(device, group, inputs, stopwatch, options)) {
      results.push(result);
      options.onResult?.(result);
    }
    await inputs.release();
  }
  return results;
}

/** Those that share their rounds: a chip at its limit of power is slower the longer it is at work. */
export function groupsOf(works: readonly Work[]): Work[][] {
  const groups = new Map<number, Work[]>();
  for (const work of works.toSorted((a, b) => a.length - b.length)) {
    const other = works.find(({ name }) => name === work.beside?.work) ?? work;
    groups.set(other.length, [...(groups.get(other.length) ?? []), work]);
  }
  return [...groups.values()];
}

/** The facts of a report that are ours. */
export function ourReport(device: Device, results: readonly Result[]): Report {
  const gpu = device.kind !== 'cpu' && device.machine instanceof Gpu ? device.machine : undefined;
  return {
    device: {
      name: gpu?.device.properties.name ?? device.description,
      operationsPerCycle: (gpu && operationsPerCycle(gpu)) ?? null,
    },
    versions: { ...(gpu && { driver: gpu.device.properties.driver }), node: process.version },
    date: new Date().toISOString().slice(0, 10),
    results: [...results],
  };
}

async function runGroup(
  device: Device,
  works: readonly Work[],
  inputs: Inputs,
  stopwatch: Stopwatch,
  options: OurOptions,
): Promise<Result[]> {
  const results: Result[] = [];
  const calls: { readonly call: Call; readonly result: Result }[] = [];
  for (const work of works) {
    const result = emptyResult(work);
    results.push(result);
    try {
      const { call, error } = await prepare(device, work, inputs, options.check);
      result.error = error ?? null;
      if (error && !areSmall(error, work.dtype)) result.failure = 'the result is wrong';
      calls.push({ call, result });
    } catch (error) {
      result.failure = messageOf(error);
    }
  }
  try {
    const timed = await timeRounds(
      calls.map(({ call }) => call),
      stopwatch,
      options,
    );
    for (const [i, { result }] of calls.entries()) {
      result.ms = timed[i]!.map(({ ms }) => ms);
      result.megahertz = timed[i]!.flatMap(({ megahertz }) => megahertz ?? []);
    }
  } catch (error) {
    for (const { result } of calls) result.failure ??= messageOf(error);
  }
  return results;
}

const emptyResult = (work: Work): Result => ({
  work: work.name,
  contender: us,
  pairs: subjects[work.subject].pairs(work),
  headDim: work.headDim,
  ms: [],
  megahertz: [],
  error: null,
  preparationMs: null,
  failure: null,
});

/** The first line: what was wrong, without its place. */
const messageOf = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split('\n')[0]!;

/** A work made ready and called once. */
async function prepare(device: Device, work: Work, inputs: Inputs, check: boolean) {
  const { heads, kvHeads, length, headDim, dtype } = work;
  const subject = subjects[work.subject];
  const attend = await compile(subject.pattern(work), { heads, kvHeads, headDim, dtype, device });
  const [q, k, v] = await Promise.all([
    inputs.tensor('q', [1, heads, length, headDim], dtype),
    inputs.tensor('k', [1, kvHeads, length, headDim], dtype),
    inputs.tensor('v', [1, kvHeads, length, headDim], dtype),
  ]);
  const sets = subject.chosen?.(work);
  const chosen = sets && (device.kind === 'cpu' ? sets : await uploadSets(device.machine, sets));
  const captured = subject.captured?.(work) ?? {};
  const given = { q, k, v, ...(chosen && { chosen }) };
  const numbers = numbersOf(work);
  // What captured tensors hold is looked at in the first call alone: the others find them on the device.
  const first = await attend({ ...given, ...captured }, numbers);
  const placed: Record<string, Tensor> = {};
  for (const [name, tensor] of Object.entries(captured))
    placed[name] = device.kind === 'cpu' ? tensor : await device.upload(tensor);
  try {
    const error = check ? await errorsOf(work, first, sets ?? {}, inputs, device) : undefined;
    if (device.kind !== 'cpu') await device.synchronize();
    const call = async () => {
      const { out, lse } = await attend({ ...given, ...placed }, numbers);
      out.dispose();
      lse.dispose();
    };
    return { call, error };
  } finally {
    first.out.dispose();
    first.lse.dispose();
  }
}
