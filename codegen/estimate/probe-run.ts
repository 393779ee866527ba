// The launches of a probe: 64 queries of each head at a time, the last ones first.

import { at, errorBuffer, type Place } from './launches.ts';
import type { ReadingPlan } from './passes.ts';
import { groupsOf, type Pass, sumPlace } from './places.ts';
import { partsOfLeads, probeLeadsKernel, probeRowsKernel, probeSumsKernel } from './probe.ts';
import { feedMaps, headsOfBlock, keysOfTile, partsOfBlock, probeQueries } from './probe-feed.ts';
import { tensorArguments } from './vectors.ts';
import { roundUp, type Wave } from './waves.ts';

/** Of a GPU that is not known. */
const someMultiprocessors = 132;

/** Keys of a part: a tile holds 8 of each, and a diagonal spans at most two. */
const partAlignment = 8;
const leastPart = 64;

export function runProbe(wave: Wave, all: Pass): void {
  const {
    pass,
    shape,
    strides,
    dtype,
    backend,
    launches,
    multiprocessors = someMultiprocessors,
  } = all;
  const { rows, columns, causal } = pass.grid;
  const spec = { shape, dtype, causal, backend };
  const groups = groupsOf(wave, all);
  const groupCount = groups.to - groups.from;
  const unitCount = wave.to - wave.from;
  const headBlocks = Math.ceil(shape.heads / shape.kvHeads / headsOfBlock(spec));
  // As many blocks as run at once.
  const most = Math.max(1, Math.floor(multiprocessors / (groupCount * headBlocks)));
  const tileCount = Math.ceil(columns.end / keysOfTile(spec));
  const tiles = Math.ceil(tileCount / most);
  const splits = Math.ceil(tileCount / tiles);
  const part = Math.max(
    leastPart,
    roundUp(Math.ceil(columns.end / (partsOfBlock * most)), partAlignment),
  );
  const blocks = Math.ceil(columns.end / (partsOfBlock * part));
  const partial = at(launches.need('row sums', 8 * splits * unitCount * probeQueries));
  const target = (keep: ReadingPlan['want']['keep']) => {
    const reading = pass.readings.find(({ want }) => want.keep === keep);
    return reading && sumPlace(reading, 1, wave, all);
  };
  const [keys, distances] = [target('keys'), target('distances')];
  const leads = at(
    launches.need('leads', distances ? 4 * unitCount * blocks * partsOfBlock * probeQueries : 0),
  );
  const count = Math.ceil((rows.end - rows.start) / probeQueries);
  for (let i = count - 1; i >= 0; i -= 1) {
    const row = rows.start + i * probeQueries;
    const args = {
      ...tensorArguments('q', strides.q, shape),
      ...tensorArguments('k', strides.k, shape),
      group_from: groups.from,
      heads: shape.heads,
      kv_heads: shape.kvHeads,
      row,
      row_end: Math.min(rows.end, row + probeQueries),
      key_end: columns.end,
    };
    const tensors = { q: at('q'), k: at('k'), partial };
    launches.launch(
      probeRowsKernel(spec),
      [splits, groupCount, headBlocks],
      { ...args, tiles },
      { ...tensors, error: at(errorBuffer) },
      feedMaps(spec, 'rows', strides.k),
    );
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
      probeSumsKernel(spec, { keys: !!keys, distances: !!distances }, i < count - 1),
      [blocks, groupCount, headBlocks],
      { ...args, ...strideArgs, splits, part },
      { ...tensors, ...places },
      feedMaps(spec, 'sums', strides.k),
    );
    if (distances) {
      launches.launch(
        probeLeadsKernel(),
        [Math.ceil((blocks * partsOfBlock - 1) / partsOfLeads), unitCount, 1],
        {
          ...{ distance_stride: distances.stride, row, part, key_end: columns.end },
          parts: blocks * partsOfBlock,
        },
        { leads, distances: distances.sums },
      );
    }
  }
}
