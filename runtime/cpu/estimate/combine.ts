// From the members that selections picked to the sets a mask reads: dilation, divergence, choice between
// two sets; and the domain of every set. No tensors.

import { BitSet, type SetDomain } from '../../../dsl/chosen.ts';
import { invariant } from '../../../dsl/diagnostic.ts';
import { type ChosenNode, type DivergenceNode, isSum } from '../../../dsl/estimate/node.ts';
import type { LaunchShape } from '../../../dsl/shape.ts';
import { gridOf, regrouped } from './axes.ts';
import { isLeaf, textOf, wantOf } from './demand.ts';

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

/** The members that a set may have. */
export function domainOf(node: ChosenNode, shape: LaunchShape): SetDomain {
  if (node.op === 'dilate') {
    const of = domainOf(node.of, shape);
    return { ...of, columns: of.columns + node.size - 1 };
  }
  if (node.op === 'where') {
    const { yes, no } = node;
    const known = yes === 'none' ? no : yes;
    invariant(known !== 'none', 'one side of where is a set');
    if (yes === 'none' || no === 'none') return domainOf(known, shape);
    const [a, b] = [domainOf(yes, shape), domainOf(no, shape)];
    const rowFrom = Math.min(a.rowFrom, b.rowFrom);
    const rowTo = Math.max(a.rowFrom + a.rows, b.rowFrom + b.rows);
    const columns = Math.max(a.columns, b.columns);
    return { rowFrom, rows: rowTo - rowFrom, columns, arity: a.arity };
  }
  const want = wantOf(node.of);
  const grid = gridOf(want.scores, shape);
  if (isSum(node.of)) {
    const size = want.pool ?? (want.keep === 'keys' ? grid.blockColumns.size : 1);
    return { rowFrom: 0, rows: 1, columns: Math.ceil(shape.kLen / size), arity: 1 };
  }
  const rows = want.block === undefined ? grid.blockRows : regrouped(grid.rows, want.block);
  const columns = Math.ceil(shape.kLen / grid.blockColumns.size);
  return { rowFrom: rows.from, rows: rows.to - rows.from, columns, arity: 2 };
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
    const result = new BitSet(domain);
    for (let row = domain.rowFrom; row < domain.rowFrom + domain.rows; row++) {
      const runs = set.runs(row);
      for (let i = 0; i < runs.length; i += 2) {
        result.addRange(row, runs[i]!, runs[i + 1]! + node.size - 1);
      }
    }
    return { set: result, dense };
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
