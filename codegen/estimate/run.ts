// The launches of one pass: wave by wave and chunk by chunk pools, scores, statistics, sums and selections.

import { firstPosition, lastPosition } from '../../dsl/estimate/axes.ts';
import type { LaunchShape } from '../../dsl/shape.ts';
import type { FieldValues } from '../struct.ts';
import { kernelsOf, type PassKernels } from './kernels.ts';
import { at, errorBuffer, type Launches, type Place } from './launches.ts';
import type { PassPlan, ReadingPlan } from './passes.ts';
import type { EstimateLaunchRequest } from './request.ts';
import { runsOfEqual } from './runs.ts';
import { scoreTile } from './scores.ts';
import { numbersOf } from './select.ts';
import { sumThreads } from './sums.ts';
import { gridArguments, headArguments, lineArguments } from './text.ts';
import { type Factors, factorsOf, poolBytes, tensorArguments } from './vectors.ts';
import { type Chunk, roundUp, type Wave, type WavePlan, wavesOf } from './waves.ts';

export interface PassContext extends EstimateLaunchRequest {
  readonly launches: Launches;
  /** The query heads whose sets are needed. */
  readonly needed: ReadonlySet<number>;
}

/** One pass with all that its launches share. */
interface Pass extends PassContext {
  readonly pass: PassPlan;
  readonly plan: WavePlan;
  readonly factors: Factors;
  readonly kernels: PassKernels;
}

export function runPass(pass: PassPlan, context: PassContext): void {
  const { shape, needed, scoreBytes, dtype } = context;
  const factors = factorsOf(pass.scores, shape);
  const all: Pass = {
    ...context,
    pass,
    plan: wavesOf(pass, shape, needed, scoreBytes),
    factors,
    kernels: kernelsOf(pass, factors, shape, dtype),
  };
  for (const wave of all.plan.waves) {
    pool('right', factors.columns.line, wave, all);
    for (const [reading, i] of summed(pass)) clearSums(reading, i, wave, all);
    for (const [c, chunk] of all.plan.chunks.entries()) {
      pool('left', chunk, wave, all);
      score(chunk, wave, all);
      statistics(chunk, wave, all);
      for (const [i, reading] of pass.readings.entries()) {
        sum(reading, i, chunk, c > 0, wave, all);
        if (reading.rows) select(reading, i, chunk, wave, all);
      }
    }
    for (const [reading, i] of summed(pass)) {
      poolSums(reading, i, wave, all);
      select(reading, i, undefined, wave, all);
    }
  }
}

/** The readings that are sums of one axis, and their numbers. */
const summed = ({ readings }: PassPlan): [ReadingPlan, number][] =>
  [...readings.entries()].filter(([, { rows }]) => !rows).map(([i, reading]) => [reading, i]);

/** KV heads of a wave, numbered over all batch entries. */
function groupsOf({ from, to }: Wave, { shape }: Pass): Wave {
  const size = shape.heads / shape.kvHeads;
  return { from: Math.floor(from / size), to: Math.floor((to - 1) / size) + 1 };
}

/** Makes the pools of one side, where it is made of pools. */
function pool(name: 'left' | 'right', members: Chunk, wave: Wave, all: Pass): void {
  const { launches, shape, strides, factors, kernels } = all;
  const kernel = kernels[name];
  const side = name === 'left' ? factors.rows : factors.columns;
  if (!kernel) return;
  const units = side.tensor === 'q' ? wave : groupsOf(wave, all);
  const count = members.to - members.from;
  const bytes = (units.to - units.from) * poolBytes(count, shape);
  launches.launch(
    kernel,
    [count, units.to - units.from, 1],
    {
      ...tensorArguments(side.tensor, strides[side.tensor], shape),
      ...headArguments(wave.from, shape),
      ...lineArguments('row', side.line),
      from: members.from,
    },
    { [side.tensor]: at(side.tensor), pools: at(launches.need(name, bytes)) },
  );
}

/** Where a chunk of the scores of a wave lies. */
const scorePlace = ({ from, to }: Chunk, { plan }: Pass): FieldValues => ({
  row_from: from,
  rows: to - from,
  stride: plan.stride,
});

const scores = ({ launches, plan }: Pass): Place =>
  at(launches.need('scores', 4 * plan.units * plan.rows * plan.stride));

const statisticsOf = ({ launches, plan }: Pass): Place =>
  at(launches.need('statistics', 8 * plan.units * plan.rows));

