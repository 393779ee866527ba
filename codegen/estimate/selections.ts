// The launches that select. A launch is for so many units, each with numbers of its own; sums of one axis of several
// readings are selected from together, where the kernel is the same: long rows alone keep few multiprocessors busy.

import type { Kernel } from '../kernel.ts';
import type { FieldValues } from '../struct.ts';
import { at, type Place } from './launches.ts';
import { type Leads, leadArguments, leadsFrom } from './leads.ts';
import type { ReadingPlan } from './passes.ts';
import { groupsOf, type Pass, statisticsOf, sumRows, weightsOf } from './places.ts';
import { leafArguments, mostParts, mostUnits } from './select.ts';
import { rowsOfBlock } from './short-rows.ts';
import type { SplitRows } from './split-rows.ts';
import { gridArguments, threadsOfRow } from './text.ts';
import type { Selection } from './trees.ts';
import { type Chunk, runsOf, type Wave } from './waves.ts';

/** Units that follow each other, of one selection. */
interface Segment {
  readonly reading: ReadingPlan;
  readonly kernel: Kernel;
  /** What goes before, where a row is split. */
  readonly count: Kernel | undefined;
  readonly selection: Selection;
  readonly units: Wave;
  /** Of each unit. */
  readonly numbers: readonly FieldValues[];
  readonly weights: Place;
  readonly stride: number;
  /** Units of the wave before these. */
  readonly before: number;
}

/** Selects from the rows of a chunk. */
export function select(reading: ReadingPlan, chunk: Chunk, wave: Wave, all: Pass): void {
  const { launches, pass } = all;
  const rows = sumRows(reading, chunk, all);
  const count = rows.to - rows.from;
  const isRaw = !reading.isDirect || pass.how === 'raw';
  for (const segment of segmentsOf(reading, rows, wave, all)) {
    const { kernel, selection, units, weights, stride, before } = segment;
    launches.launch(
      kernel,
      [Math.ceil(count / rowsOfLaunch(selection)), units.to - units.from, 1],
      {
        ...gridArguments(pass.grid),
        ...setArguments(selection),
        ...numberArguments([segment]),
        stride,
        row_from: rows.from,
        rows: count,
        unit: units.from,
      },
      {
        weights,
        ...(isRaw ? {} : { statistics: at(statisticsOf(all).buffer, 8 * before * count) }),
        ...setBuffers(selection),
      },
    );
  }
}

/** Rows of a block of the kernel of a selection. */
const rowsOfLaunch = ({ leaves, domain }: Selection): number =>
  rowsOfBlock(leaves[0]!, threadsOfRow(domain.columns));

/** Sums of one axis, and what else the selections from them are told. */
export interface SummedReadings {
  readonly readings: readonly ReadingPlan[];
  /** What is to be added to sums first. */
  readonly leads: Leads | undefined;
  readonly splitRows: SplitRows;
}

/** Rows of all waves that are shared by several blocks. */
export function countSplitRows(readings: readonly ReadingPlan[], all: Pass): number {
  const split = readings.filter((one) => all.kernels.readings.get(one)!.count.some(Boolean));
  return all.plan.waves
    .flatMap((wave) => split.flatMap((reading) => segmentsOf(reading, oneRow, wave, all)))
    .reduce((sum, { count, numbers }) => sum + (count ? numbers.length : 0), 0);
}

const oneRow: Chunk = { from: 0, to: 1 };

/** Selects from sums of one axis. */
export function selectFromSums(summed: SummedReadings, wave: Wave, all: Pass): void {
  const { readings } = summed;
  const segments = readings.flatMap((reading) => segmentsOf(reading, oneRow, wave, all));
  const launched: Segment[][] = [];
  for (const segment of segments) {
    const fits = ([first, ...more]: Segment[]): boolean =>
      first!.kernel.source === segment.kernel.source &&
      more.length + 2 <= mostParts &&
      [first!, segment, ...more].reduce((sum, { numbers }) => sum + numbers.length, 0) <= mostUnits;
    const together = launched.find(fits);
    if (together) together.push(segment);
    else launched.push([segment]);
  }
  for (const own of launched) launchParts(own, summed, all);
}

