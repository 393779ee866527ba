// The launches of a probe: 64 queries of each head at a time, the last ones first.

import { at, errorBuffer, type Place } from './launches.ts';
import { addLeads, isReadOnce, type Leads } from './leads.ts';
import type { ReadingPlan } from './passes.ts';
import { groupsOf, multiprocessorsOf, type Pass, sumPlace } from './places.ts';
import { probeRowsKernel, probeSumsKernel } from './probe.ts';
import {
  feedMaps,
  headsOfBlock,
  keysOfTile,
  type ProbeSpec,
  partsOfBlock,
  probeQueries,
} from './probe-feed.ts';
import { tensorArguments } from './vectors.ts';
import { adjacent, roundUp, type Wave } from './waves.ts';

/** Keys of a part: a tile holds 8 of each, and a diagonal spans at most two. */
const partAlignment = 8;
const leastPart = 64;

/** A launch over 64 queries of each head. */
interface Turn {
  readonly row: number;
  readonly row_end: number;
}

/** The queries of a probe, 64 at a time. */
function turnsOf({ pass }: Pass): Turn[] {
  const { rows } = pass.grid;
  const count = Math.ceil((rows.end - rows.start) / probeQueries);
  return Array.from({ length: count }, (_, i) => {
    const row = rows.start + i * probeQueries;
    return { row, row_end: Math.min(rows.end, row + probeQueries) };
  });
}

const specOf = ({ pass, shape, dtype, backend }: Pass): ProbeSpec => ({
  ...{ shape, dtype, backend },
  causal: pass.grid.causal,
});

/** Blocks of query heads of a KV head. */
const headBlocksOf = (all: Pass): number =>
  Math.ceil(all.shape.heads / all.shape.kvHeads / headsOfBlock(specOf(all)));

/** Blocks over the keys of a KV head, for as many blocks as run at once, or that many times `rounds`. */
function mostSplits({ from, to }: Wave, all: Pass, rounds = 1): number {
  const atOnce = multiprocessorsOf(all);
  return Math.max(1, Math.floor((rounds * atOnce) / ((to - from) * headBlocksOf(all))));
}

/** What all launches of a probe are told. */
function probeArguments(turn: Turn, groups: Wave, all: Pass) {
  const { shape, strides } = all;
  return {
    ...tensorArguments('q', strides.q, shape),
    ...tensorArguments('k', strides.k, shape),
    group_from: groups.from,
    heads: shape.heads,
    kv_heads: shape.kvHeads,
    ...turn,
    key_end: all.pass.grid.columns.end,
  };
}

/** The sums of the rows of a run of query heads: of each turn those of all its heads, in so many parts a row. */
interface RowSums {
  readonly units: Wave;
  readonly splits: number;
  readonly tiles: number;
}

const rowSumsName = 'row sums';

/**
 * What a block of row sums takes before its first tile, in tiles. Where it is little beside its tiles, two rounds of blocks
 * leave fewer multiprocessors idle: 264 of 264 for 8 KV heads on an H100, where one round has 128 of 132.
 */
const tilesOfBeginning = 4;

/** Of adjacent waves together: one launch for all of them has fewer parts a row, and less of it is beginning and end. */
function rowSumsOf(wave: Wave, all: Pass): RowSums {
  const units = adjacent(all.plan.waves).find(
    ({ from, to }) => from <= wave.from && wave.to <= to,
  )!;
  const tileCount = Math.ceil(all.pass.grid.columns.end / keysOfTile(specOf(all)));
  const [one, two] = [1, 2].map((rounds) =>
    Math.ceil(tileCount / mostSplits(groupsOf(units, all), all, rounds)),
  ) as [number, number];
  const tiles = 2 * (two + tilesOfBeginning) < one + tilesOfBeginning ? two : one;
  return { units, splits: Math.ceil(tileCount / tiles), tiles };
}

/** Where the sums of a turn and of the query heads from `unit` on lie. */
function rowSumsPlace({ units, splits }: RowSums, turn: number, unit: number, all: Pass): Place {
  const bytes = 8 * splits * probeQueries;
  const count = units.to - units.from;
  const buffer = all.launches.need(rowSumsName, bytes * count * turnsOf(all).length);
  return at(buffer, bytes * (turn * count + unit - units.from));
}

function sumRows(sums: RowSums, all: Pass): void {
  const { strides, launches } = all;
  const { units, splits, tiles } = sums;
  const spec = specOf(all);
  const groups = groupsOf(units, all);
  for (const [i, turn] of turnsOf(all).entries())
    launches.launch(
      probeRowsKernel(spec),
      [splits, groups.to - groups.from, headBlocksOf(all)],
      { ...probeArguments(turn, groups, all), tiles },
      {
        q: at('q'),
        k: at('k'),
        partial: rowSumsPlace(sums, i, units.from, all),
        error: at(errorBuffer),
      },
      feedMaps(spec, 'rows', strides.k),
    );
}

/** Returns the leads of the last launch, where who reads the sums per distance adds them (`selections.ts`). */
export function runProbe(wave: Wave, all: Pass): Leads | undefined {
  const { pass, strides, launches } = all;
  const { columns } = pass.grid;
  const spec = specOf(all);
  const groups = groupsOf(wave, all);
  const groupCount = groups.to - groups.from;
  const unitCount = wave.to - wave.from;
  const rowSums = rowSumsOf(wave, all);
  if (rowSums.units.from === wave.from) sumRows(rowSums, all);
  const part = Math.max(
    leastPart,
    roundUp(Math.ceil(columns.end / (partsOfBlock * mostSplits(groups, all))), partAlignment),
  );
  const blocks = Math.ceil(columns.end / (partsOfBlock * part));
  const target = (keep: ReadingPlan['want']['keep']) => {
    const reading = pass.readings.find(({ want }) => want.keep === keep);
    return reading && { reading, ...sumPlace(reading, 1, wave, all) };
  };
  const [keys, distances] = [target('keys'), target('distances')];
  const parts = blocks * partsOfBlock;
  const leads = at(launches.need('leads', distances ? 4 * unitCount * parts * probeQueries : 0));
  let left: Leads | undefined;
  const turns = turnsOf(all);
  for (const [i, turn] of [...turns.entries()].reverse()) {
    const places: Record<string, Place> = {};
    const strideArgs: Record<string, number> = {};
    if (keys) {
      places.columns = keys.sums;
      strideArgs.column_stride = keys.stride;
    }
    if (distances) {
      Object.assign(places, { distances: distances.sums, leads });
      strideArgs.distance_stride = distances.stride;
    }
    launches.launch(
      probeSumsKernel(spec, { keys: !!keys, distances: !!distances }, i < turns.length - 1),
      [blocks, groupCount, headBlocksOf(all)],
      { ...probeArguments(turn, groups, all), ...strideArgs, splits: rowSums.splits, part },
      { q: at('q'), k: at('k'), partial: rowSumsPlace(rowSums, i, wave.from, all), ...places },
      feedMaps(spec, 'sums', strides.k),
    );
    if (distances) {
      const own = { reading: distances.reading, place: leads, row: turn.row, part, parts };
      if (i === 0 && isReadOnce(distances.reading, all)) left = own;
      else addLeads(own, distances, all);
    }
  }
  return left;
}
