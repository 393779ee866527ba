// Where rows and columns of an estimate lie among the positions, and which columns a row sees. Pure
// arithmetic: no tensors and no weights.

import { type LaunchShape, queryOffset } from '../shape.ts';
import type { ScoreNode, VectorNode } from './node.ts';

/**
 * Consecutive positions `[start, end)` cut into aligned members of `size` tokens; member m holds the
 * valid positions of `[m * size, (m + 1) * size)`, and the members are numbered `[from, to)`.
 */
export interface Line {
  readonly size: number;
  readonly start: number;
  readonly end: number;
  readonly from: number;
  readonly to: number;
}

export function line(size: number, start: number, end: number): Line {
  const from = Math.floor(start / size);
  return { size, start, end, from, to: start < end ? Math.floor((end - 1) / size) + 1 : from };
}

/** The same positions in members of another size. */
export const regrouped = (of: Line, size: number): Line => line(size, of.start, of.end);

/** Queries before position 0 see nothing and belong to no member: they are left out here. */
export const firstQuery = (shape: LaunchShape): number => Math.max(0, queryOffset(shape));

/** The rows of a vector node. */
export function lineOf(node: VectorNode, shape: LaunchShape): Line {
  switch (node.op) {
    case 'input':
      return line(1, node.of === 'q' ? firstQuery(shape) : 0, shape.kLen);
    case 'last': {
      const { start, end } = lineOf(node.of, shape);
      return line(1, Math.max(start, end - node.size), end);
    }
    case 'pool':
      return regrouped(lineOf(node.of, shape), node.size);
  }
}

export const firstPosition = (of: Line, member: number): number =>
  Math.max(of.start, member * of.size);

export const lastPosition = (of: Line, member: number): number =>
  Math.min(of.end, (member + 1) * of.size) - 1;

/**
 * The end of the columns that a row sees. Causal: a column is seen when its last key is not after the
 * row's last position. Both are cut off at the end of the keys, so the last row sees every column.
 */
export function visibleEnd(rows: Line, columns: Line, causal: boolean, row: number): number {
  if (!causal) return columns.to;
  const last = lastPosition(rows, row);
  if (last >= columns.end - 1) return columns.to;
  return Math.max(columns.from, Math.min(columns.to, Math.floor((last + 1) / columns.size)));
}

/** Members that `always` forces: columns `[0, first)` and `[from, to)`. */
export interface Forced {
  readonly first: number;
  readonly from: number;
  readonly to: number;
}

/** Of a row whose queries lie in column blocks f..l: the first ones, and `f - last + 1 .. l`. */
export function forcedOfRow(
  rows: Line,
  columns: Line,
  row: number,
  always: { readonly first: number; readonly last: number },
): Forced {
  const first = Math.min(always.first, columns.to);
  if (always.last === 0) return { first, from: 0, to: 0 };
  const f = Math.floor(firstPosition(rows, row) / columns.size);
  const l = Math.floor(lastPosition(rows, row) / columns.size);
  return { first, from: Math.max(0, f - always.last + 1), to: Math.min(columns.to, l + 1) };
}

/** Of one axis: the first and the last members of the domain. */
export function forcedOfSums(
  columns: number,
  always: { readonly first: number; readonly last: number },
): Forced {
  return {
    first: Math.min(always.first, columns),
    from: Math.max(0, columns - always.last),
    to: columns,
  };
}

/** Fine scores as they are computed, and the rows and columns that a selection sees. */
export interface Grid {
  readonly rows: Line;
  readonly columns: Line;
  /** Rows and columns after antidiagonal cells are summed to blocks; else those above. */
  readonly blockRows: Line;
  readonly blockColumns: Line;
  readonly causal: boolean;
}

export function gridOf(node: ScoreNode, shape: LaunchShape): Grid {
  if (node.op === 'causal') return { ...gridOf(node.of, shape), causal: true };
  if (node.op === 'dot') {
    const rows = lineOf(node.left, shape);
    const columns = lineOf(node.right, shape);
    return { rows, columns, blockRows: rows, blockColumns: columns, causal: false };
  }
  const rows = line(node.stride, firstQuery(shape), shape.kLen);
  const columns = line(node.stride, 0, shape.kLen);
  return {
    rows,
    columns,
    blockRows: regrouped(rows, node.block),
    blockColumns: regrouped(columns, node.block),
    causal: false,
  };
}
