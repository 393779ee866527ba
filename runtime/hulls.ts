// Heads that attend to the hull of their mask: since their budgets leave nothing out, or, where a fallback is asked for,
// since choosing would cost more than it saves. Decided from numbers and lengths, before anything is estimated; such
// heads have no estimate, and run as a pattern of their own.

import { type FullSet, fullByBudget, isItsHull } from '../dsl/analysis/full.ts';
import { BitSet, type ChosenSet, type ChosenSetsData, fullSet } from '../dsl/chosen.ts';
import { type Definition, hullDefinition, lifted } from '../dsl/definition.ts';
import { domainOf } from '../dsl/estimate/domain.ts';
import { axesOfChosen, isPerGroup } from '../dsl/estimate/node.ts';
import type { EstimateGraph } from '../dsl/estimate/trace.ts';
import { mentions } from '../dsl/expression.ts';
import { kvHeadOf, type LaunchShape } from '../dsl/shape.ts';
import type { BackendCall } from './backend.ts';
import { type CheckedGiven, type CheckedInputs, graphsPerHead } from './inputs.ts';
import { isPlacedSet } from './memory.ts';
import type { Part } from './parts.ts';
import { predictedCost } from './predicted.ts';

/** What heads do where keys cost more to choose than to attend to: attend to the hull, or nothing special. */
export type Fallback = 'dense' | 'none';

/** Some heads of a part of a pattern. */
interface SplitPart extends Part {
  /** Which part of the pattern they are of. */
  readonly of: number;
  readonly isHull: boolean;
}

type Call = Pick<CheckedInputs, 'shape' | 'segments'> & { readonly given: readonly CheckedGiven[] };

/** The parts of a call, heads that attend to their hull apart; undefined where there are none. */
export function splitHulls(
  parts: readonly Part[],
  { shape, given, segments }: Call,
  fallback: Fallback,
): HullSplit | undefined {
  const split = parts.flatMap((part, of): SplitPart[] => {
    const isDynamic = part.definition.estimates.length > 0 && !segments;
    const hull = isDynamic ? hullHeads(part, given[of]!, shape, fallback) : new Set<number>();
    const [rest, own] = [false, true].map((isHull) =>
      part.heads.filter((head) => hull.has(head) === isHull),
    ) as [number[], number[]];
    const found: SplitPart[] = [];
    if (rest.length > 0) found.push({ ...part, heads: rest, of, isHull: false });
    if (own.length > 0)
      found.push({ definition: hullDefinition(part.definition), heads: own, of, isHull: true });
    return found;
  });
  return split.some(({ isHull }) => isHull) ? new HullSplit(split) : undefined;
}

/** Calls of one kind, some of whose heads attend to their hull. */
export class HullSplit {
  readonly #parts: readonly SplitPart[];
  /** Such calls are of another kind than those of all parts whole. */
  readonly #kind = {};

  constructor(parts: readonly SplitPart[]) {
    this.#parts = parts;
  }

  /** The heads that attend to their hull. */
  get heads(): number[] {
    return this.#parts.flatMap(({ heads, isHull }) => (isHull ? heads : []));
  }