/** The columns of a chunk end where its last row's do. */
function columnsOf(chunk: Chunk, { pass: { grid } }: Pass): number {
  const { rows, columns, causal } = grid;
  if (!causal) return columns.to - columns.from;
  const last = lastPosition(rows, chunk.to - 1);
  return Math.min(columns.to, Math.floor(last / columns.size) + 1) - columns.from;
}

function score(chunk: Chunk, wave: Wave, all: Pass): void {
  const { shape, strides, launches, pass, kernels } = all;
  const { rows, columns } = all.factors;
  const sides = [
    { name: 'left', side: rows, members: chunk },
    { name: 'right', side: columns, members: columns.line },
  ];
  const args: Record<string, number> = {};
  const buffers: Record<string, Place> = { scores: scores(all), error: at(errorBuffer) };
  for (const { name, side, members } of sides) {
    if (side.form === 'pool') {
      args[`${name}_members`] = members.to - members.from;
      args[`${name}_from`] = members.from;
      buffers[name] = at(name);
      continue;
    }
    Object.assign(args, tensorArguments(side.tensor, strides[side.tensor], shape));
    buffers[side.tensor] = at(side.tensor);
    if (side.form === 'cells') Object.assign(args, lineArguments(name, side.line));
  }
  launches.launch(
    kernels.scores,
    [
      Math.ceil(columnsOf(chunk, all) / scoreTile),
      Math.ceil((chunk.to - chunk.from) / scoreTile),
      wave.to - wave.from,
    ],
    {
      ...args,
      ...headArguments(wave.from, shape),
      group_from: groupsOf(wave, all).from,
      ...gridArguments(pass.grid),
      ...scorePlace(chunk, all),
    },
    buffers,
  );
}

function statistics(chunk: Chunk, wave: Wave, all: Pass): void {
  const { pass, kernels, launches } = all;
  if (!kernels.statistics) return;
  launches.launch(
    kernels.statistics,
    [chunk.to - chunk.from, wave.to - wave.from, 1],
    { ...gridArguments(pass.grid), ...scorePlace(chunk, all) },
    { scores: scores(all), statistics: statisticsOf(all) },
  );
}

/** Rows of sums that the rows of a chunk go to; one, where all rows are summed. */
function sumRows({ rows }: ReadingPlan, chunk: Chunk, { pass: { grid } }: Pass): Chunk {
  if (!rows) return { from: 0, to: 1 };
  const from = Math.floor(firstPosition(grid.rows, chunk.from) / rows.size);
  return { from, to: Math.floor(lastPosition(grid.rows, chunk.to - 1) / rows.size) + 1 };
}

