// A plan as a grid of cells, each with the shares of its area that a kind of visit covers: what both
// pictures (svg.ts, terminal.ts) are painted from. Long sequences are sampled, never enumerated.

import { type PairTest, pairTest } from '../plan/pair-test.ts';
import { boxOfTile, type UnitPlan } from '../plan/unit.ts';
import { meanVisits, stretchTurns } from '../plan/walk.ts';
import { queryOffset } from '../shape.ts';
import { spread } from '../spread.ts';
import { atOnce, between, partOf, type Turns } from '../turns.ts';

/** What covers a place: in a partial tile an allowed or a masked pair; nowhere visited is none of them. */
export const kinds = ['full', 'partial', 'masked', 'column', 'rest'] as const;
export type Kind = (typeof kinds)[number];

export interface Grid {
  readonly rows: number;
  readonly columns: number;
  /** Positions along one side of a cell; cells are square. */
  readonly scale: number;
  /** Shares of 0 to 1, [rows, columns]. */
  readonly shares: Readonly<Record<Kind, Float32Array>>;
}

/** Visits to walk for one picture; past it a few query tiles stand for each row of cells. */
const mostVisits = 2 ** 16;

/** Keys of a query tile whose pairs are judged in one turn. */
const keysPerTurn = 2 ** 14;

/** Paints a plan on at most `cells` x `cells` cells, never smaller than one pair. */
export const rasterise = (plan: UnitPlan, cells: number): Grid => atOnce(gridTurns(plan, cells));

/** The same in turns. */
export function* gridTurns(plan: UnitPlan, cells: number): Turns<Grid> {
  const { qLen, kLen } = plan.binding.shape;
  const scale = Math.max(1, Math.max(qLen, kLen) / cells);
  const tiles = yield* between(tilesFor(plan, Math.ceil(qLen / scale)), 0, 1 / 64);
  return yield* between(paint(plan, scale, tiles), 1 / 64, 1);
}

function* paint(plan: UnitPlan, scale: number, tiles: readonly number[]): Turns<Grid> {
  const { shape } = plan.binding;
  const [rows, columns] = [Math.ceil(shape.qLen / scale), Math.ceil(shape.kLen / scale)];
  const shares = Object.fromEntries(
    kinds.map((kind) => [kind, new Float32Array(rows * columns)]),
  ) as Record<Kind, Float32Array>;
  const walked = new Float32Array(rows);
  const offset = queryOffset(shape);
  const tests = new Map(plan.passes.map((pass) => [pass, pairTest(plan, pass.mask)] as const));

  /** Adds keys [from, to) of rows [r0, r1) to a kind. */
  const add = (kind: Kind, r0: number, r1: number, from: number, to: number): void => {
    eachCell(r0, r1, scale, (row, high) =>
      eachCell(from, to, scale, (column, wide) => {
        shares[kind][row * columns + column]! += high * wide;
      }),
    );
  };
  /** Allowed and masked pairs, judged at up to 3 x 3 points of what each cell has of a step. */
  const addPartial = (test: PairTest, r0: number, r1: number, from: number, to: number): void => {
    eachCell(r0, r1, scale, (row, high, top) =>
      eachCell(from, to, scale, (column, wide, left) => {
        let allowed = 0;
        const [down, across] = [pointsIn(top, high), pointsIn(left, wide)];
        for (const r of down) for (const k of across) if (test(r + offset, k)) allowed += 1;
        const share = allowed / (down.length * across.length);
        shares.partial[row * columns + column]! += high * wide * share;
        shares.masked[row * columns + column]! += high * wide * (1 - share);
      }),
    );
  };

  for (const [i, tile] of tiles.entries()) {
    const { q0, q1 } = boxOfTile(plan, tile);
    const [r0, r1] = [q0 - offset, q1 - offset + 1];
    eachCell(r0, r1, scale, (row, high) => {
      walked[row]! += high;
    });
    const stretches = yield* partOf(stretchTurns(plan, tile), i, tiles.length);
    for (const stretch of stretches) {
      const { kind, full, from, to } = stretch;
      if (kind === 'rest') {
        const { size } = stretch.pass;
        add('rest', r0, r1, from * size, Math.min(shape.kLen, to * size));
      } else if (kind === 'columns') {
        const test = full ? undefined : tests.get(stretch.pass)!;
        for (const key of stretch.needed.slice(from, to)) {
          for (const [a, b] of rowsOf(test, key, q0, q1))
            add('column', a - offset, b - offset, key, key + 1);
        }
      } else if (full) add('full', r0, r1, from, to);
      else {
        const test = tests.get(stretch.pass)!;
        for (let at = from; at < to; at += plan.kTile) {
          if ((at - from) % keysPerTurn === 0) yield (i + 1) / tiles.length;
          addPartial(test, r0, r1, at, Math.min(at + plan.kTile, to));
        }
      }
    }
  }
  for (const part of Object.values(shares)) {
    for (let row = 0; row < rows; row += 1) {
      for (let column = 0; column < columns; column += 1) {
        const wide = Math.min(scale, shape.kLen - column * scale);
        part[row * columns + column]! /= Math.max(1e-9, walked[row]! * wide);
      }
    }
  }
  return { rows, columns, scale, shares };
}

