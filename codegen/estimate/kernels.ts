// The kernels of one pass, made once for all its waves and chunks.

import { line } from '../../dsl/estimate/axes.ts';
import type { LaunchShape } from '../../dsl/shape.ts';
import { isSplit } from './largest.ts';
import type { PassKernels, ReadingKernels } from './pass-kernels.ts';
import type { PassPlan, ReadingPlan } from './passes.ts';
import type { ProductBackend } from './products.ts';
import { scoreKernel, statisticsKernel } from './scores.ts';
import { type SelectSpec, selectKernel } from './select.ts';
import { distanceKernel, poolSumsKernel, type SumSpec, shiftKernel, sumKernel } from './sums.ts';
import { threadsOfRow } from './text.ts';
import type { Selection } from './trees.ts';
import { type Factors, type HalfType, poolKernel, type Side } from './vectors.ts';

/** What the selections of a reading see. */
export function selectSpec(
  pass: PassPlan,
  reading: ReadingPlan,
  { leaves }: Selection,
): SelectSpec {
  const { rows, isDirect, want } = reading;
  const columns = rows
    ? reading.columns
    : line((want.pool ?? 1) * reading.columns.size, 0, pass.grid.columns.end);
  const how = isDirect ? pass.how : 'raw';
  return { leaf: leaves[0]!, grid: pass.grid, rows, columns, how };
}

function readingKernels(pass: PassPlan, reading: ReadingPlan): ReadingKernels {
  const { rows, columns, want, selections, isDirect } = reading;
  const spec: SumSpec = { grid: pass.grid, how: pass.how, rows, columns };
  const sum = want.keep === 'distances' ? distanceKernel : sumKernel;
  const selectionOf = (one: Selection) =>
    [selectSpec(pass, reading, one), threadsOfRow(one.domain.columns)] as const;
  return {
    shift: !isDirect && pass.how === 'exp' ? shiftKernel(spec) : undefined,
    sum: isDirect ? undefined : sum(spec),
    poolSums: want.pool === undefined ? undefined : poolSumsKernel(want.pool),
    select: selections.map((one) => selectKernel(...selectionOf(one))),
    count: selections.map((one) =>
      isSplit(...selectionOf(one)) ? selectKernel(...selectionOf(one), 'count') : undefined,
    ),
  };
}

export function kernelsOf(
  pass: PassPlan,
  factors: Factors,
  shape: LaunchShape,
  dtype: HalfType,
  backend: ProductBackend,
): PassKernels {
  const { scores, grid, how, untilQuery, readings } = pass;
  const pool = (side: Side) => (side.form === 'pool' ? poolKernel(side, shape, dtype) : undefined);
  const threads = threadsOfRow(grid.columns.to - grid.columns.from);
  return {
    left: pool(factors.rows),
    right: pool(factors.columns),
    scores: scoreKernel(scores, shape, dtype, backend),
    statistics: how === 'raw' ? undefined : statisticsKernel(grid, how, untilQuery, threads),
    readings: new Map(readings.map((reading) => [reading, readingKernels(pass, reading)])),
  };
}
