// What the sets of a launch read, as passes over scores and who reads them. Computes nothing.

import { type Grid, gridOf, type Line, line, regrouped } from '../../dsl/estimate/axes.ts';
import { textOf, type Want, wantOf } from '../../dsl/estimate/demand.ts';
import type { LaunchShape } from '../../dsl/shape.ts';
import { bitmapsOf, type Selection, type SetPlan } from './trees.ts';

/** A wanted value, and who reads it. */
export interface ReadingPlan {
  readonly want: Want;
  readonly selections: readonly Selection[];
  /** The buffer in which sums of one axis stay for all units, where sets are compared by them. */
  readonly kept: string | undefined;
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

interface Wish {
  readonly want: Want;
  readonly selections: Selection[];
  kept: string | undefined;
}

/** What all sets read, by key. */
function wishesOf(sets: readonly SetPlan[]): Map<string, Wish> {
  const wishes = new Map<string, Wish>();
  const wish = (want: Want): Wish => {
    const known = wishes.get(want.key) ?? { want, selections: [], kept: undefined };
    wishes.set(want.key, known);
    return known;
  };
  for (const node of sets.flatMap(({ tree }) => bitmapsOf(tree))) {
    if (node.op === 'selection') wish(wantOf(node.leaves[0]!.of)).selections.push(node);
    if (node.op !== 'choice') continue;
    for (const want of [node.left, node.right]) {
      const own = wish(want);
      own.kept ??= `kept sums ${[...wishes.keys()].indexOf(want.key)}`;
    }
  }
  return wishes;
}

function readingOf({ want, selections, kept }: Wish, shape: LaunchShape): ReadingPlan {
  const grid = gridOf(want.scores, shape);
  const common = { want, selections, kept };
  if (want.keep !== 'rows') {
    const columns = want.keep === 'keys' ? grid.blockColumns : line(1, 0, shape.kLen);
    return { ...common, rows: undefined, columns, isDirect: false };
  }
  const rows = want.block === undefined ? grid.blockRows : regrouped(grid.rows, want.block);
  const columns = grid.blockColumns;
  const isDirect =
    !want.group && rows.size === grid.rows.size && columns.size === grid.columns.size;
  return { ...common, rows, columns, isDirect };
}

/** The passes that give all that the sets read. */
export function passesOf(sets: readonly SetPlan[], shape: LaunchShape): PassPlan[] {
  const passes = new Map<string, PassPlan & { readings: ReadingPlan[] }>();
  for (const wish of wishesOf(sets).values()) {
    const { scores, how, keep } = wish.want;
    const untilQuery = how === 'exp' && keep === 'distances';
    const key = textOf([scores, how, untilQuery]);
    const grid = gridOf(scores, shape);
    const pass = passes.get(key) ?? { scores, how, grid, untilQuery, readings: [] };
    pass.readings.push(readingOf(wish, shape));
    passes.set(key, pass);
  }
  return [...passes.values()];
}
