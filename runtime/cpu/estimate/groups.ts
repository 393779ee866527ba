// Sharing: which heads pass over which scores together, and who reads them. One group is the query heads
// of one KV head; what is summed over them needs them all in one pass, the rest goes head by head.

import type { RowRange } from '../../../dsl/chosen.ts';
import { gridOf, type Line } from '../../../dsl/estimate/axes.ts';
import {
  type Demand,
  demandOf,
  type Leaf,
  textOf,
  type Want,
} from '../../../dsl/estimate/demand.ts';
import { rowsOfWant } from '../../../dsl/estimate/domain.ts';
import {
  limitOf,
  type NeededRows,
  neededOfWants,
  neededSets,
} from '../../../dsl/estimate/needed.ts';
import type { EstimateGraph } from '../../../dsl/estimate/trace.ts';
import type { LaunchShape } from '../../../dsl/shape.ts';

/** A wanted value and the selections made from it. */
export interface Reading {
  readonly want: Want;
  readonly leaves: Map<string, Leaf>;
  /** The rows that are needed; undefined for all. */
  readonly needed: RowRange | undefined;
}

/** One pass over scores for some heads of a group. */
export interface PassPlan {
  readonly scores: Want['scores'];
  readonly how: Want['how'];
  readonly heads: readonly number[];
  /** The rows of scores, and of what is read, where not all are needed. */
  readonly limit: { readonly scores: Line; readonly range: RowRange } | undefined;
  /** Read once for all the heads. */
  readonly ofGroup: ReadonlyMap<string, Reading>;
  /** Read for each head. */
  readonly ofHead: ReadonlyMap<number, ReadonlyMap<string, Reading>>;
}

export const headsOfGroup = (shape: LaunchShape, kvHead: number): number[] => {
  const size = shape.heads / shape.kvHeads;
  return Array.from({ length: size }, (_, i) => kvHead * size + i);
};

/** The passes over the heads of a KV head that give what the `needed` ones ask for, of the rows that matter. */
export function passesOf(
  heads: readonly number[],
  graphs: readonly EstimateGraph[],
  needed: ReadonlySet<number>,
  rows: NeededRows | undefined,
  shape: LaunchShape,
): PassPlan[] {
  const streams = new Map<
    string,
    { head: Want; group: Map<string, Reading>; own: Map<number, Map<string, Reading>> }
  >();
  const demands = new Map<EstimateGraph, Demand>();
  for (const head of heads) {
    if (!needed.has(head)) continue;
    const graph = graphs[head]!;
    const demand = demands.get(graph) ?? demandOf(neededSets(graph, rows));
    demands.set(graph, demand);
    const ranges = neededOfWants(graph, rows);
    for (const want of demand.wants.values()) {
      const key = textOf([want.scores, want.how]);
      const stream = streams.get(key) ?? { head: want, group: new Map(), own: new Map() };
      streams.set(key, stream);
      const own = stream.own.get(head) ?? new Map<string, Reading>();
      if (!want.group) stream.own.set(head, own);
      const readings = want.group ? stream.group : own;
      const reading = readings.get(want.key) ?? {
        want,
        leaves: new Map(),
        needed: ranges.get(want.key),
      };
      readings.set(want.key, reading);
      for (const [text, leaf] of demand.leaves) {
        if (leaf.want.key === want.key) reading.leaves.set(text, leaf.node);
      }
    }
  }
  return [...streams.values()].flatMap(({ head: { scores, how }, group, own }): PassPlan[] => {
    const readings = [group, ...own.values()].flatMap((some) => [...some.values()]);
    const grid = gridOf(scores, shape);
    const limit = limitOf(
      grid,
      readings.map(({ want, needed: range }) => ({
        rows: want.keep === 'rows' ? rowsOfWant(want, grid) : undefined,
        needed: range,
      })),
    );
    if (group.size > 0) return [{ scores, how, heads, limit, ofGroup: group, ofHead: own }];
    return [...own.keys()].map((head) => ({
      scores,
      how,
      heads: [head],
      limit,
      ofGroup: group,
      ofHead: own,
    }));
  });
}
