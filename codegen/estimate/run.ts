// The launches of one pass, wave by wave: the family of the pass brings its sums, or scores, and selections
// read them.

import { runCells } from './cells-run.ts';
import { runEnergies } from './energies-run.ts';
import { kernelsOf } from './kernels.ts';
import type { Leads } from './leads.ts';
import type { PassPlan, ReadingPlan } from './passes.ts';
import { type Pass, type PassContext, pooledPlace, sumPlace } from './places.ts';
import { runProbe } from './probe-run.ts';
import { countSplitRows, selectFromSums } from './selections.ts';
import { SplitRows } from './split-rows.ts';
import { checkStored, runStored } from './stored.ts';
import { sumThreads } from './sums.ts';
import { factorsOf } from './vectors.ts';
import { type Wave, wavesOf, wavesOfCells, wavesOfRows, wavesOfSums } from './waves.ts';

const planOf = { probe: wavesOfSums, energies: wavesOfRows, cells: wavesOfCells, stored: wavesOf };
const runFamily = { energies: runEnergies, cells: runCells, stored: runStored };

export function runPass(pass: PassPlan, context: PassContext): void {
  const { shape, needed, scoreBytes, dtype, backend = 'portable' } = context;
  const factors = factorsOf(pass.scores, shape);
  const all: Pass = {
    ...context,
    pass,
    plan: planOf[pass.family](pass, shape, needed, scoreBytes),
    factors,
    kernels: kernelsOf(pass, factors, shape, dtype, backend),
    backend,
  };
  if (pass.family === 'stored') checkStored(pass, all.plan);
  const { rows, columns } = pass.grid;
  const isEmpty = rows.from === rows.to || columns.from === columns.to;
  const readings = summed(pass);
  const splitRows = new SplitRows(all.launches, countSplitRows(readings, all));
  for (const wave of all.plan.waves) {
    const leads = isEmpty ? undefined : runWave(wave, all);
    if (isEmpty) for (const reading of readings) clearSums(reading, wave, all);
    for (const reading of readings) poolSums(reading, wave, all);
    selectFromSums({ readings, leads, splitRows }, wave, all);
  }
}

/** Returns what is still to be added to the sums, if anything is. */
function runWave(wave: Wave, all: Pass): Leads | undefined {
  const { family } = all.pass;
  if (family === 'probe') return runProbe(wave, all);
  runFamily[family](wave, all);
  return undefined;
}

/** The readings that are sums of one axis. */
const summed = ({ readings }: PassPlan): ReadingPlan[] => readings.filter(({ rows }) => !rows);

/** Sums of no rows are zeros. */
function clearSums(reading: ReadingPlan, wave: Wave, all: Pass): void {
  const { sums, stride, units } = sumPlace(reading, 1, wave, all);
  all.launches.fill(sums, 4 * (units.to - units.from) * stride, 0);
}

function poolSums(reading: ReadingPlan, wave: Wave, all: Pass): void {
  const { want, columns } = reading;
  const kernel = all.kernels.readings.get(reading)!.poolSums;
  if (!kernel || want.pool === undefined) return;
  const { sums, stride, units } = sumPlace(reading, 1, wave, all);
  const pooled = pooledPlace(reading, want.pool, units, all);
  all.launches.launch(
    kernel,
    [Math.ceil(Math.ceil(columns.to / want.pool) / sumThreads), units.to - units.from, 1],
    { stride, members: columns.to, pooled_stride: pooled.stride },
    { sums, pooled: pooled.sums },
  );
}
