// What a head with an estimate will cost beside dense attention, predicted before it has chosen anything: by the plan
// of sets of its budgets' sizes. Where scores decide how many are chosen, nothing is predicted.

import { BitSet, dilated } from '../dsl/chosen.ts';
import { type Definition, lifted } from '../dsl/definition.ts';
import { forcedOfRow, gridOf, visibleEnd } from '../dsl/estimate/axes.ts';
import { wantOf } from '../dsl/estimate/demand.ts';
import { domainOf, rowsOfWant } from '../dsl/estimate/domain.ts';
import type { ChosenNode } from '../dsl/estimate/node.ts';
import type { EstimateGraph } from '../dsl/estimate/trace.ts';
import { type BoundParameters, parametersOf } from '../dsl/given.ts';
import { summarise } from '../dsl/plan/summary.ts';
import { planUnit } from '../dsl/plan/unit.ts';
import { tileSizes } from '../dsl/schedule.ts';
import { kvHeadOf, type LaunchShape } from '../dsl/shape.ts';

/**
 * A step of a kernel that looks keys up in chosen sets, in steps of a kernel that does not: 708 against 411 TFLOP/s, as
 * measured on an H100 (README).
 */
const lookupStep = 1.7;

/** Query tiles that are planned, evenly spaced: some milliseconds for a head. */
const sample = 8;

/** Sets of two axes are made whole for it, up to so many bits. */
const mostBits = 2 ** 28;

/**
 * The cost of the head, estimate left out, where dense attention costs 1. Chosen distances are taken to lie next to
 * each other from 0 on, chosen blocks before the diagonal: no other choice of that size visits fewer tiles for as many
 * pairs. Undefined where scores decide how much is chosen, or captured tensors what the mask says, and for sets that are
 * too large to be made for this.
 */
export function predictedCost(
  definition: Definition,
  graph: EstimateGraph,
  params: BoundParameters,
  shape: LaunchShape,
  head: number,
): number | undefined {
  const { mask, score, declarations } = lifted(definition);
  if (Object.keys(declarations.tensors).length > 0 || definition.rest) return undefined;
  const sets: Record<string, BitSet> = {};
  for (const [name, node] of Object.entries(graph)) {
    const set = usualSet(node, shape);
    if (!set) return undefined;
    sets[name] = set;
  }
  const unit = { batch: 0, head, kvHead: kvHeadOf(shape, head) };
  const { order, gather } = definition.knobs;
  const plan = planUnit({
    mask,
    score,
    ...tileSizes(definition.knobs),
    order,
    gather,
    restSize: undefined,
    stated: undefined,
    binding: { shape, unit, params: parametersOf(params, head), captured: {}, sets },
  });
  return summarise(plan, { sample }).cost.share * lookupStep;
}

type Topk = Extract<ChosenNode, { op: 'topk' }>;

function usualSet(node: ChosenNode, shape: LaunchShape): BitSet | undefined {
  if (node.op === 'dilate') {
    const of = usualSet(node.of, shape);
    return of && dilated(of, domainOf(node, shape), node.size);
  }
  if (node.op !== 'topk') return undefined;
  const domain = domainOf(node, shape);
  if (domain.rows * domain.columns > mostBits) return undefined;
  const set = new BitSet(domain);
  const endOf = domain.arity === 1 ? () => node.count : endsOfRows(node, shape);
  for (let row = domain.rowFrom; row < domain.rowFrom + domain.rows; row += 1) {
    const end = endOf(row);
    set.addRange(row, end - node.count, end);
  }
  return set;
}

/** The end of the columns that a row may choose: of those it sees, and of what is forced to its last query. */
function endsOfRows(node: Topk, shape: LaunchShape): (row: number) => number {
  const want = wantOf(node.of);
  const grid = gridOf(want.scores, shape);
  const [rows, columns] = [rowsOfWant(want, grid), grid.blockColumns];
  return (row) => {
    const { to } = forcedOfRow(rows, columns, row, node.always);
    return Math.max(to, visibleEnd(rows, columns, grid.causal, row));
  };
}
