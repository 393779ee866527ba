// Whether two selections agree but for rounding: every member that only one of them has must weigh what
// the threshold weighs, within a tolerance of the row's largest weight. For tests of devices.

import type { BitSet, ChosenSetsData } from '../dsl/chosen.ts';
import { type ChosenNode, type EstimateNode, inputsOf } from '../dsl/estimate/node.ts';
import type { EstimateGraph } from '../dsl/estimate/trace.ts';
import type { LaunchShape } from '../dsl/shape.ts';
import { errorBound } from '../runtime/bound.ts';
import type { FloatType } from '../runtime/dtype.ts';
import {
  choose,
  forcedOf,
  type Leaf,
  membersOf,
  type Weighed,
  type WeighedRow,
} from '../runtime/reference/choose.ts';
import { Oracle, type OracleInputs } from '../runtime/reference/estimate.ts';

/** Why a device's set of one unit is not what float64 weights allow; empty when it is. */
export function disagreements(
  leaf: Leaf,
  weighed: Weighed,
  actual: { readonly set: BitSet; readonly dense: boolean },
  eps: number,
): string[] {
  const expected = choose(leaf, weighed);
  const { set } = actual;
  const domains = [set.domain, expected.set.domain].map((domain) => JSON.stringify(domain));
  if (sorted(domains[0]!) !== sorted(domains[1]!)) return [`domain ${domains.join(' for ')}`];
  if (actual.dense !== expected.dense) return denseDisagreement(leaf, weighed, actual.dense, eps);
  if (actual.dense) {
    const differs = set.bits.some((word, i) => word !== expected.set.bits[i]);
    return differs ? ['a dense unit lacks columns or has too many'] : [];
  }
  return weighed.rows.flatMap((row) => rowDisagreements(leaf, row, [...set.members(row.row)], eps));
}

const sorted = (text: string): string =>
  JSON.stringify(Object.entries(JSON.parse(text) as object).sort());

/** The largest weight, and what every member must reach. */
function thresholdOf(leaf: Leaf, row: WeighedRow): { reference: number; threshold: number } {
  const forced = forcedOf(leaf, row);
  const seen = Array.from(row.values).filter((_, c) => row.visible[c]);
  const reference = seen.reduce((most, weight) => Math.max(most, Math.abs(weight)), 0);
  if (leaf.op === 'above') {
    const total = seen.reduce((sum, weight) => sum + weight, 0);
    return {
      reference: Math.max(reference, total),
      threshold: leaf.share * (leaf.reference === 'max' ? reference : total),
    };
  }
  const taken = membersOf(leaf, row).filter((c) => !forced[c]);
  return { reference, threshold: Math.min(...taken.map((c) => row.values[c]!)) };
}

function rowDisagreements(
  leaf: Leaf,
  row: WeighedRow,
  actual: readonly number[],
  eps: number,
): string[] {
  const expected = membersOf(leaf, row);
  const [a, b] = [new Set(actual), new Set(expected)];
  const differing = [...actual.filter((c) => !b.has(c)), ...expected.filter((c) => !a.has(c))];
  if (differing.length === 0) return [];
  const forced = forcedOf(leaf, row);
  const { reference, threshold } = thresholdOf(leaf, row);
  const problems: string[] = [];
  if (leaf.op === 'topk' && actual.length !== expected.length) {
    problems.push(`row ${row.row}: ${actual.length} members for ${expected.length}`);
  }
  const weightOf = (columns: readonly number[]) =>
    columns.reduce((sum, c) => sum + row.values[c]!, 0);
  // A long tail of small weights moves with the rounding of the sum, however small each is.
  const isTail =
    leaf.op === 'cover' && weightOf(differing) <= eps * weightOf([...row.values.keys()]);
  for (const c of differing) {
    const off = Math.abs(row.values[c]! - threshold);
    const isClose = off <= eps * reference || isTail;
    if (row.visible[c] && !forced[c] && isClose) continue;
    const side = a.has(c) ? 'should not have' : 'lacks';
    problems.push(`row ${row.row} ${side} ${c}: weight ${row.values[c]}, threshold ${threshold}`);
  }
  return problems;
}

/** A capacity may be exceeded on one side only when members lie at the threshold. */
function denseDisagreement(leaf: Leaf, weighed: Weighed, isDense: boolean, eps: number): string[] {
  if (leaf.op === 'topk') return ['topk is never dense'];
  const counts = weighed.rows.map((row) => {
    const { reference, threshold } = thresholdOf(leaf, row);
    const forced = forcedOf(leaf, row);
    const shift = isDense ? -eps * reference : eps * reference;
    return Array.from(row.values).filter(
      (weight, c) => forced[c] || (row.visible[c] && weight >= threshold + shift),
    ).length;
  });
  const most = counts.reduce((a, b) => Math.max(a, b), 0);
  const isExplained = isDense ? most > leaf.capacity : most <= leaf.capacity;
  return isExplained ? [] : [`dense is ${isDense}, with at most ${most} of ${leaf.capacity}`];
}

