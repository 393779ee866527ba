// From the traced graph of an estimate to its launch list. The folder:
// - what is asked for: trees, passes; how much at once: waves, runs (heads of equal numbers)
// - the families of passes, each its kernels and its launches (-run): probe, energies and cells, which hold no scores,
//   and stored, which computes anything: scores, sums
// - what they are made of: vectors, tiles (sizes in shared memory), products (by back-end)
// - what reads them: leads (that a probe leaves to be added), select (kernels; largest: of one rule), selections (launches;
//   split-rows: of long rows), bitmaps; sets (launches after the passes), fallback (of heads that chose too much)
// - kernels (of one pass), text (how one is written), launches (the list being built), places (where things lie),
//   run (the launches of a pass); lists: what attention reads beside the bits of a set
// What every step means: runtime/reference/estimate.ts.

import type { SetDomain } from '../../dsl/chosen.ts';
import { diagnostic, PlanError } from '../../dsl/diagnostic.ts';
import type { FallbackLimits } from '../../dsl/estimate/limits.ts';
import { neededOfWants, neededSets } from '../../dsl/estimate/needed.ts';
import type { LaunchShape } from '../../dsl/shape.ts';
import type { Buffer, Kernel, LaunchList } from '../kernel.ts';
import { decideFallback, denseOf, fallenBuffer, fullSetsList } from './fallback.ts';
import { at, errorBuffer, Launches } from './launches.ts';
import { type PassPlan, passesOf } from './passes.ts';
import type { PassContext } from './places.ts';
import type { EstimateLaunchRequest } from './request.ts';
import { runPass } from './run.ts';
import { bytesOf, choose, dilate, fillDense, unitsOf } from './sets.ts';
import { bitmapsOf, type SetPlan, setsOf, type Tree } from './trees.ts';

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
  /** Where heads may fall back: which did, among the results, and what makes their sets full once attention has run. */
  readonly fallback?: { readonly buffer: string; readonly finish: LaunchList };
}

const errorBytes = 16;

/**
 * Pure: the same request gives the same list. Budgets, lengths, batch, heads and strides are arguments of
 * the launches; steps, sizes, head dim, dtype and the query heads of a block are in the texts.
 * throws: PlanError E010 for heads that choose by different steps, for vectors that have no kernels, and for scores
 * that no kernel sums as it makes them where keeping them takes too much.
 */
export function estimateLaunch(request: EstimateLaunchRequest): EstimateLaunch {
  const { graphs, shape, only, rows, fallback } = request;
  checkVectors(shape);
  const plans = setsOf(graphs, shape);
  const asked = neededSets(graphs[0] ?? {}, rows);
  const needed = plans.filter(({ name }) => Object.hasOwn(asked, name));
  const passes = passesOf(needed, shape, neededOfWants(asked, rows));
  const launches = new Launches();
  const context: PassContext = { ...request, launches, needed: new Set(only ?? graphs.keys()) };
  const results: Buffer[] = [{ name: errorBuffer, bytes: errorBytes }];
  launches.fill(at(errorBuffer), errorBytes, 255);
  const written = writtenBy(passes, context);
  for (const { tree } of needed)
    for (const node of bitmapsOf(tree)) if (node.op !== 'selection') written.add(node.bits);
  for (const { tree } of plans) results.push(...clear(tree, shape, launches, written));
  for (const pass of passes) {
    runPass(pass, context);
    for (const reading of pass.readings) {
      for (const selection of reading.selections) fillDense(pass, reading, selection, context);
    }
  }
  const readings = passes.flatMap((pass) => pass.readings);
  for (const node of needed.flatMap(({ tree }) => bitmapsOf(tree))) {
    if (node.op === 'dilation') dilate(node, shape, launches);
    if (node.op === 'choice') choose(node, readings, context);
  }
  if (fallback) results.push(...fallBack(plans, fallback, context));
  const sets = plans.map(({ name, tree }): [string, SetBuffer] => {
    const set = setBuffer(tree, shape);
    return [name, fallback ? { ...set, dense: denseOf(tree) } : set];
  });
  return {
    list: launches.list,
    kernels: launches.kernels,
    sets: Object.fromEntries(sets),
    results,
    errorBuffer,
    ...(fallback && {
      fallback: { buffer: fallenBuffer, finish: fullSetsList(plans, shape) },
    }),
  };
}

/** The launches that decide which heads fall back. Returns the results: every set says which of its units are full. */
function fallBack(
  plans: readonly SetPlan[],
  limits: FallbackLimits,
  context: PassContext,
): Buffer[] {
  const { shape, launches } = context;
  const flags = plans.flatMap(({ tree }): Buffer[] =>
    tree.dense ? [] : [{ name: denseOf(tree), bytes: 4 * unitsOf(tree, shape) }],
  );
  for (const { name, bytes } of flags) launches.fill(at(name), bytes, 0);
  return [...flags, decideFallback(plans, limits, context)];
}

/** The longest vectors that have kernels, and what they are a multiple of. */
const mostHeadDim = 256;
const headDimStep = 8;

function checkVectors({ headDim }: LaunchShape): void {
  if (headDim % headDimStep === 0 && headDim <= mostHeadDim) return;
  throw new PlanError([
    diagnostic('E010', `vectors of ${headDim} elements have no kernels`, {
      help: `append zeros to q and k: kernels take multiples of ${headDimStep} up to ${mostHeadDim}; or use the CPU device`,
    }),
  ]);
}

function setBuffer(tree: Tree, shape: LaunchShape): SetBuffer {
  const { perGroup, domain, dense, bits } = tree;
  const [units, bytes] = [unitsOf(tree, shape), bytesOf(tree, shape)];
  return { perGroup, domain, units, buffer: bits, bytes, dense };
}

/** The bitmaps of which the selections write every word: of all units and rows. */
function writtenBy(
  passes: readonly PassPlan[],
  { shape, needed }: Pick<PassContext, 'shape' | 'needed'>,
): Set<string> {
  const isAll = needed.size === shape.heads;
  const full = passes.flatMap(({ readings }) =>
    readings.flatMap(({ rows, selections }) =>
      selections.filter(({ domain }) => {
        const hasAll =
          !rows || (rows.from === domain.rowFrom && rows.to - rows.from === domain.rows);
        return isAll && hasAll;
      }),
    ),
  );
  return new Set(full.map(({ bits }) => bits));
}

/**
 * Empties the bitmaps of a set that are not written altogether, and all flags; those that are not results are
 * workspace. Returns the results.
 */
function clear(
  tree: Tree,
  shape: LaunchShape,
  launches: Launches,
  written: ReadonlySet<string>,
): Buffer[] {
  const results: Buffer[] = [];
  const known = new Set<string>();
  const empty = (name: string, bytes: number) => {
    if (known.has(name)) return;
    known.add(name);
    if (name === tree.bits || name === tree.dense) results.push({ name, bytes });
    else launches.need(name, bytes);
    if (!written.has(name)) launches.fill(at(name), bytes, 0);
  };
  for (const node of bitmapsOf(tree)) {
    empty(node.bits, bytesOf(node, shape));
    if (node.dense) empty(node.dense, 4 * unitsOf(node, shape));
  }
  return results;
}
