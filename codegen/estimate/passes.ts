// What the graphs of a launch ask for, as passes over scores and who reads them; and the graphs that have
// no kernels. Computes nothing.

import type { SetDomain } from '../../dsl/chosen.ts';
import { diagnostic, PlanError } from '../../dsl/diagnostic.ts';
import { type Grid, gridOf, type Line, line, regrouped } from '../../dsl/estimate/axes.ts';
import { isLeaf, type Leaf, textOf, type Want, wantOf } from '../../dsl/estimate/demand.ts';
import { domainOf } from '../../dsl/estimate/domain.ts';
import { type ChosenNode, isPerGroup } from '../../dsl/estimate/node.ts';
import type { EstimateGraph } from '../../dsl/estimate/trace.ts';
import type { LaunchShape } from '../../dsl/shape.ts';

/** One set of the estimate: a selection, dilated so often. */
export interface SetPlan {
  readonly name: string;
  readonly perGroup: boolean;
  /** Of each query head: equal but for their numbers. */
  readonly leaves: readonly Leaf[];
  /** Sizes, the first applied first. */
  readonly dilations: readonly number[];
  /** Before and after dilation. */
  readonly chosen: SetDomain;
  readonly domain: SetDomain;
}

/** A wanted value, and the sets that are selected from it. */
export interface ReadingPlan {
  readonly want: Want;
  readonly sets: readonly SetPlan[];
  /** The rows that are read, after sums over rows; undefined for sums of one axis. */
  readonly rows: Line | undefined;
  /** The columns that are read, after sums over columns but before sums are pooled. */
  readonly columns: Line;
  /** Whether scores are read as they are, row by row. */
  readonly isDirect: boolean;
}

/** One pass over scores, for all heads. */
export interface PassPlan {
  readonly scores: Want['scores'];
  readonly how: Want['how'];
  readonly grid: Grid;
  /** Whether maxima leave out the columns after the row: where only distances from 0 are summed. */
  readonly untilQuery: boolean;
  readonly readings: readonly ReadingPlan[];
}

const refuse = (what: string): never => {
  throw new PlanError([
    diagnostic('E010', `${what}, for which there are no CUDA kernels yet`, {
      help: `use the CPU device: openDevice('cpu')`,
    }),
  ]);
};

/** The selection under the dilations of a node. throws: PlanError E010 for `where`. */
function undilated(node: ChosenNode): { leaf: Leaf; dilations: number[] } {
  const dilations: number[] = [];
  let step = node;
  while (step.op === 'dilate') {
    dilations.unshift(step.size);
    step = step.of;
  }
  return { leaf: isLeaf(step) ? step : refuse(`the estimate uses ${step.op}()`), dilations };
}

/** The text of a leaf without the numbers that are launch data. */
const structureOf = (node: ChosenNode): string => {
  const { leaf, dilations } = undilated(node);
  return textOf([leaf.op, leaf.op === 'above' && leaf.reference, wantOf(leaf.of).key, dilations]);
};

function setsOf(graphs: readonly EstimateGraph[], shape: LaunchShape): SetPlan[] {
  const [first] = graphs;
  return Object.entries(first ?? {}).map(([name, node]): SetPlan => {
    const { leaf, dilations } = undilated(node);
    const nodes = graphs.map((graph) => graph[name]!);
    if (nodes.some((other) => structureOf(other) !== structureOf(node)))
      refuse(`heads choose '${name}' by different steps`);
    return {
      name,
      perGroup: isPerGroup(node),
      leaves: nodes.map((other) => undilated(other).leaf),
      dilations,
      chosen: domainOf(leaf, shape),
      domain: domainOf(node, shape),
    };
  });
}

function readingOf(want: Want, sets: readonly SetPlan[], shape: LaunchShape): ReadingPlan {
  const grid = gridOf(want.scores, shape);
  if (want.keep !== 'rows') {
    const columns = want.keep === 'keys' ? grid.blockColumns : line(1, 0, shape.kLen);
    return { want, sets, rows: undefined, columns, isDirect: false };
  }
  const rows = want.block === undefined ? grid.blockRows : regrouped(grid.rows, want.block);
  const columns = grid.blockColumns;
  const isDirect =
    !want.group && rows.size === grid.rows.size && columns.size === grid.columns.size;
  return { want, sets, rows, columns, isDirect };
}

/**
 * The passes that give every set. throws: PlanError E010 for a step that has no kernels.
 */
export function passesOf(graphs: readonly EstimateGraph[], shape: LaunchShape): PassPlan[] {
  const wants = new Map<string, { want: Want; sets: SetPlan[] }>();
  for (const set of setsOf(graphs, shape)) {
    const want = wantOf(set.leaves[0]!.of);
    const known = wants.get(want.key) ?? { want, sets: [] };
    known.sets.push(set);
    wants.set(want.key, known);
  }
  const passes = new Map<string, PassPlan & { readings: ReadingPlan[] }>();
  for (const { want, sets } of wants.values()) {
    const { scores, how } = want;
    const untilQuery = how === 'exp' && want.keep === 'distances';
    const key = textOf([scores, how, untilQuery]);
    const grid = gridOf(scores, shape);
    const pass = passes.get(key) ?? { scores, how, grid, untilQuery, readings: [] };
    pass.readings.push(readingOf(want, sets, shape));
    passes.set(key, pass);
  }
  return [...passes.values()];
}
