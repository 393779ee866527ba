// Who reads one wanted value: the sink that gathers it, and the selections made from it. One reader a
// head, or one a KV head where heads are summed. No scores.

import type { RowRange } from '../../../dsl/chosen.ts';
import { type Forced, forcedOfRow, forcedOfSums, gridOf } from '../../../dsl/estimate/axes.ts';
import { type Leaf, textOf, type Want } from '../../../dsl/estimate/demand.ts';
import { domainOf, rowsOfWant } from '../../../dsl/estimate/domain.ts';
import { within } from '../../../dsl/estimate/needed.ts';
import type { LaunchShape } from '../../../dsl/shape.ts';
import type { Results } from './combine.ts';
import { Selection } from './select.ts';
import {
  directRows,
  distanceSums,
  type Emit,
  type Sink,
  Sums,
  visibleEndOfBlock,
} from './sinks.ts';

export interface Reader {
  readonly sink: Sink;
  /** After the pass: the sums and the sets. */
  close(results: Results): void;
}

export interface ReaderOptions {
  /** Limits the rows that are read. */
  readonly range?: RowRange | undefined;
  /** Told how long picking members took. */
  readonly clock?: { select: number } | undefined;
}

/** `leaves` are the selections that read the value; more than one may. */
export function readerOf(
  want: Want,
  leaves: readonly Leaf[],
  shape: LaunchShape,
  options: ReaderOptions = {},
): Reader {
  const selections = leaves.map((leaf) => new Selection(leaf, domainOf(leaf, shape)));
  return want.keep === 'rows'
    ? rowReader(want, selections, shape, options)
    : sumReader(want, selections, shape, options);
}

function rowReader(
  want: Want,
  selections: readonly Selection[],
  shape: LaunchShape,
  { range, clock }: ReaderOptions,
): Reader {
  const grid = gridOf(want.scores, shape);
  const open = want.how === 'exp';
  const columns = grid.blockColumns;
  const all = rowsOfWant(want, grid);
  const rows = range ? within(all, range) : all;
  const forcedBy = (selection: Selection, row: number): Forced =>
    forcedOfRow(rows, columns, row, selection.leaf.always);
  const emit: Emit = (row, weights, from, to) => {
    const start = clock ? performance.now() : 0;
    for (const selection of selections) {
      selection.row(row, weights, from, to, forcedBy(selection, row));
    }
    if (clock) clock.select += performance.now() - start;
  };
  const isDirect =
    !want.group && rows.size === grid.rows.size && columns.size === grid.columns.size;
  return {
    sink: isDirect ? directRows(open, emit) : new Sums({ grid, rows, columns, open }, emit),
    close(results) {
      for (const selection of selections) {
        for (let row = rows.from; selection.dense && row < rows.to; row++) {
          const to = visibleEndOfBlock(grid, rows, columns, row);
          selection.fill(row, columns.from, to, forcedBy(selection, row));
        }
        results.leaves.set(textOf(selection.leaf), selection);
      }
    },
  };
}

function sumReader(
  want: Want,
  selections: readonly Selection[],
  shape: LaunchShape,
  { clock }: ReaderOptions,
): Reader {
  const grid = gridOf(want.scores, shape);
  const open = want.how === 'exp';
  let values = new Float32Array(0);
  const emit: Emit = (_row, weights, from, to) => {
    values = new Float32Array(to);
    values.set(weights.subarray(0, to - from), from);
  };
  const columns = grid.blockColumns;
  return {
    sink:
      want.keep === 'distances'
        ? distanceSums(shape.kLen, open, emit)
        : new Sums({ grid, rows: undefined, columns, open }, emit),
    close(results) {
      const start = clock ? performance.now() : 0;
      const sums = want.pool === undefined ? values : pooledSums(values, want.pool);
      for (const selection of selections) {
        const forced = forcedOfSums(sums.length, selection.leaf.always);
        selection.row(0, sums, 0, sums.length, forced);
        if (selection.dense) selection.fill(0, 0, sums.length, forced);
        results.leaves.set(textOf(selection.leaf), selection);
      }
      results.sums.set(want.key, sums);
      if (clock) clock.select += performance.now() - start;
    },
  };
}

function pooledSums(values: Float32Array, size: number): Float32Array {
  const sums = new Float64Array(Math.ceil(values.length / size));
  for (const [i, value] of values.entries()) sums[Math.floor(i / size)]! += value;
  return Float32Array.from(sums);
}