/** The same picture on cells of twice the side. */
export function coarser(grid: Grid): Grid {
  const [rows, columns] = [Math.ceil(grid.rows / 2), Math.ceil(grid.columns / 2)];
  const half = (fine: Float32Array): Float32Array => {
    const coarse = new Float32Array(rows * columns);
    for (let row = 0; row < rows; row += 1) {
      for (let column = 0; column < columns; column += 1) {
        const [down, across] = [2 * row, 2 * column];
        let [sum, cells] = [0, 0];
        for (let r = down; r < Math.min(down + 2, grid.rows); r += 1) {
          for (let c = across; c < Math.min(across + 2, grid.columns); c += 1) {
            sum += fine[r * grid.columns + c]!;
            cells += 1;
          }
        }
        coarse[row * columns + column] = sum / cells;
      }
    }
    return coarse;
  };
  const shares = Object.fromEntries(kinds.map((kind) => [kind, half(grid.shares[kind])]));
  return { rows, columns, scale: 2 * grid.scale, shares: shares as Record<Kind, Float32Array> };
}

/** Runs of queries in [q0, q1], as [from, to), that may see one key; without a test all of them. */
export function rowsOf(
  test: ((q: number, k: number) => boolean) | undefined,
  key: number,
  q0: number,
  q1: number,
): [number, number][] {
  if (!test) return [[q0, q1 + 1]];
  const runs: [number, number][] = [];
  for (let q = q0; q <= q1; q += 1) {
    if (!test(q, key)) continue;
    const last = runs.at(-1);
    if (last && last[1] === q) last[1] = q + 1;
    else runs.push([q, q + 1]);
  }
  return runs;
}

/** The cells that `[from, to)` touches, with the length inside each and where that begins. */
function eachCell(
  from: number,
  to: number,
  scale: number,
  visit: (cell: number, length: number, start: number) => void,
): void {
  for (let cell = Math.floor(from / scale); cell * scale < to; cell += 1) {
    const start = Math.max(from, cell * scale);
    const length = Math.min(to, (cell + 1) * scale) - start;
    if (length > 1e-9) visit(cell, length, start);
  }
}

/** Up to three positions spread over `[start, start + length)`. */
function pointsIn(start: number, length: number): number[] {
  const count = Math.min(3, Math.max(1, Math.floor(length)));
  return Array.from({ length: count }, (_, i) => Math.floor(start + ((i + 0.5) * length) / count));
}

/** All query tiles, or evenly spaced ones: at least one for every row of cells. */
function* tilesFor(plan: UnitPlan, rows: number): Turns<number[]> {
  const mean = Math.max(1, yield* meanVisits(plan, spread(plan.tiles, 8)));
  return spread(plan.tiles, Math.max(rows, Math.floor(mostVisits / mean)));
}
