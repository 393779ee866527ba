// From the members that selections picked to the sets a mask reads: dilation, divergence, choice between
// two sets. No tensors.

import { BitSet, dilated, type SetDomain } from '../../../dsl/chosen.ts';
import { invariant } from '../../../dsl/diagnostic.ts';
import { isLeaf, textOf, wantOf } from '../../../dsl/estimate/demand.ts';
import { domainOf } from '../../../dsl/estimate/domain.ts';
import type { ChosenNode, DivergenceNode } from '../../../dsl/estimate/node.ts';
import type { LaunchShape } from '../../../dsl/shape.ts';

/** A set of one unit, and whether a capacity made it dense. */
export interface Outcome {
  readonly set: BitSet;
  readonly dense: boolean;
}

/** What the passes over one head or KV head gave: sets by the text of their leaf, sums by their key. */
export interface Results {
  readonly leaves: Map<string, Outcome>;
  readonly sums: Map<string, Float32Array>;
}

/** The set of a node from the results of its leaves. */
export function combine(node: ChosenNode, results: Results, shape: LaunchShape): Outcome {
  if (isLeaf(node)) {
    const outcome = results.leaves.get(textOf(node));
    invariant(outcome, 'every selection was made');
    return outcome;
  }
  const domain = domainOf(node, shape);
  if (node.op === 'dilate') {
    const { set, dense } = combine(node.of, results, shape);
    return { set: dilated(set, domain, node.size), dense };
  }
  const verdict = divergenceOf(node.verdict.of, results) < node.verdict.limit;
  const side = verdict ? node.yes : node.no;
  if (side === 'none') return { set: new BitSet(domain), dense: false };
  const { set, dense } = combine(side, results, shape);
  const same = JSON.stringify(set.domain) === JSON.stringify(domain);
  return { set: same ? set : widened(set, domain), dense };
}

function widened(set: BitSet, domain: SetDomain): BitSet {
  const result = new BitSet(domain);
  const { rowFrom, rows } = set.domain;
  for (let row = rowFrom; row < rowFrom + rows; row++) {
    for (const column of set.members(row)) result.add(row, column);
  }
  return result;
}

function divergenceOf(node: DivergenceNode, results: Results): number {
  const [left, right] = [node.left, node.right].map((of) => results.sums.get(wantOf(of).key));
  invariant(left && right, 'both vectors were summed');
  return jensenShannon(left, right);
}

/**
 * The Jensen-Shannon distance of two vectors, each divided by its total; a vector of zeros counts as
 * uniform, vectors of no members have distance 0. Never NaN; 0 .. sqrt(ln 2).
 */
export function jensenShannon(left: ArrayLike<number>, right: ArrayLike<number>): number {
  const n = left.length;
  const totalOf = (values: ArrayLike<number>) => {
    let total = 0;
    for (let i = 0; i < n; i++) total += values[i]!;
    return total;
  };
  const [a, b] = [totalOf(left), totalOf(right)];
  let sum = 0;
  for (let i = 0; i < n; i++) {
    const p = a > 0 ? left[i]! / a : 1 / n;
    const r = b > 0 ? right[i]! / b : 1 / n;
    const mean = (p + r) / 2;
    if (p > 0) sum += 0.5 * p * Math.log(p / mean);
    if (r > 0) sum += 0.5 * r * Math.log(r / mean);
  }
  return Math.sqrt(Math.max(0, sum));
}
