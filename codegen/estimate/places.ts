// One pass at work, and where what it makes lies: scores, statistics, sums, pooled sums.

import { firstPosition, lastPosition } from '../../dsl/estimate/axes.ts';
import type { LaunchShape } from '../../dsl/shape.ts';
import type { FieldValues } from '../struct.ts';
import { at, type Launches, type Place } from './launches.ts';
import type { PassKernels } from './pass-kernels.ts';
import { type PassPlan, type ReadingPlan, sourceOf } from './passes.ts';
import type { ProductBackend } from './products.ts';
import type { EstimateLaunchRequest } from './request.ts';
import type { Factors } from './vectors.ts';
import { type Chunk, roundUp, type Wave, type WavePlan } from './waves.ts';

export interface PassContext extends EstimateLaunchRequest {
  readonly launches: Launches;
  /** The query heads whose sets are needed. */
  readonly needed: ReadonlySet<number>;
}

/** One pass with all that its launches share. */
export interface Pass extends PassContext {
  readonly backend: ProductBackend;
  readonly pass: PassPlan;
  readonly plan: WavePlan;
  readonly factors: Factors;
  readonly kernels: PassKernels;
}

/** Of a GPU that is not known. */
const someMultiprocessors = 132;

/** How many blocks of a multiprocessor each run at once. */
export const multiprocessorsOf = ({ multiprocessors = someMultiprocessors }: Pass): number =>
  multiprocessors;

/** KV heads of a wave, numbered over all batch entries. */
export function groupsOf({ from, to }: Wave, { shape }: Pass): Wave {
  const size = shape.heads / shape.kvHeads;
  return { from: Math.floor(from / size), to: Math.floor((to - 1) / size) + 1 };
}

/** Where a chunk of the scores of a wave lies. */
export const scorePlace = ({ from, to }: Chunk, { plan }: Pass): FieldValues => ({
  row_from: from,
  rows: to - from,
  stride: plan.stride,
});

/** The buffer of scores, where they are kept in memory. */
export const scoresBuffer = 'scores';

export const scores = ({ launches, plan }: Pass): Place =>
  at(launches.need(scoresBuffer, 4 * plan.units * plan.rows * plan.stride));

export const statisticsOf = ({ launches, plan }: Pass): Place =>
  at(launches.need('statistics', 8 * plan.units * plan.rows));

/** The columns of a chunk end where its last row's do. */
export function columnsOf(chunk: Chunk, { pass: { grid } }: Pass): number {
  const { rows, columns, causal } = grid;
  if (!causal) return columns.to - columns.from;
  const last = lastPosition(rows, chunk.to - 1);
  return Math.min(columns.to, Math.floor(last / columns.size) + 1) - columns.from;
}

/** Rows of sums that the rows of a chunk go to; one, where all rows are summed. */
export function sumRows({ rows }: ReadingPlan, chunk: Chunk, { pass: { grid } }: Pass): Chunk {
  if (!rows) return { from: 0, to: 1 };
  const from = Math.floor(firstPosition(grid.rows, chunk.from) / rows.size);
  return { from, to: Math.floor(lastPosition(grid.rows, chunk.to - 1) / rows.size) + 1 };
}

export interface SumPlace {
  /** [sums, rows of sums, stride] */
  readonly sums: Place;
  readonly stride: number;
  readonly units: Wave;
}

/** Sums of one axis that stay for all units, after they are pooled. */
export function keptPlace({ want, columns, kept }: ReadingPlan, shape: LaunchShape) {
  const members = Math.ceil(columns.to / (want.pool ?? 1));
  const stride = roundUp(members, 32);
  const units = shape.batch * (want.group ? shape.kvHeads : shape.heads);
  return { buffer: kept!, members, stride, bytes: 4 * units * stride };
}

/** Sums over heads are one per KV head. Sums of one axis outlive the chunk, and have a buffer each. */
export function sumPlace(own: ReadingPlan, count: number, wave: Wave, all: Pass): SumPlace {
  const reading = own.rows ? own : sourceOf(own, all.pass);
  const { columns, rows, want } = reading;
  const units = want.group ? groupsOf(wave, all) : wave;
  if (reading.kept && want.pool === undefined) return { ...keptSums(reading, units, all), units };
  const stride = roundUp(rows ? columns.to - columns.from : columns.to, 32);
  const bytes = 4 * (units.to - units.from) * count * stride;
  const name = rows ? 'sums' : `sums ${all.pass.readings.indexOf(reading)}`;
  return { sums: at(all.launches.need(name, bytes)), stride, units };
}

/** The part of kept sums that belongs to a wave. */
function keptSums(reading: ReadingPlan, units: Wave, { launches, shape }: Pass) {
  const { buffer, bytes, stride } = keptPlace(reading, shape);
  return { sums: at(launches.need(buffer, bytes), 4 * units.from * stride), stride };
}

/** Where the pooled sums of a wave lie. */
export function pooledPlace(reading: ReadingPlan, size: number, units: Wave, all: Pass) {
  if (reading.kept) return keptSums(reading, units, all);
  const stride = roundUp(Math.ceil(reading.columns.to / size), 32);
  const bytes = 4 * (units.to - units.from) * stride;
  return {
    sums: at(all.launches.need(`pooled sums ${all.pass.readings.indexOf(reading)}`, bytes)),
    stride,
  };
}

/** Where the weights of a selection lie: scores, sums, or pooled sums. */
export function weightsOf(reading: ReadingPlan, rows: Chunk, wave: Wave, all: Pass) {
  if (reading.isDirect) return { sums: scores(all), stride: all.plan.stride };
  const place = sumPlace(reading, rows.to - rows.from, wave, all);
  const { pool: size } = reading.want;
  return size === undefined ? place : pooledPlace(reading, size, place.units, all);
}
