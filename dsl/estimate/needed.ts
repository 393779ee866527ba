// What of an estimate has to be computed where some rows of its sets cannot change the mask (analysis/relevance.ts):
// which sets at all, and which rows of a pass over scores. The CPU device and the launch lists ask the same.

import type { RowRange } from '../chosen.ts';
import { firstPosition, type Grid, type Line, lastPosition } from './axes.ts';
import { demandOf } from './demand.ts';
import type { EstimateGraph } from './trace.ts';

/** Rows of each set, as its domain counts them; sets that are not named need all. */
export type NeededRows = Readonly<Record<string, RowRange>>;

/** The sets of which anything is needed. */
export function neededSets(graph: EstimateGraph, needed: NeededRows = {}): EstimateGraph {
  const isNeeded = (name: string) => {
    const range = Object.hasOwn(needed, name) ? needed[name] : undefined;
    return !range || range.from < range.to;
  };
  return Object.fromEntries(Object.entries(graph).filter(([name]) => isNeeded(name)));
}

/** The rows that are read of each wanted value, by its key; undefined for all, as sums over rows need. */
export function neededOfWants(
  graph: EstimateGraph,
  needed: NeededRows = {},
): Map<string, RowRange | undefined> {
  const result = new Map<string, RowRange | undefined>();
  for (const [name, node] of Object.entries(neededSets(graph, needed))) {
    const { wants, leaves } = demandOf({ [name]: node });
    const selected = new Set([...leaves.values()].map(({ want }) => want.key));
    for (const { key, keep } of wants.values()) {
      const isByRow = keep === 'rows' && selected.has(key);
      const range = isByRow && Object.hasOwn(needed, name) ? needed[name] : undefined;
      const known = result.get(key);
      const both = known && range && hullOf([known, range]);
      result.set(key, result.has(key) ? both : range);
    }
  }
  return result;
}

export const hullOf = (ranges: readonly RowRange[]): RowRange => ({
  from: Math.min(...ranges.map(({ from }) => from)),
  to: Math.max(...ranges.map(({ to }) => to)),
});

/** The part of a line that a range has. */
export const within = (of: Line, { from, to }: RowRange): Line => ({
  ...of,
  from: Math.max(of.from, from),
  to: Math.max(Math.max(of.from, from), Math.min(of.to, to)),
});

/** What is read of one pass: the rows it is summed to (undefined for one sum over all), and those of them that are needed. */
export interface RowReading {
  readonly rows: Line | undefined;
  readonly needed: RowRange | undefined;
}

/**
 * The rows of scores that a pass has to compute, and the range of the rows that its readings are summed to; undefined
 * for all. Only where all readings have the same rows: others would be cut within one of them.
 */
export function limitOf(
  grid: Grid,
  readings: readonly RowReading[],
): { readonly scores: Line; readonly range: RowRange } | undefined {
  const [first] = readings;
  const ranges = readings.flatMap(({ needed }) => (needed ? [needed] : []));
  if (!first?.rows || ranges.length < readings.length) return undefined;
  if (readings.some(({ rows }) => rows?.size !== first.rows!.size)) return undefined;
  const { from, to } = within(first.rows, hullOf(ranges));
  if (from === to) return { scores: within(grid.rows, { from: 0, to: 0 }), range: { from, to } };
  const { size } = grid.rows;
  const scores = {
    from: Math.floor(firstPosition(first.rows, from) / size),
    to: Math.floor(lastPosition(first.rows, to - 1) / size) + 1,
  };
  return { scores: within(grid.rows, scores), range: { from, to } };
}
