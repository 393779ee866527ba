// How much is done at once: query heads in waves, rows in chunks, so that the scores held stay below a
// limit whatever the lengths. And runs of heads that one launch serves. Pure arithmetic.

import type { LaunchShape } from '../../dsl/shape.ts';
import { cellFloats } from './cells.ts';
import type { PassPlan, ReadingPlan } from './passes.ts';
import { scoreTile } from './scores.ts';

/** Bytes of scores held at once. Sums, statistics and pools of a wave come on top, and are smaller. */
export const scoreBytes = 192 * 2 ** 20;

/** Query heads `[from, to)` of all batch entries, by `batch * heads + head`. */
export interface Wave {
  readonly from: number;
  readonly to: number;
}

export interface Chunk {
  readonly from: number;
  readonly to: number;
}

export interface WavePlan {
  readonly waves: readonly Wave[];
  /** Rows of scores, the same for all waves; whole rows of whatever they are summed to. */
  readonly chunks: readonly Chunk[];
  /** Scores from one row to the next. */
  readonly stride: number;
  /** The most units and rows of one wave. */
  readonly units: number;
  readonly rows: number;
}

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));
const lcm = (a: number, b: number): number => (a / gcd(a, b)) * b;
export const roundUp = (x: number, to: number): number => Math.ceil(x / to) * to;

/** Maximal runs of consecutive numbers among `values`, ascending. */
export function runsOf(values: Iterable<number>): Wave[] {
  const runs: { from: number; to: number }[] = [];
  for (const value of values) {
    const last = runs.at(-1);
    if (last && last.to === value) last.to += 1;
    else runs.push({ from: value, to: value + 1 });
  }
  return runs;
}

/** Waves that follow each other without a gap, as one. */
export function adjacent(waves: readonly Wave[]): Wave[] {
  return runsOf(
    waves.flatMap(({ from, to }) => Array.from({ length: to - from }, (_, i) => from + i)),
  );
}

/** The units that a pass needs: whole KV heads where heads are summed. */
function unitsOf(shape: LaunchShape, needed: ReadonlySet<number>, isGrouped: boolean): number[] {
  const size = shape.heads / shape.kvHeads;
  const isNeeded = (head: number) => {
    if (!isGrouped) return needed.has(head);
    const first = head - (head % size);
    return Array.from({ length: size }, (_, i) => first + i).some((other) => needed.has(other));
  };
  return Array.from({ length: shape.batch * shape.heads }, (_, unit) => unit).filter((unit) =>
    isNeeded(unit % shape.heads),
  );
}

/**
 * Bytes of sums held at once, where no scores are: 32 heads of two sums at 128K keys, and one KV head at 1M. They stay
 * in the second-level cache until they are selected from. Rules that give a whole row to one block need many rows.
 */
const sumBytes = { split: 32 * 2 ** 20, whole: 256 * 2 ** 20 } as const;

const isSplitAlways = ({ selections }: ReadingPlan): boolean =>
  selections.every(({ leaves }) => leaves[0]!.op === 'topk');

/** Whole KV heads whose sums per column stay below the limit: where no scores are held. */
export function wavesOfSums(
  { grid, readings }: PassPlan,
  shape: LaunchShape,
  needed: ReadonlySet<number>,
  limit: number = sumBytes[readings.every(isSplitAlways) ? 'split' : 'whole'],
): WavePlan {
  const group = shape.heads / shape.kvHeads;
  const bytes = 4 * roundUp(Math.max(1, grid.columns.to), 32) * readings.length;
  const waves = cut(unitsOf(shape, needed, true), Math.floor(limit / bytes), group);
  return { waves, chunks: [], stride: 0, units: 0, rows: 0 };
}

/**
 * Whole KV heads in one wave, and chunks of rows whose sums stay below the limit: where each row of sums has so many
 * rows of scores, and no scores are held.
 */
