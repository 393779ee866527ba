// What a head with an estimate will cost beside dense attention, predicted before it has chosen anything: by the plan
// of sets of its budgets' sizes. Where scores decide how much is chosen, what is predicted is how much would be too much.

import type { BitSet, RowRange } from '../dsl/chosen.ts';
import { type Definition, lifted, restSize } from '../dsl/definition.ts';
import { forcedOfRow, gridOf, visibleEnd } from '../dsl/estimate/axes.ts';
import { wantOf } from '../dsl/estimate/demand.ts';
import { domainOf, rowsOfWant } from '../dsl/estimate/domain.ts';
import type { NeededRows } from '../dsl/estimate/needed.ts';
import type { ChosenNode } from '../dsl/estimate/node.ts';
import type { EstimateGraph } from '../dsl/estimate/trace.ts';
import { type BoundParameters, parametersOf } from '../dsl/given.ts';
import { costShare } from '../dsl/plan/cost.ts';
import { planUnit } from '../dsl/plan/unit.ts';
import { RunSet } from '../dsl/run-set.ts';
import { tileSizes } from '../dsl/schedule.ts';
import { kvHeadOf, type LaunchShape } from '../dsl/shape.ts';

/**
 * A step of a kernel that looks keys up in chosen sets, in steps of a kernel that does not: 708 against 411 TFLOP/s, as
 * measured on an H100 (README).
 */
export const lookupStep = 1.7;

/** Query tiles that are walked, evenly spaced. */
const sample = 8;

/**
 * The cost of the head, estimate left out, where dense attention costs 1. Chosen distances are taken to lie next to
 * each other from 0 on, chosen blocks before the diagonal: no other choice of that size visits fewer tiles for as many
 * pairs. Where scores decide how much is chosen it is the least, that of nothing. Undefined where captured tensors decide
 * what the mask says, and for sets that are too large to be made for this.
 */
export function predictedCost(
  definition: Definition,
  graph: EstimateGraph,
  params: BoundParameters,
  shape: LaunchShape,
  head: number,
): number | undefined {
  return costOf({ definition, graph, params, shape, head }, usualSets(graph, shape));
}

/** A head of a call that chooses. */
export interface ChoosingHead {
  readonly definition: Definition;
  readonly graph: EstimateGraph;
  readonly params: BoundParameters;
  readonly shape: LaunchShape;
  readonly head: number;
}

/**
 * Of the sets of which scores decide how much is chosen, from how many members on each, with nothing in the others, costs
 * as much as dense attention: what is compared with the members that were chosen. Of several sets the costs are taken to
 * add up, each by its members. `rows`: those that are chosen of each set. Undefined where nothing is predicted, or no
 * set is so large; a set that costs nothing is left out.
 */
export function dearFrom(
  one: ChoosingHead,
  rows: NeededRows,
): Readonly<Record<string, number>> | undefined {
  const { graph, shape } = one;
  const open = Object.entries(graph).filter(([, node]) => !isCounted(node));
  const nothing = usualSets(graph, shape);
  const least = costOf(one, nothing);
  if (!nothing || least === undefined || open.length === 0) return undefined;
  const limits: Record<string, number> = {};
  for (const [name, node] of open) {
    const setOf = (size: number) => usualSet(node, shape, size)!;
    const cost = (size: number) => costOf(one, { ...nothing, [name]: setOf(size) })!;
    const members = (size: number) => membersOf(setOf(size), rows[name]);
    const { columns } = domainOf(node, shape);
    const whole = cost(columns);
    if (whole <= least) continue;
    // Alone it may never be so large: then its members count by what they cost.
    const limit =
      whole < 1
        ? (members(columns) * (1 - least)) / (whole - least)
        : members(whereDense({ size: 0, cost: least }, { size: columns, cost: whole }, cost));
    limits[name] = Math.max(1, Math.ceil(limit));
  }
  return Object.keys(limits).length > 0 ? limits : undefined;
}

interface Priced {
  readonly size: number;
  readonly cost: number;
}

/** How much more than dense attention counts as no more. */
const closeEnough = 1.005;

/** What a guess is to cost: amid what is close enough, so that the next one is not needed. */
const aim = (1 + closeEnough) / 2;

/**
 * A size between nothing and the whole whose cost is that of dense attention, or the least above it: costs grow with
 * sizes. Few are asked for, as each plans a head.
 */
