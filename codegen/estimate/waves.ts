// How much is done at once: query heads in waves, rows in chunks, so that the scores held stay below a
// limit whatever the lengths. And runs of heads that one launch serves. Pure arithmetic.

import type { LaunchShape } from '../../dsl/shape.ts';
import type { PassPlan } from './passes.ts';
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

export function wavesOf(
  { grid, readings }: PassPlan,
  shape: LaunchShape,
  needed: ReadonlySet<number>,
  limit: number = scoreBytes,
): WavePlan {
  const { rows, columns } = grid;
  const isGrouped = readings.some(({ want }) => want.group);
  const together = isGrouped ? shape.heads / shape.kvHeads : 1;
  const stride = roundUp(Math.max(1, columns.to - columns.from), scoreTile);
  const align = readings.reduce((all, reading) => {
    return lcm(all, reading.rows ? reading.rows.size / rows.size : 1);
  }, 1);
  const fitting = Math.floor(limit / (4 * stride * together));
  const step = Math.max(align, Math.floor(fitting / align) * align);
  const chunks: Chunk[] = [];
  for (let from = rows.from; from < rows.to; ) {
    const to = Math.min(rows.to, Math.floor(from / align) * align + step);
    chunks.push({ from, to });
    from = to;
  }
  const most = chunks.reduce((all, { from, to }) => Math.max(all, to - from), 0);
  // The second and third size of a grid end at 65535.
  const units = Math.min(2 ** 15, Math.floor(limit / (4 * stride * Math.max(1, most))));
  const perWave = Math.max(1, Math.floor(units / together)) * together;
  const waves = runsOf(unitsOf(shape, needed, isGrouped)).flatMap(({ from, to }) =>
    Array.from({ length: Math.ceil((to - from) / perWave) }, (_, i): Wave => {
      return { from: from + i * perWave, to: Math.min(to, from + (i + 1) * perWave) };
    }),
  );
  const widest = waves.reduce((all, { from, to }) => Math.max(all, to - from), 0);
  return { waves, chunks, stride, units: widest, rows: most };
}