/** The selections that a `where` may come to for one head, `undefined` for no set at all: two for a close verdict. */
function selected(
  node: ChosenNode,
  oracle: Oracle,
  head: number,
  boundOf: BoundOfSet,
): (Leaf | undefined)[] {
  if (node.op === 'dilate') throw new Error('compare the set before it is dilated');
  if (node.op !== 'where') return [node];
  const { of, limit } = node.verdict;
  const distance = oracle.divergence(of.left, of.right, head);
  const isClose = Math.abs(distance - limit) <= boundOf(of);
  const sides = isClose ? [node.yes, node.no] : [distance < limit ? node.yes : node.no];
  return sides.flatMap((side) =>
    side === 'none' ? [undefined] : selected(side, oracle, head, boundOf),
  );
}

/** How far weights, relative to the largest of a row, may be from the oracle's. */
export type BoundOfSet = (node: EstimateNode) => number;

/** Of kernels, which round pools to the dtype of the tensors and compute the rest in fp32. */
export function boundOfKernels(
  dtype: FloatType,
  { kLen, headDim }: Pick<LaunchShape, 'kLen' | 'headDim'>,
  logit: number,
): BoundOfSet {
  const exact = errorBound('fp32', kLen, headDim, { value: 1, logit }).lse;
  const rounded = Math.max(exact, errorBound(dtype, kLen, headDim, { value: 1 }).out);
  const hasPools = (node: EstimateNode): boolean =>
    node.op === 'pool' || inputsOf(node).some(hasPools);
  return (node) => (hasPools(node) ? rounded : exact);
}

/**
 * The same of the union of [m, m + size) over the members m of a set of one axis: what must be a member has to be
 * covered, and what is covered has to be so by what may be one.
 */
function dilatedDisagreements(
  leaf: Leaf,
  weighed: Weighed,
  size: number,
  set: BitSet,
  eps: number,
): string[] {
  const row = weighed.rows[0]!;
  const forced = forcedOf(leaf, row);
  const { reference, threshold } = thresholdOf(leaf, row);
  const expected = new Set(membersOf(leaf, row));
  const isClose = (c: number): boolean =>
    row.visible[c]! && !forced[c] && Math.abs(row.values[c]! - threshold) <= eps * reference;
  const all = Array.from(row.values, (_, c) => c);
  const covers = (members: readonly number[]): Set<number> =>
    new Set(
      members
        .flatMap((m) => Array.from({ length: size }, (_, i) => m + i))
        .filter((c) => c < set.domain.columns),
    );
  const must = covers(all.filter((c) => expected.has(c) && !isClose(c)));
  const may = covers(all.filter((c) => expected.has(c) || isClose(c)));
  const actual = new Set(set.members());
  return [
    ...[...must].filter((c) => !actual.has(c)).map((c) => `lacks ${c}`),
    ...[...actual].filter((c) => !may.has(c)).map((c) => `should not have ${c}`),
  ];
}

/** All disagreements of a device's sets with the oracle. A set is dilated as a whole or not at all. */
export function disagreementsOfSets(
  graphs: readonly EstimateGraph[],
  inputs: OracleInputs,
  actual: ChosenSetsData,
  boundOf: BoundOfSet,
): string[] {
  const { batch: batches, kvHeads } = inputs.shape;
  const problems: string[] = [];
  for (let batch = 0; batch < batches; batch++) {
    for (let kvHead = 0; kvHead < kvHeads; kvHead++) {
      const oracle = new Oracle(inputs, batch, kvHead);
      for (const [name, set] of Object.entries(actual)) {
        for (const head of set.perGroup ? oracle.heads.slice(0, 1) : oracle.heads) {
          const unit = set.perGroup ? batch * kvHeads + kvHead : batch * inputs.shape.heads + head;
          const one = { set: set.units[unit]!, dense: set.dense[unit]! };
          const node = graphs[head]![name]!;
          const bare = node.op === 'dilate' ? node.of : node;
          const found = selected(bare, oracle, head, boundOf).map((leaf) => {
            if (leaf && node.op === 'dilate') {
              const weighed = oracle.weigh(leaf.of, head);
              return dilatedDisagreements(leaf, weighed, node.size, one.set, boundOf(leaf));
            }
            if (leaf) return disagreements(leaf, oracle.weigh(leaf.of, head), one, boundOf(leaf));
            return one.set.bits.some((word) => word !== 0) ? ['it is not empty'] : [];
          });
          if (found.some((own) => own.length === 0)) continue;
          for (const problem of found[0]!)
            problems.push(`'${name}' of head ${head} of batch ${batch}: ${problem}`);
        }
      }
    }
  }
  return problems;
}