function whereDense(nothing: Priced, whole: Priced, costOfSize: (size: number) => number): number {
  let [from, to] = [nothing, whole];
  if (from.cost >= 1) return from.size;
  for (let guess = 0; to.cost > closeEnough && to.size - from.size > 1; guess += 1) {
    const share = shareOfSize((aim - from.cost) / (to.cost - from.cost), guess);
    const between = Math.ceil(from.size + share * (to.size - from.size));
    const size = Math.min(Math.max(between, from.size + 1), to.size - 1);
    const cost = costOfSize(size);
    if (cost < 1) from = { size, cost };
    else to = { size, cost };
  }
  return to.size;
}

/** How far from one size to another a share of the cost between theirs may lie. */
function shareOfSize(share: number, guess: number): number {
  // A band x wide along the diagonal of a causal triangle holds 1 - (1 - x)^2 of it.
  if (guess === 0) return 1 - Math.sqrt(1 - share);
  // Between a guess and the next one a half, so that steps in the cost do not hold it up.
  return guess % 2 === 0 ? share : 0.5;
}

/** The members of a set in the rows that are chosen. */
export function membersOf(set: BitSet, rows: RowRange | undefined): number {
  const { rowFrom, rows: count } = set.domain;
  const { from, to } = rows ?? { from: rowFrom, to: rowFrom + count };
  let members = 0;
  for (let row = from; row < to; row += 1) members += set.count(row);
  return members;
}

/** Undefined where there are no sets. */
function costOf(
  { definition, params, shape, head }: ChoosingHead,
  sets: Readonly<Record<string, BitSet>> | undefined,
): number | undefined {
  const { mask, score, declarations } = lifted(definition);
  if (!sets || Object.keys(declarations.tensors).length > 0) return undefined;
  const unit = { batch: 0, head, kvHead: kvHeadOf(shape, head) };
  const { order, gather } = definition.knobs;
  const numbers = parametersOf(params, head);
  const plan = planUnit({
    mask,
    score,
    ...tileSizes(definition.knobs),
    order,
    gather,
    restSize: restSize(definition, numbers),
    stated: undefined,
    binding: { shape, unit, params: numbers, captured: {}, sets },
  });
  return costShare(plan, sample) * lookupStep;
}

/** Nothing where scores decide. */
function usualSets(
  graph: EstimateGraph,
  shape: LaunchShape,
): Readonly<Record<string, RunSet>> | undefined {
  const sets: Record<string, RunSet> = {};
  for (const [name, node] of Object.entries(graph)) {
    const set = usualSet(node, shape, isCounted(node) ? undefined : 0);
    if (!set) return undefined;
    sets[name] = set;
  }
  return sets;
}

/** Is it known before it is chosen how much that is? */
export const isCounted = (node: ChosenNode): boolean =>
  node.op === 'dilate' ? isCounted(node.of) : node.op === 'topk';

type Leaf = Extract<ChosenNode, { op: 'topk' | 'above' | 'cover' }>;

/** `size`: members of each row, in place of a budget. */
function usualSet(
  node: ChosenNode,
  shape: LaunchShape,
  size: number | undefined,
): RunSet | undefined {
  const domain = domainOf(node, shape);
  if (node.op === 'dilate') {
    const of = usualSet(node.of, shape, size);
    if (!of) return undefined;
    return new RunSet(domain, (row) => {
      const { from, to } = of.run(row);
      return { from, to: from < to ? to + node.size - 1 : to };
    });
  }
  if (node.op === 'where') {
    // Either side is one of such a size.
    const side = node.yes === 'none' ? node.no : node.yes;
    return side === 'none' ? undefined : usualSet(side, shape, size);
  }
  const count = size ?? (node.op === 'topk' ? node.count : 0);
  const endOf = domain.arity === 1 ? () => count : endsOfRows(node, shape);
  return new RunSet(domain, (row) => {
    const end = endOf(row);
    return { from: end - count, to: end };
  });
}

/** The end of the columns that a row may choose: of those it sees, and of what is forced to its last query. */
function endsOfRows(node: Leaf, shape: LaunchShape): (row: number) => number {
  const want = wantOf(node.of);
  const grid = gridOf(want.scores, shape);
  const [rows, columns] = [rowsOfWant(want, grid), grid.blockColumns];
  return (row) => {
    const { to } = forcedOfRow(rows, columns, row, node.always);
    return Math.max(to, visibleEnd(rows, columns, grid.causal, row));
  };
}