export function wavesOfRows(
  { grid, readings }: PassPlan,
  shape: LaunchShape,
  needed: ReadonlySet<number>,
  limit: number = scoreBytes,
): WavePlan {
  const { rows, columns } = grid;
  const size = (readings[0]!.rows?.size ?? rows.size) / rows.size;
  const stride = roundUp(Math.max(1, columns.to - columns.from), 32);
  const units = unitsOf(shape, needed, true);
  const step = Math.max(1, Math.floor(limit / (4 * stride * Math.max(1, units.length)))) * size;
  const chunks = chunksOf(rows, size, step);
  return { waves: cut(units, 2 ** 15, 1), chunks, stride: 0, units: 0, rows: 0 };
}

/** Rows in chunks of `step`, a multiple of `align`, that begin and end at multiples of `align`. */
function chunksOf(rows: Chunk, align: number, step: number): Chunk[] {
  const chunks: Chunk[] = [];
  for (let from = rows.from; from < rows.to; ) {
    const to = Math.min(rows.to, Math.floor(from / align) * align + step);
    chunks.push({ from, to });
    from = to;
  }
  return chunks;
}

/** Runs of units in waves of at most `most`, or of `together` where these are more; those of a run of equal size. */
function cut(units: readonly number[], most: number, together: number): Wave[] {
  const limit = Math.max(1, Math.floor(most / together));
  return runsOf(units).flatMap(({ from, to }) => {
    const parts = Math.ceil((to - from) / together);
    const perWave = Math.ceil(parts / Math.ceil(parts / limit)) * together;
    return Array.from({ length: Math.ceil((to - from) / perWave) }, (_, i): Wave => {
      return { from: from + i * perWave, to: Math.min(to, from + (i + 1) * perWave) };
    });
  });
}

/** Query heads and chunks of rows whose scores stay below the limit. */
export function wavesOf(
  pass: PassPlan,
  shape: LaunchShape,
  needed: ReadonlySet<number>,
  limit: number = scoreBytes,
): WavePlan {
  const { columns } = pass.grid;
  const stride = roundUp(Math.max(1, columns.to - columns.from), scoreTile);
  return wavesOfFloats(pass, shape, needed, limit, stride);
}

/** The same where a row of cells has a number for each block of columns, and a sum for each tile. */
export function wavesOfCells(
  pass: PassPlan,
  shape: LaunchShape,
  needed: ReadonlySet<number>,
  limit: number = scoreBytes,
): WavePlan {
  const { columns, blockColumns } = pass.grid;
  const floats = cellFloats(Math.max(1, columns.to), blockColumns.size / columns.size);
  return wavesOfFloats(pass, shape, needed, limit, floats);
}

/** `stride`: floats of a row. */
function wavesOfFloats(
  { grid, readings }: PassPlan,
  shape: LaunchShape,
  needed: ReadonlySet<number>,
  limit: number,
  stride: number,
): WavePlan {
  const { rows } = grid;
  const isGrouped = readings.some(({ want }) => want.group);
  const together = isGrouped ? shape.heads / shape.kvHeads : 1;
  const align = readings.reduce((all, reading) => {
    return lcm(all, reading.rows ? reading.rows.size / rows.size : 1);
  }, 1);
  const fitting = Math.floor(limit / (4 * stride * together));
  const step = Math.max(align, Math.floor(fitting / align) * align);
  const chunks = chunksOf(rows, align, step);
  const most = chunks.reduce((all, { from, to }) => Math.max(all, to - from), 0);
  // The second and third size of a grid end at 65535.
  const units = Math.min(2 ** 15, Math.floor(limit / (4 * stride * Math.max(1, most))));
  const waves = cut(unitsOf(shape, needed, isGrouped), units, together);
  const widest = waves.reduce((all, { from, to }) => Math.max(all, to - from), 0);
  return { waves, chunks, stride, units: widest, rows: most };
}
