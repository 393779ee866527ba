// One pass over the scores of some heads: chunks of rows, each scored against the columns it sees, made
// into weights and handed to the sinks. What happens to the rows then is not known here.

import { diagnostic, PlanError } from '../../../dsl/diagnostic.ts';
import { type Grid, gridOf, type Line, visibleEnd } from '../../../dsl/estimate/axes.ts';
import type { ScoreNode } from '../../../dsl/estimate/node.ts';
import type { LaunchShape } from '../../../dsl/shape.ts';
import type { TileProducts } from '../products.ts';
import { expOfNegative } from './exponential.ts';
import type { Pace } from './pace.ts';
import type { Chunk, Sink } from './sinks.ts';
import { cellsOf, type HeadInputs, type Vectors, vectorsOf } from './vectors.ts';

/** A head of the pass, and who takes its rows. */
export interface Member {
  readonly inputs: HeadInputs;
  readonly sinks: readonly Sink[];
}

export interface Pass {
  readonly scores: ScoreNode;
  readonly how: 'raw' | 'softmax' | 'exp';
  /** The rows to compute; all, when left out. */
  readonly rows?: Line | undefined;
  /** Heads of one KV head. */
  readonly members: readonly Member[];
  readonly products: TileProducts;
  readonly pace: Pace;
  /** Rows at a time; as many as make chunks of some MB, when left out. */
  readonly chunkRows?: number | undefined;
}

/** Scores held at once, unless 16 rows have more. */
const chunkEntries = 2 ** 18;
/** Multiply-adds between two looks at the clock. */
const tileWork = 2 ** 23;

/** Scores of a pass over some heads in all, as progress counts them. */
export function workOf(
  scores: ScoreNode,
  heads: number,
  shape: LaunchShape,
  rows?: Line | undefined,
): number {
  const grid = limited(gridOf(scores, shape), rows);
  let work = 0;
  for (const [from, to] of chunksOf(grid)) work += workOfChunk(grid, from, to);
  return work * heads;
}

const limited = (grid: Grid, rows: Line | undefined): Grid => (rows ? { ...grid, rows } : grid);

const workOfChunk = (grid: Grid, from: number, to: number): number =>
  (to - from) * (visibleEnd(grid.rows, grid.columns, grid.causal, to - 1) - grid.columns.from + 1);

function* chunksOf(
  { rows, columns }: Grid,
  chunkRows?: number,
): Generator<readonly [number, number]> {
  const width = Math.max(1, columns.to - columns.from);
  const usual = Math.max(16, Math.min(1024, Math.floor(chunkEntries / width)));
  const step = chunkRows ?? usual;
  for (let from = rows.from; from < rows.to; from += step) {
    yield [from, Math.min(rows.to, from + step)];
  }
}

/** Rows and columns of one head as vectors; `keys` are shared by the heads of a KV head where they can be. */
function factors(node: ScoreNode, inputs: HeadInputs, keys: Vectors | undefined) {
  let scores = node;
  while (scores.op === 'causal') scores = scores.of;
  if (scores.op === 'dot') {
    return {
      rows: vectorsOf(scores.left, inputs, false),
      columns: keys ?? vectorsOf(scores.right, inputs, true),
      scale: 1 / Math.sqrt(inputs.shape.headDim),
      ofKeys: !JSON.stringify(scores.right).includes('"of":"q"'),
    };
  }
  const grid = gridOf(scores, inputs.shape);
  return {
    rows: cellsOf(inputs, 'q', grid.rows),
    columns: keys ?? cellsOf(inputs, 'k', grid.columns),
    scale: 1 / (Math.sqrt(inputs.shape.headDim) * scores.stride),
    ofKeys: true,
  };
}

/**
 * Runs a pass; lets the event loop run between tiles. Throws PlanError E004 when a score that a row sees
 * is not finite.
 */
