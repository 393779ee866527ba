// The launches of passes whose scores are stored, chunk by chunk of rows: pools, scores, statistics, sums, and
// selections of rows.

import { diagnostic, PlanError } from '../../dsl/diagnostic.ts';
import { at, errorBuffer, type Place } from './launches.ts';
import { type PassPlan, type ReadingPlan, sourceOf } from './passes.ts';
import {
  columnsOf,
  groupsOf,
  type Pass,
  scorePlace,
  scores,
  statisticsOf,
  sumPlace,
  sumRows,
} from './places.ts';
import { scoreTile } from './scores.ts';
import { select } from './selections.ts';
import { sumThreads } from './sums.ts';
import { gridArguments, headArguments, lineArguments } from './text.ts';
import { poolBytes, tensorArguments } from './vectors.ts';
import type { Chunk, Wave, WavePlan } from './waves.ts';

/** What passes that keep their scores in memory may hold at once, and how often they may begin anew. */
export const mostStored = { bytes: 2 ** 30, rounds: 2 ** 14 } as const;

/**
 * Scores in memory are held chunk by chunk, so that lengths cost time and no memory: up to where one chunk is too
 * large, or there are too many to wait for. throws: PlanError E010.
 */
export function checkStored(
  { readings, grid }: PassPlan,
  { units, rows, stride, waves, chunks }: WavePlan,
): void {
  const bytes = 4 * units * rows * stride;
  const rounds = waves.length * chunks.length;
  if (bytes <= mostStored.bytes && rounds <= mostStored.rounds) return;
  const names = new Set(
    readings.flatMap(({ selections }) => selections.map(({ bits }) => bits.replace(/^set /, ''))),
  );
  const [rowCount, columnCount] = [grid.rows, grid.columns].map(({ from, to }) => to - from);
  const what =
    bytes > mostStored.bytes
      ? `${bytes} bytes at once, of ${mostStored.bytes} at most`
      : `${rounds} rounds of launches, of ${mostStored.rounds} at most`;
  throw new PlanError([
    diagnostic(
      'E010',
      `the scores behind '${[...names].join("', '")}', ${rowCount} rows of ${columnCount}, have no kernel that keeps none: they take ${what}`,
      {
        help: 'score fewer rows with q.last(n), or pools with q.pool(size) and k.pool(size); no scores are kept of a softmax of q.last(n), n up to 256, that is summed per key or per distance, of exp() of q with pools of k, summed per block, and of antidiagonal scores, summed per block; or use the CPU device',
      },
    ),
  ]);
}

export function runStored(wave: Wave, all: Pass): void {
  const { pass, plan, factors } = all;
  pool('right', factors.columns.line, wave, all);
  for (const [c, chunk] of plan.chunks.entries()) {
    pool('left', chunk, wave, all);
    score(chunk, wave, all);
    statistics(chunk, wave, all);
    for (const reading of pass.readings) {
      if (reading.rows || sourceOf(reading, pass) === reading)
        sum(reading, chunk, c > 0, wave, all);
      if (reading.rows) select(reading, chunk, wave, all);
    }
  }
}

/** Makes the pools of one side, where it is made of pools. */
export function pool(name: 'left' | 'right', members: Chunk, wave: Wave, all: Pass): void {
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

function sum(reading: ReadingPlan, chunk: Chunk, adds: boolean, wave: Wave, all: Pass): void {
  const { launches, pass, kernels, shape } = all;
  const { shift, sum: kernel } = kernels.readings.get(reading)!;
  if (!kernel) return;
  const own = sumRows(reading, chunk, all);
  const count = own.to - own.from;
  const { sums, stride, units } = sumPlace(reading, count, wave, all);
  const sumsWave = units.to - units.from;
  const goesOn = {
    sums_from: own.from,
    sum_heads: reading.want.group ? shape.heads / shape.kvHeads : 1,
    adds: Number(adds && !reading.rows),
  };
  const shifts = at(reading.rows ? 'shifts' : `shifts ${pass.readings.indexOf(reading)}`);
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