function launchParts(
  segments: readonly Segment[],
  { leads, splitRows }: SummedReadings,
  { launches, pass }: Pass,
): void {
  const args: Record<string, number> = {
    ...numberArguments(segments),
    row_from: 0,
    rows: 1,
    second: segments[0]!.numbers.length,
  };
  const buffers: Record<string, Place> = {};
  for (let part = 0; part < mostParts; part += 1) {
    // A part that is not there has no units.
    const { selection, units, weights, stride } = segments[part] ?? segments[0]!;
    const own = {
      ...setArguments(selection),
      stride,
      unit: units.from,
      column_end: pass.grid.columns.end,
    };
    for (const [name, value] of Object.entries(own)) args[`${name}[${part}]`] = value;
    const places = { weights, ...setBuffers(selection) };
    for (const [name, place] of Object.entries(places)) buffers[`${name}[${part}]`] = place;
  }
  const units = segments.reduce((sum, { numbers }) => sum + numbers.length, 0);
  const { kernel, count } = segments[0]!;
  if (!count) {
    launches.launch(kernel, [1, units, 1], args, buffers);
    return;
  }
  const columns = Math.max(...segments.map(({ selection }) => selection.domain.columns));
  const both = { args, buffers };
  const counting = leadsOfParts(segments, leads);
  splitRows.launch({ count, choose: kernel, columns, units, both, counting });
}

/** The leads of the part that has some, and for the others none. */
function leadsOfParts(segments: readonly Segment[], leads: Leads | undefined) {
  const args: Record<string, number> = { ...leadArguments(leads) };
  const buffers: Record<string, Place> = {};
  for (let part = 0; part < mostParts; part += 1) {
    const { reading, weights, before } = segments[part] ?? segments[0]!;
    const own = leads?.reading === reading ? leads : undefined;
    args[`lead_parts[${part}]`] = own ? own.parts : 0;
    buffers[`leads[${part}]`] = own ? leadsFrom(own, before) : weights;
  }
  return { args, buffers };
}

/** The units of a wave that are needed, in segments of at most `mostUnits`. */
function segmentsOf(reading: ReadingPlan, rows: Chunk, wave: Wave, all: Pass): Segment[] {
  const { shape, needed, kernels } = all;
  const { sums, stride } = weightsOf(reading, rows, wave, all);
  const size = shape.heads / shape.kvHeads;
  return reading.selections.flatMap((selection, s) => {
    const { select: chosen, count: counts } = kernels.readings.get(reading)!;
    const [kernel, count] = [chosen[s]!, counts[s]];
    const { perGroup, leaves } = selection;
    const units = perGroup ? groupsOf(wave, all) : wave;
    const headsOf = (unit: number): number[] =>
      perGroup
        ? Array.from({ length: size }, (_, i) => (unit % shape.kvHeads) * size + i)
        : [unit % shape.heads];
    const asked = Array.from({ length: units.to - units.from }, (_, i) => units.from + i).filter(
      (unit) => headsOf(unit).some((head) => needed.has(head)),
    );
    return runsOf(asked).flatMap((run) => {
      const segments: Segment[] = [];
      for (let from = run.from; from < run.to; from += mostUnits) {
        const to = Math.min(run.to, from + mostUnits);
        const before = from - units.from;
        segments.push({
          reading,
          kernel,
          count,
          selection,
          units: { from, to },
          numbers: Array.from({ length: to - from }, (_, i) =>
            leafArguments(leaves[headsOf(from + i)[0]!]!),
          ),
          weights: at(sums.buffer, sums.offset + 4 * before * (rows.to - rows.from) * stride),
          stride,
          before,
        });
      }
      return segments;
    });
  });
}

const setArguments = ({ domain }: Selection): FieldValues => ({
  words: Math.ceil(domain.columns / 32),
  set_from: domain.rowFrom,
  set_rows: domain.rows,
});

const setBuffers = ({ bits, dense }: Selection): Record<string, Place> => ({
  bits: at(bits),
  ...(dense ? { dense: at(dense) } : {}),
});

/** The numbers of all units of a launch, and zeros where there are none. */
function numberArguments(segments: readonly Segment[]): FieldValues {
  const numbers = segments.flatMap((segment) => segment.numbers);
  const args: Record<string, number> = {};
  for (const name of Object.keys(numbers[0]!))
    for (let i = 0; i < mostUnits; i += 1) args[`${name}[${i}]`] = numbers[i]?.[name] ?? 0;
  return args;
}
