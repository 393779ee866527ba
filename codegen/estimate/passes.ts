// What the sets of a launch read, as passes over scores and who reads them. Computes nothing.

import type { RowRange } from '../../dsl/chosen.ts';
import { type Grid, gridOf, type Line, line } from '../../dsl/estimate/axes.ts';
import { textOf, type Want, wantOf } from '../../dsl/estimate/demand.ts';
import { rowsOfWant } from '../../dsl/estimate/domain.ts';
import { limitOf, within } from '../../dsl/estimate/needed.ts';
import type { ScoreNode } from '../../dsl/estimate/node.ts';
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
  /**
   * How it is computed. 'probe': the softmax of a few last queries on all keys, of which only sums are read;
   * 'energies': the exponentials of queries with pools of keys, of which one sum over blocks of queries is
   * read; 'cells': antidiagonal scores, of which one sum over blocks of rows is read; 'stored': anything, with
   * scores in memory.
   */
  readonly family: 'probe' | 'energies' | 'cells' | 'stored';
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
  const rows = rowsOfWant(want, grid);
  const columns = grid.blockColumns;
  const isDirect =
    !want.group && rows.size === grid.rows.size && columns.size === grid.columns.size;
  return { ...common, rows, columns, isDirect };
}

/** The most queries of a probe: each 64 read the keys again. */
const mostProbeQueries = 256;

/** Decided by the steps and their sizes, not by lengths. */
function familyOf({ scores, how, grid, readings }: Omit<PassPlan, 'family'>): PassPlan['family'] {
  const wants = readings.map(({ want }) => want);
  let dot = scores;
  while (dot.op === 'causal') dot = dot.of;
  if (readings.some(({ isDirect }) => isDirect)) return 'stored';
  if (dot.op === 'antidiagonal') return isCells(how, grid, readings) ? 'cells' : 'stored';
  if (how === 'softmax' && isProbe(dot, wants)) return 'probe';
  return how === 'exp' && isEnergies(dot, wants) ? 'energies' : 'stored';
}

/** Cells of a block that a thread can sum alone. */
const mostCells = 32;

/** Rows of cells in a block of rows, so many at most. */
const mostRows = 512;

function isCells(how: Want['how'], grid: Grid, readings: readonly ReadingPlan[]): boolean {
  const cells = grid.blockColumns.size / grid.columns.size;
  const isSummed = cells <= mostCells && mostCells % cells === 0;
  const [{ want, rows }] = readings as [ReadingPlan];
  const hasRows = rows !== undefined && rows.size / grid.rows.size <= mostRows;
  return how !== 'raw' && isSummed && readings.length === 1 && hasRows && !want.group;
}

type Dot = Extract<ScoreNode, { op: 'dot' }>;

function isEnergies({ left, right }: Dot, wants: readonly Want[]): boolean {
  const isTokens = left.op === 'input' && left.of === 'q';
  const isPools = right.op === 'pool' && right.of.op === 'input' && right.of.of === 'k';
  return isTokens && isPools && wants.length === 1 && wants[0]!.block !== undefined;
}

function isProbe({ left, right }: Dot, wants: readonly Want[]): boolean {
  const isFew = left.op === 'last' && left.of.op === 'input' && left.size <= mostProbeQueries;
  const isAll = right.op === 'input' && right.of === 'k';
  return (
    isFew &&
    left.of.of === 'q' &&
    isAll &&
    wants.every((want) => want.keep !== 'rows' && !want.group)
  );
}

/** The passes that give all that the sets read; `needed` are the rows of each wanted value, undefined for all. */
export function passesOf(
  sets: readonly SetPlan[],
  shape: LaunchShape,
  needed: ReadonlyMap<string, RowRange | undefined>,
): PassPlan[] {
  const passes = new Map<string, Omit<PassPlan, 'family'> & { readings: ReadingPlan[] }>();
  for (const wish of wishesOf(sets).values()) {
    const { scores, how, keep } = wish.want;
    const untilQuery = how === 'exp' && keep === 'distances';
    const key = textOf([scores, how, untilQuery]);
    const grid = gridOf(scores, shape);
    const pass = passes.get(key) ?? { scores, how, grid, untilQuery, readings: [] };
    pass.readings.push(readingOf(wish, shape));
    passes.set(key, pass);
  }
  return [...passes.values()].map((pass) => {
    const own = limited(pass, needed);
    return { ...own, family: familyOf(own) };
  });
}

/** The same pass over the rows that are needed. */
function limited<Pass extends Pick<PassPlan, 'grid' | 'readings'>>(
  pass: Pass,
  needed: ReadonlyMap<string, RowRange | undefined>,
): Pass {
  const { grid, readings } = pass;
  const limit = limitOf(
    grid,
    readings.map(({ rows, want }) => ({ rows, needed: needed.get(want.key) })),
  );
  if (!limit) return pass;
  const own = readings.map((one) => ({ ...one, rows: one.rows && within(one.rows, limit.range) }));
  return { ...pass, grid: { ...grid, rows: limit.scores }, readings: own };
}

/** The reading whose sums are the same, before they are pooled: of equal ones, one that stays. */
export function sourceOf(reading: ReadingPlan, { readings }: PassPlan): ReadingPlan {
  const { keep, group } = reading.want;
  const equal = readings.filter(
    ({ rows, want }) => !rows && want.keep === keep && want.group === group,
  );
  return equal.find(({ kept, want }) => kept && want.pool === undefined) ?? equal[0]!;
}