interface SumPlace {
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
function sumPlace(reading: ReadingPlan, i: number, count: number, wave: Wave, all: Pass): SumPlace {
  const { columns, rows, want } = reading;
  const units = want.group ? groupsOf(wave, all) : wave;
  if (reading.kept && want.pool === undefined) return { ...keptSums(reading, units, all), units };
  const stride = roundUp(rows ? columns.to - columns.from : columns.to, 32);
  const bytes = 4 * (units.to - units.from) * count * stride;
  const name = rows ? 'sums' : `sums ${i}`;
  return { sums: at(all.launches.need(name, bytes)), stride, units };
}

/** The part of kept sums that belongs to a wave. */
function keptSums(reading: ReadingPlan, units: Wave, { launches, shape }: Pass) {
  const { buffer, bytes, stride } = keptPlace(reading, shape);
  return { sums: at(launches.need(buffer, bytes), 4 * units.from * stride), stride };
}

/** Sums of no rows are zeros. */
function clearSums(reading: ReadingPlan, i: number, wave: Wave, all: Pass): void {
  const { sums, stride, units } = sumPlace(reading, i, 1, wave, all);
  all.launches.fill(sums, 4 * (units.to - units.from) * stride, 0);
}

function sum(
  reading: ReadingPlan,
  i: number,
  chunk: Chunk,
  adds: boolean,
  wave: Wave,
  all: Pass,
): void {
  const { launches, pass, kernels, shape } = all;
  const { shift, sum: kernel } = kernels.readings[i]!;
  if (!kernel) return;
  const own = sumRows(reading, chunk, all);
  const count = own.to - own.from;
  const { sums, stride, units } = sumPlace(reading, i, count, wave, all);
  const sumsWave = units.to - units.from;
  const goesOn = {
    sums_from: own.from,
    sum_heads: reading.want.group ? shape.heads / shape.kvHeads : 1,
    adds: Number(adds && !reading.rows),
  };
  const shifts = at(reading.rows ? 'shifts' : `shifts ${i}`);
  if (shift) {
    launches.need(shifts.buffer, 8 * sumsWave * count);
    launches.launch(
      shift,
      [count, sumsWave, 1],
      { row_from: chunk.from, rows: chunk.to - chunk.from, ...goesOn },
      { statistics: statisticsOf(all), shifts },
    );
  }
  const width = reading.columns.to - reading.columns.from;
  launches.launch(
    kernel,
    [count, Math.ceil(width / sumThreads), sumsWave],
    {
      ...gridArguments(pass.grid),
      ...scorePlace(chunk, all),
      sums_stride: stride,
      sums_rows: count,
      ...goesOn,
    },
    {
      scores: scores(all),
      statistics: statisticsOf(all),
      ...(shift ? { shifts } : {}),
      sums,
    },
  );
}

/** Where the pooled sums of a wave lie. */
function pooledPlace(reading: ReadingPlan, i: number, size: number, units: Wave, all: Pass) {
  if (reading.kept) return keptSums(reading, units, all);
  const stride = roundUp(Math.ceil(reading.columns.to / size), 32);
  const bytes = 4 * (units.to - units.from) * stride;
  return { sums: at(all.launches.need(`pooled sums ${i}`, bytes)), stride };
}

function poolSums(reading: ReadingPlan, i: number, wave: Wave, all: Pass): void {
  const { want, columns } = reading;
  const kernel = all.kernels.readings[i]!.poolSums;
  if (!kernel || want.pool === undefined) return;
  const { sums, stride, units } = sumPlace(reading, i, 1, wave, all);
  const pooled = pooledPlace(reading, i, want.pool, units, all);
  all.launches.launch(
    kernel,
    [Math.ceil(Math.ceil(columns.to / want.pool) / sumThreads), units.to - units.from, 1],
    { stride, members: columns.to, pooled_stride: pooled.stride },
    { sums, pooled: pooled.sums },
  );
}

/** Where the weights of a selection lie: scores, sums, or pooled sums. */
function weightsOf(reading: ReadingPlan, i: number, rows: Chunk, wave: Wave, all: Pass) {
  if (reading.isDirect) return { sums: scores(all), stride: all.plan.stride };
  const place = sumPlace(reading, i, rows.to - rows.from, wave, all);
  const { pool: size } = reading.want;
  return size === undefined ? place : pooledPlace(reading, i, size, place.units, all);
}

/** Selects from rows of a chunk, or from sums of one axis; one launch for each run of heads of equal numbers. */
function select(
  reading: ReadingPlan,
  i: number,
  chunk: Chunk | undefined,
  wave: Wave,
  all: Pass,
): void {
  const { shape, launches, pass, needed, kernels } = all;
  const rows = chunk ? sumRows(reading, chunk, all) : { from: 0, to: 1 };
  const { sums: weights, stride } = weightsOf(reading, i, rows, wave, all);
  const count = rows.to - rows.from;
  const isRaw = !reading.isDirect || pass.how === 'raw';
  for (const [s, selection] of reading.selections.entries()) {
    const { perGroup, domain, bits, dense } = selection;
    const kernel = kernels.readings[i]!.select[s]!;
    const units = perGroup ? groupsOf(wave, all) : wave;
    const perBatch = perGroup ? shape.kvHeads : shape.heads;
    const words = Math.ceil(domain.columns / 32);
    // A wave may hold parts of several batch entries.
    for (let batch = Math.floor(units.from / perBatch); batch * perBatch < units.to; batch++) {
      const first = batch * perBatch;
      const within = { from: Math.max(0, units.from - first), to: units.to - first };
      for (const run of runsOfEqual(numbersOf(selection), shape, needed, within)) {
        const { from, to, numbers } = run;
        const before = first + from - units.from;
        launches.launch(
          kernel,
          [count, to - from, 1],
          {
            ...gridArguments(pass.grid),
            stride,
            row_from: rows.from,
            rows: count,
            ...numbers,
            words,
            set_from: domain.rowFrom,
            set_rows: domain.rows,
            unit: first + from,
          },
          {
            weights: at(weights.buffer, weights.offset + 4 * before * count * stride),
            ...(isRaw ? {} : { statistics: at(statisticsOf(all).buffer, 8 * before * count) }),
            bits: at(bits),
            ...(dense ? { dense: at(dense) } : {}),
          },
        );
      }
    }
  }
}
