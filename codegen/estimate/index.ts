// From the traced graph of an estimate to its launch list. The folder: passes (what is asked for), waves
// (how much at once), vectors, scores, sums, select and kernels (the texts), text (how one is written),
// runs (heads of equal numbers), launches (the list being built), run (one pass). What every step means:
// runtime/reference/estimate.ts.

import type { SetDomain } from '../../dsl/chosen.ts';
import type { EstimateGraph } from '../../dsl/estimate/trace.ts';
import type { LaunchShape } from '../../dsl/shape.ts';
import type { Buffer, Kernel, LaunchList } from '../kernel.ts';
import { selectSpec } from './kernels.ts';
import { at, denseBuffer, errorBuffer, Launches } from './launches.ts';
import { type PassPlan, passesOf, type ReadingPlan, type SetPlan } from './passes.ts';
import { type PassContext, runPass } from './run.ts';
import { runsOfEqual } from './runs.ts';
import { dilateKernel, fillKernel, leafArguments, wordThreads } from './select.ts';
import { gridArguments } from './text.ts';
import type { HalfType, Strides } from './vectors.ts';

export interface EstimateLaunchRequest {
  /** One graph per query head: equal steps and sizes, any numbers. */
  readonly graphs: readonly EstimateGraph[];
  readonly shape: LaunchShape;
  /** Of q and k. */
  readonly dtype: HalfType;
  /** Elements from one batch entry, head and row to the next; the last axis has no gaps. */
  readonly strides: { readonly q: Strides; readonly k: Strides };
  /** The query heads whose sets are needed; the sets of the others stay empty. All, when left out. */
  readonly only?: readonly number[] | undefined;
  /** Bytes of scores held at once; for tests. */
  readonly scoreBytes?: number | undefined;
}

/** A set as device memory: [units, domain.rows, ceil(domain.columns / 32)] u32, each unit like a BitSet. */
export interface SetBuffer {
  readonly perGroup: boolean;
  readonly domain: SetDomain;
  /** batch * heads, or batch * kvHeads where `perGroup`. */
  readonly units: number;
  readonly buffer: string;
  readonly bytes: number;
  /** [units] u32, not 0 where a capacity was exceeded; undefined for sets that know no capacity. */
  readonly dense: string | undefined;
}

export interface EstimateLaunch {
  /** Reads the buffers 'q' and 'k', writes `results`; its workspace is its own. */
  readonly list: LaunchList;
  /** All kernels of the list, each once. */
  readonly kernels: readonly Kernel[];
  readonly sets: Readonly<Record<string, SetBuffer>>;
  /** What outlives the list and is not in its workspace: sets, dense flags, the error. */
  readonly results: readonly Buffer[];
  /**
   * 16 bytes. The first 8, a little-endian u64, are all ones unless a score is not finite (E004): then they
   * are batch << 48 | head << 32 | row of the first one, the row as the scores count it (position / size).
   */
  readonly errorBuffer: string;
}

const errorBytes = 16;

export const wordsOf = (domain: SetDomain): number => Math.ceil(domain.columns / 32);

/**
 * Pure: the same request gives the same list. Budgets, lengths, batch, heads and strides are arguments of
 * the launches; steps, sizes, head dim and dtype are in the texts.
 * throws: PlanError E010 for a step that has no kernels.
 */