export async function run(pass: Pass): Promise<void> {
  const { members, scores, how, products, pace } = pass;
  const first = members[0];
  if (!first) return;
  const grid = limited(gridOf(scores, first.inputs.shape), pass.rows);
  const { rows, columns } = grid;
  let keys: Vectors | undefined;
  const sides = members.map(({ inputs }) => {
    const made = factors(scores, inputs, keys);
    if (made.ofKeys) keys = made.columns;
    return made;
  });
  const sinks = new Set(members.flatMap((member) => member.sinks));
  const stride = columns.to - columns.from;
  let values = new Float32Array(0);
  let ends = new Int32Array(0);
  let maxima = new Float64Array(0);
  for (const [from, to] of chunksOf(grid, pass.chunkRows)) {
    const count = to - from;
    if (ends.length < count) {
      values = new Float32Array(count * stride);
      ends = new Int32Array(count);
      maxima = new Float64Array(count);
    }
    for (let i = 0; i < count; i++) ends[i] = visibleEnd(rows, columns, grid.causal, from + i);
    const chunk: Chunk = { from, to, values, stride, firstColumn: columns.from, ends, maxima };
    for (const [m, member] of members.entries()) {
      const side = sides[m]!;
      const left = side.rows.rows(from, to);
      const { width } = side.rows;
      const tile = Math.max(16, Math.min(1024, Math.floor(tileWork / (count * width))));
      for (let c = columns.from; c < ends[count - 1]!; c += tile) {
        const n = Math.min(tile, ends[count - 1]! - c);
        const right = side.columns.rows(c, c + n);
        const target = values.subarray(c - columns.from);
        products.scores(left, right, target, count, n, width, side.scale, stride);
        const pause = pace.did(0);
        if (pause) await pause;
      }
      for (let i = 0; i < count; i++) {
        maximise(chunk, i, member.inputs, pass);
        if (how === 'softmax') softmax(chunk, i);
        const pause = stride > 2 ** 15 ? pace.did(0) : undefined;
        if (pause) await pause;
      }
      for (const sink of member.sinks) {
        sink.take(chunk);
        const pause = pace.did(0);
        if (pause) await pause;
      }
      const pause = pace.did(workOfChunk(grid, from, to));
      if (pause) await pause;
    }
    for (const sink of sinks) sink.finish(to, false);
  }
  for (const sink of sinks) sink.finish(rows.to, true);
}

/** The largest score of row i among those it sees; one that is not finite is an error. */
function maximise(chunk: Chunk, i: number, inputs: HeadInputs, pass: Pass): void {
  const { values, firstColumn } = chunk;
  const at = i * chunk.stride;
  const end = at + chunk.ends[i]! - firstColumn;
  let maximum = -Infinity;
  for (let c = at; c < end; c++) {
    const value = values[c]!;
    if (value > maximum) maximum = value;
    // False for NaN and -Infinity as well.
    else if (!(value >= -3.5e38))
      throw notFinite(value, c - at + firstColumn, i, chunk, inputs, pass);
  }
  if (maximum === Infinity || (end > at && maximum === -Infinity)) {
    const column = values.subarray(at, end).indexOf(maximum) + firstColumn;
    throw notFinite(maximum, column, i, chunk, inputs, pass);
  }
  chunk.maxima[i] = maximum;
}

function notFinite(
  value: number,
  column: number,
  i: number,
  chunk: Chunk,
  { head, batch }: HeadInputs,
  { scores, how }: Pass,
): PlanError {
  let step = scores;
  while (step.op === 'causal') step = step.of;
  const into = how === 'raw' ? '' : ` below ${how}()`;
  const where = `row ${chunk.from + i}, column ${column} of head ${head} of batch ${batch}`;
  return new PlanError([
    diagnostic('E004', `${step.op}${into} of the estimate is ${value} at ${where}`, {
      help: 'look for NaN, infinities and overflow in q and k of that head',
    }),
  ]);
}

function softmax(chunk: Chunk, i: number): void {
  const { values } = chunk;
  const at = i * chunk.stride;
  const end = at + chunk.ends[i]! - chunk.firstColumn;
  const maximum = chunk.maxima[i]!;
  let sum = 0;
  for (let c = at; c < end; c++) {
    const weight = expOfNegative(values[c]! - maximum);
    values[c] = weight;
    sum += weight;
  }
  const scale = 1 / sum;
  for (let c = at; c < end; c++) values[c]! *= scale;
}
