// The CPU device's estimate: which keys matter, in fp32, chunk by chunk of rows. The folder: groups (what
// is asked for, from dsl/estimate), vectors and stream (scores), sinks and reader (sums), select and combine
// (members). The float64 oracle is runtime/reference/estimate.ts and shares nothing with this.

import { BitSet, type ChosenSet, type ChosenSetsData, partOf } from '../../../dsl/chosen.ts';
import { domainOf } from '../../../dsl/estimate/domain.ts';
import { type NeededRows, neededSets } from '../../../dsl/estimate/needed.ts';
import { axesOfChosen, isPerGroup } from '../../../dsl/estimate/node.ts';
import type { EstimateGraph } from '../../../dsl/estimate/trace.ts';
import type { LaunchShape } from '../../../dsl/shape.ts';
import { checkGraphs } from '../../inputs.ts';
import type { Tensor } from '../../tensor.ts';
import { type TileProducts, tileProducts } from '../products.ts';
import { combine, type Results } from './combine.ts';
import { headsOfGroup, type PassPlan, passesOf, type Reading } from './groups.ts';
import { Pace } from './pace.ts';
import { type Reader, readerOf } from './reader.ts';
import { run, workOf } from './stream.ts';

export interface EstimateRequest {
  /** One graph per query head, the same object where they are equal. */
  readonly graphs: readonly EstimateGraph[];
  /** shape: [batch, heads, qLen, headDim] */
  readonly q: Tensor;
  /** shape: [batch, kvHeads, kLen, headDim] */
  readonly k: Tensor;
  readonly shape: LaunchShape;
  /** The query heads whose sets are needed; the sets of the others stay empty. All, when left out. */
  readonly only?: readonly number[] | undefined;
  /** The rows of each set that matter; the others stay empty, and are not computed. All, when left out. */
  readonly rows?: NeededRows | undefined;
  /** Told from time to time how much is done, 0..1. */
  readonly onProgress?: ((fraction: number) => void) | undefined;
  /** Waited for every few milliseconds; the default lets the event loop run. A rejection ends the work. */
  readonly yieldNow?: (() => Promise<void>) | undefined;
  /** For tests and benchmarks; the fastest there is, when left out. */
  readonly products?: TileProducts | undefined;
  /** Told what of the time went to picking members, and to making sets of them. */
  readonly clock?: EstimateClock | undefined;
  /** For tests: rows of scores held at once. */
  readonly chunkRows?: number | undefined;
}

/** Milliseconds, added to what is there. */
export interface EstimateClock {
  select: number;
  convert: number;
}

interface Target extends Omit<ChosenSet, 'units' | 'dense'> {
  readonly name: string;
  readonly units: BitSet[];
  readonly dense: boolean[];
}

/**
 * The chosen sets of all heads. Memory beyond the sets is linear in the length.
 * throws: PlanError E003 for graphs that differ between heads where they must agree, E004 for scores
 * that are not finite.
 */
export async function estimateSets(request: EstimateRequest): Promise<ChosenSetsData> {
  const { graphs, shape } = request;
  const [first] = graphs;
  if (!first) return {};
  checkGraphs(graphs, shape);
  const needed = new Set(request.only ?? graphs.keys());
  const groups = Array.from({ length: shape.kvHeads }, (_, kvHead) => {
    const heads = headsOfGroup(shape, kvHead);
    return { kvHead, heads, passes: passesOf(heads, graphs, needed, request.rows, shape) };
  });
  const pace = new Pace(request.yieldNow, request.onProgress);
  for (const { passes } of groups) {
    for (const plan of passes)
      pace.expect(shape.batch * workOf(plan.scores, plan.heads.length, shape, plan.limit?.scores));
  }
  const targets = Object.entries(first).map(([name, node]): Target => {
    const perGroup = isPerGroup(node);
    const rows = partOf(domainOf(node, shape), request.rows?.[name]);
    return {
      name,
      perGroup,
      axes: axesOfChosen(node),
      units: [],
      dense: [],
      ...(rows && { rows }),
    };
  });
  for (let batch = 0; batch < shape.batch; batch++) {
    for (const { kvHead, heads, passes } of groups) {
      const all = new Map(heads.map((head) => [head, { leaves: new Map(), sums: new Map() }]));
      for (const plan of passes) await runPlan(plan, batch, kvHead, all, pace, request);
      const start = performance.now();
      for (const target of targets) addUnits(target, heads, all, request, needed);
      if (request.clock) request.clock.convert += performance.now() - start;
    }
  }
  pace.finish();
  return Object.fromEntries(targets.map(({ name, ...set }): [string, ChosenSet] => [name, set]));
}

/** Runs one pass and leaves what was read in the results of its heads. */
async function runPlan(
  plan: PassPlan,
  batch: number,
  kvHead: number,
  all: ReadonlyMap<number, Results>,
  pace: Pace,
  { q, k, shape, products = tileProducts(), chunkRows, clock }: EstimateRequest,
): Promise<void> {
  const open = (readings: Iterable<Reading>): Reader[] =>
    [...readings].map(({ want, leaves }) =>
      readerOf(want, [...leaves.values()], shape, { range: plan.limit?.range, clock }),
    );
  const shared = open(plan.ofGroup.values());
  const members = plan.heads.map((head) => {
    const own = open(plan.ofHead.get(head)?.values() ?? []);
    return {
      inputs: { q, k, shape, batch, head, kvHead },
      sinks: [...shared, ...own].map(({ sink }) => sink),
      own,
    };
  });
  const { scores, how, limit } = plan;
  await run({ scores, how, rows: limit?.scores, members, products, pace, chunkRows });
  for (const { inputs, own } of members) {
    for (const reader of own) reader.close(all.get(inputs.head)!);
  }
  const common: Results = { leaves: new Map(), sums: new Map() };
  for (const reader of shared) reader.close(common);
  for (const results of all.values()) {
    for (const [text, outcome] of common.leaves) results.leaves.set(text, outcome);
    for (const [key, sums] of common.sums) results.sums.set(key, sums);
  }
}

/** Appends the sets of the heads of one KV head, in the order of ChosenSet's units. */
function addUnits(
  { name, perGroup, units, dense }: Target,
  heads: readonly number[],
  all: ReadonlyMap<number, Results>,
  { graphs, shape, rows }: EstimateRequest,
  needed: ReadonlySet<number>,
): void {
  const isAsked = (graph: EstimateGraph) => Object.hasOwn(neededSets(graph, rows), name);
  const asked = heads.filter((head) => needed.has(head) && isAsked(graphs[head]!));
  for (const head of perGroup ? [asked[0] ?? heads[0]!] : heads) {
    const node = graphs[head]![name]!;
    const outcome = asked.includes(head)
      ? combine(node, all.get(head)!, shape)
      : { set: new BitSet(domainOf(node, shape)), dense: false };
    units.push(outcome.set);
    dense.push(outcome.dense);
  }
}