export function estimateLaunch(request: EstimateLaunchRequest): EstimateLaunch {
  const { graphs, shape, only } = request;
  const passes = passesOf(graphs, shape);
  const launches = new Launches();
  launches.fill(errorBuffer, errorBytes, 255);
  const results: Buffer[] = [{ name: errorBuffer, bytes: errorBytes }];
  const sets: Record<string, SetBuffer> = {};
  const plans = passes.flatMap(({ readings }) => readings.flatMap((reading) => reading.sets));
  const names = Object.keys(graphs[0] ?? {});
  for (const set of plans.sort((a, b) => names.indexOf(a.name) - names.indexOf(b.name))) {
    const buffer = setBuffer(set, shape);
    sets[set.name] = buffer;
    results.push({ name: buffer.buffer, bytes: buffer.bytes });
    if (buffer.dense) {
      results.push({ name: buffer.dense, bytes: 4 * buffer.units });
      launches.fill(buffer.dense, 4 * buffer.units, 0);
    }
  }
  const needed = new Set(only ?? graphs.keys());
  const context: PassContext = { ...request, launches, needed, bitsOf: (set) => bitsOf(set, 0) };
  for (const pass of passes) {
    for (const { sets: own } of pass.readings) {
      for (const set of own) {
        const bits = bitsOf(set, 0);
        const bytes = bytesOf(set.chosen, unitsOf(set, shape));
        if (set.dilations.length > 0) launches.need(bits, bytes);
        launches.fill(bits, bytes, 0);
      }
    }
    runPass(pass, context);
    for (const reading of pass.readings) {
      for (const set of reading.sets) {
        fillDense(pass, reading, set, sets[set.name]!, context);
        dilate(set, shape, launches);
      }
    }
  }
  return { list: launches.list, kernels: launches.kernels, sets, results, errorBuffer };
}

const unitsOf = ({ perGroup }: SetPlan, { batch, heads, kvHeads }: LaunchShape): number =>
  batch * (perGroup ? kvHeads : heads);

const bytesOf = (domain: SetDomain, units: number): number =>
  4 * units * domain.rows * wordsOf(domain);

/** The buffer of a set after so many dilations; after the last one it is the set's own. */
const bitsOf = ({ name, dilations }: SetPlan, done: number): string =>
  done === dilations.length ? `set ${name}` : `set ${name} before dilation ${done + 1}`;

function setBuffer(set: SetPlan, shape: LaunchShape): SetBuffer {
  const { name, perGroup, domain, leaves, dilations } = set;
  const units = unitsOf(set, shape);
  return {
    perGroup,
    domain,
    units,
    buffer: bitsOf(set, dilations.length),
    bytes: bytesOf(domain, units),
    dense: leaves[0]!.op === 'topk' ? undefined : denseBuffer(name),
  };
}

/** Units in which a row exceeded its capacity become all that they see. */
function fillDense(
  pass: PassPlan,
  reading: ReadingPlan,
  set: SetPlan,
  { dense }: SetBuffer,
  { shape, launches, needed, bitsOf: bits }: PassContext,
): void {
  if (!dense) return;
  const kernel = fillKernel(selectSpec(pass, reading, set));
  const words = wordsOf(set.chosen);
  const batchUnits = set.perGroup ? shape.kvHeads : shape.heads;
  for (const { from, to, leaf } of runsOfEqual(set, shape, needed)) {
    const { always_first, always_last } = leafArguments(leaf);
    launches.launch(
      kernel,
      [(to - from) * shape.batch * set.chosen.rows, Math.ceil(words / wordThreads), 1],
      {
        ...gridArguments(pass.grid),
        always_first: always_first!,
        always_last: always_last!,
        words,
        set_from: set.chosen.rowFrom,
        set_rows: set.chosen.rows,
        units: to - from,
        unit: from,
        batch_units: batchUnits,
      },
      { bits: at(bits(set)), dense: at(dense) },
    );
  }
}

function dilate(set: SetPlan, shape: LaunchShape, launches: Launches): void {
  const units = unitsOf(set, shape);
  let domain = set.chosen;
  for (const [done, size] of set.dilations.entries()) {
    const source = domain;
    domain = { ...domain, columns: domain.columns + size - 1 };
    const target = bitsOf(set, done + 1);
    if (done + 1 < set.dilations.length) launches.need(target, bytesOf(domain, units));
    const words = wordsOf(domain);
    launches.launch(
      dilateKernel(size),
      [units * domain.rows, Math.ceil(words / wordThreads), 1],
      { source_words: wordsOf(source), words },
      { source: at(bitsOf(set, done)), bits: at(target) },
    );
  }
}