  /** What a device is asked for in place of a call. */
  call(call: BackendCall): BackendCall {
    const passed = this.#parts.map(() => undefined);
    return { ...call, kind: this.#kind, passed, ...this.of(call.given) };
  }

  /** The parts that run in place of the pattern's, and what each is given. */
  of(given: readonly CheckedGiven[]): {
    readonly parts: readonly Part[];
    readonly given: readonly CheckedGiven[];
  } {
    return { parts: this.#parts, given: this.#parts.map(({ of }) => given[of]!) };
  }

  /** The sets of the whole parts: those of the heads that attend to their hull are full. */
  chosen(
    { parts, given, checked }: BackendCall,
    chosen: readonly ChosenSetsData[],
  ): ChosenSetsData[] {
    return parts.map(({ definition }, of) => {
      const split = this.#parts.flatMap((part, i) => (part.of === of ? [{ ...part, i }] : []));
      const hull = split.find(({ isHull }) => isHull);
      const rest = split.find(({ isHull }) => !isHull);
      const sets = rest && chosen[rest.i]!;
      if (!hull) return sets ?? {};
      const own = new Set(hull.heads);
      return withFullSets(definition, given[of]!, checked.shape, (_, head) => own.has(head), sets);
    });
  }
}

/** The heads of a part that attend to their hull. Without a fallback it is all of them or none. */
function hullHeads(
  part: Part,
  given: CheckedGiven,
  shape: LaunchShape,
  fallback: Fallback,
): ReadonlySet<number> {
  const { definition, heads } = part;
  const found = new Set<number>();
  for (const { own, graph, isHullWith, isHullWhenFull } of choosersOf(part, given, shape)) {
    const known = setsOf(graph, (name) => fullByBudget(graph[name]!, shape));
    let isHull = isHullWith(definedOf(known));
    if (!isHull && fallback === 'dense') {
      const cost = predictedCost(definition, graph, given.params, shape, own[0]!);
      isHull = cost !== undefined && cost >= 1 && isHullWhenFull();
    }
    if (isHull) for (const head of own) found.add(head);
    else if (fallback === 'none') return new Set();
  }
  return sharesChoice(part, given, shape) ? wholeGroups(found, heads, shape) : found;
}

/** Heads that choose by the same steps and numbers, and whether their mask is its hull. */
export interface Choosers {
  readonly own: readonly number[];
  readonly graph: EstimateGraph;
  readonly isHullWith: (full: Readonly<Record<string, FullSet>>) => boolean;
  readonly isHullWhenFull: () => boolean;
}

/** The heads of a part by what they choose; none where scores ask sets, as those of a hull do not. */
export function choosersOf(
  { definition, heads }: Part,
  { params }: CheckedGiven,
  shape: LaunchShape,
): Choosers[] {
  const { mask, score } = lifted(definition);
  if (score && mentions(score, 'has')) return [];
  const graphs = graphsPerHead(definition, params, shape);
  return [...new Set(heads.map((head) => graphs[head]!))].map((graph) => {
    const own = heads.filter((head) => graphs[head] === graph);
    const domains = setsOf(graph, (name) => domainOf(graph[name]!, shape));
    const request = { mask, domains, shape, params, heads: own };
    const full = setsOf(graph, (name): FullSet => ({ domain: domains[name]! }));
    const isHullWith = (sets: Readonly<Record<string, FullSet>>) => isItsHull(request, sets);
    return { own, graph, isHullWith, isHullWhenFull: () => isItsHull(request, full) };
  });
}

/** Do the query heads of a KV head share any of their sets? */
export function sharesChoice(
  { definition, heads }: Part,
  { params }: CheckedGiven,
  shape: LaunchShape,
): boolean {
  const graphs = graphsPerHead(definition, params, shape);
  return heads.some((head) => Object.values(graphs[head]!).some(isPerGroup));
}

/** Those whose KV head has no other: a choice that heads share is made for all of them, or for none. */
function wholeGroups(
  found: ReadonlySet<number>,
  heads: readonly number[],
  shape: LaunchShape,
): ReadonlySet<number> {
  const others = heads.filter((head) => !found.has(head));
  const mixed = new Set(others.map((head) => kvHeadOf(shape, head)));
  return new Set([...found].filter((head) => !mixed.has(kvHeadOf(shape, head))));
}

/**
 * The sets of a part of which some heads attend to their hull: theirs are full. `isHull`: by query head, of heads that
 * share sets all or none. `chosen`: of the others, if any.
 */
export function withFullSets(
  definition: Definition,
  { params }: CheckedGiven,
  shape: LaunchShape,
  isHull: (batch: number, head: number) => boolean,
  chosen: ChosenSetsData | undefined,
): ChosenSetsData {
  const graph = graphsPerHead(definition, params, shape)[0]!;
  return setsOf(graph, (name): ChosenSet => {
    const perGroup = isPerGroup(graph[name]!);
    const [each, span] = perGroup ? [shape.kvHeads, shape.heads / shape.kvHeads] : [shape.heads, 1];
    const units = Array.from({ length: shape.batch * each }, (_, unit) => unit);
    const isFull = units.map((unit) => {
      const first = (unit % each) * span;
      const heads = Array.from({ length: span }, (_, i) => first + i);
      return heads.some((head) => isHull(Math.floor(unit / each), head));
    });
    const set = chosen?.[name];
    if (set && isPlacedSet(set)) return set.withFull(isFull);
    const domain = domainOf(graph[name]!, shape);
    const [full, empty] = [fullSet(domain), new BitSet(domain)];
    return {
      axes: axesOfChosen(graph[name]!).map(({ axis, size }) => ({ axis, size })),
      perGroup,
      units: units.map((unit) => (isFull[unit] ? full : (set?.units[unit] ?? empty))),
      dense: units.map((unit) => isFull[unit]! || (set?.dense[unit] ?? false)),
      rows: set?.rows,
    };
  });
}

const setsOf = <Value>(
  graph: EstimateGraph,
  of: (name: string) => Value,
): Readonly<Record<string, Value>> =>
  Object.fromEntries(Object.keys(graph).map((name) => [name, of(name)]));

const definedOf = <Value>(
  values: Readonly<Record<string, Value | undefined>>,
): Readonly<Record<string, Value>> =>
  Object.fromEntries(
    Object.entries(values).filter((entry): entry is [string, Value] => entry[1] !== undefined),
  );
