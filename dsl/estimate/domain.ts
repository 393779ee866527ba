// The domain of a chosen set: which rows and columns it may have, for the lengths of one call.

import type { SetDomain } from '../chosen.ts';
import { invariant } from '../diagnostic.ts';
import type { LaunchShape } from '../shape.ts';
import { type Grid, gridOf, type Line, regrouped } from './axes.ts';
import { type Want, wantOf } from './demand.ts';
import { type ChosenNode, isSum } from './node.ts';

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
  const rows = rowsOfWant(want, grid);
  const columns = Math.ceil(shape.kLen / grid.blockColumns.size);
  return { rowFrom: rows.from, rows: rows.to - rows.from, columns, arity: 2 };
}

/** The rows that a wanted value has, where it is not one sum over all of them. */
export const rowsOfWant = ({ block }: Pick<Want, 'block'>, grid: Grid): Line =>
  block === undefined ? grid.blockRows : regrouped(grid.rows, block);
