// What a query tile visits, in order: key tiles (full or partial), packed columns, stand-ins; first as stretches of
// equal steps, of which there are few at any length, then one by one.
// Spans (spans.ts) say where keys may be needed; what is not plain is judged by judge.ts.

import { type Box, boxOf } from '../analysis/box.ts';
import { atOnce, partOf, type Turns } from '../turns.ts';
import { Judge } from './judge.ts';
import { NeededKeys } from './needed-keys.ts';
import { firstAfter, intersect, type Spans, spansOf } from './spans.ts';
import { boxOfTile, type ColumnPass, type RestPass, type TilePass, type UnitPlan } from './unit.ts';

/** Keys `[from, to)`. `full`: every pair is allowed, so the mask is not evaluated. */
interface TileKeys {
  readonly kind: 'tile';
  readonly pass: TilePass;
  readonly from: number;
  readonly to: number;
  readonly full: boolean;
}

/** One step of a query tile. */
export type Visit =
  | TileKeys
  | {
      readonly kind: 'columns';
      readonly pass: ColumnPass;
      readonly keys: Int32Array;
      readonly full: boolean;
    }
  | {
      readonly kind: 'rest';
      readonly pass: RestPass;
      readonly pool: number;
      readonly full: boolean;
    };

/** Steps of a pass that follow one another, all full or none. */
export type Stretch =
  /** Cut every `kTile` keys. */
  | TileKeys
  /** Keys `[from, to)` of those that the query tile needs, cut every `kTile` of them. */
  | {
      readonly kind: 'columns';
      readonly pass: ColumnPass;
      readonly needed: NeededKeys;
      readonly from: number;
      readonly to: number;
      readonly full: boolean;
    }
  /** Pools `[from, to)`, one by one. */
  | {
      readonly kind: 'rest';
      readonly pass: RestPass;
      readonly from: number;
      readonly to: number;
      readonly full: boolean;
    };

/** All stretches of query tile `tile` (from 0), pass by pass, in ascending order. */
export const stretchesOf = (plan: UnitPlan, tile: number): Stretch[] =>
  atOnce(stretchTurns(plan, tile));

/** The same in turns, of which there is one at least. */
export function* stretchTurns(plan: UnitPlan, tile: number): Turns<Stretch[]> {
  yield 0;
  const box = boxOfTile(plan, tile);
  if (plan.binding.shape.kLen === 0) return [];
  const stretches: Stretch[] = [];
  for (const pass of plan.passes) {
    if (pass.kind === 'tiles') yield* addTiles(stretches, plan, pass, box);
    else if (pass.kind === 'columns') addColumns(stretches, plan, pass, box);
    else yield* addPools(stretches, plan, pass, box);
  }
  return stretches;
}

/** All visits of query tile `tile` (from 0), pass by pass. */
export const visitsOf = (plan: UnitPlan, tile: number): Visit[] => atOnce(visitTurns(plan, tile));

/** The same in turns. */
export function* visitTurns(plan: UnitPlan, tile: number): Turns<Visit[]> {
  const stretches = yield* stretchTurns(plan, tile);
  const visits = stretches.flatMap((stretch) => visitsIn(plan, stretch));
  return plan.order === 'descending' ? visits.reverse() : visits;
}

/** How many visits a stretch is. */
export const stepsIn = ({ kind, from, to }: Stretch, kTile: number): number =>
  kind === 'rest' ? to - from : Math.ceil((to - from) / kTile);

/** Visits of each of some query tiles in the mean; 0 of none, in turns. */
export function* meanVisits(plan: UnitPlan, tiles: readonly number[]): Turns<number> {
  let visits = 0;
  for (const [i, tile] of tiles.entries()) {
    const stretches = yield* partOf(stretchTurns(plan, tile), i, tiles.length);
    for (const stretch of stretches) visits += stepsIn(stretch, plan.kTile);
  }
  return visits / Math.max(1, tiles.length);
}

/** The visits of a stretch, ascending. */
function visitsIn({ kTile }: UnitPlan, stretch: Stretch): Visit[] {
  const { full, from, to } = stretch;
  const visits: Visit[] = [];
  if (stretch.kind === 'rest') {
    const { kind, pass } = stretch;
    for (let pool = from; pool < to; pool += 1) visits.push({ kind, pass, pool, full });
    return visits;
  }
  for (let at = from; at < to; at += kTile) {
    const end = Math.min(at + kTile, to);
    if (stretch.kind === 'tile') {
      visits.push({ kind: 'tile', pass: stretch.pass, from: at, to: end, full });
    } else {
      const keys = stretch.needed.slice(at, end);
      visits.push({ kind: 'columns', pass: stretch.pass, keys, full });
    }
  }
  return visits;
}

const part = (box: Box, from: number, to: number): Box => boxOf(box.q0, box.q1, from, to - 1);

/** So many answers of the intervals take no more than some milliseconds. */
const answersPerTurn = 16;

function* addTiles(into: Stretch[], plan: UnitPlan, pass: TilePass, box: Box): Turns<void> {
  const { binding, kTile } = plan;
  const { kLen } = binding.shape;
  const stated = pass.stated?.(box.q0, box.q1);
  const may =
    stated ?? (pass.forms[0] === 'test' ? [0, kLen] : spansOf(pass.formula, box, binding));
  if (may.length === 0) return;
  const unsure = spansOf(pass.negation, box, binding);
  const judge = new Judge(plan, pass, box);
  /** The last stretch, unless it is full: what touches it lies in the same span, so that both are cut alike. */
  let partial: { to: number } | undefined;
  const push = (from: number, to: number, full: boolean): void => {
    if (!full && partial?.to === from) {
      partial.to = to;
      return;
    }
    const stretch = { kind: 'tile' as const, pass, from, to, full };
    partial = full ? undefined : stretch;
    into.push(stretch);
  };
  const cut = (from: number, to: number): void => {
    let at = from;
    // Only tiles with keys that may be refused are judged, each by itself.
    for (let i = firstAfter(unsure, from); i < unsure.length && unsure[i]! < to; i += 2) {
      const first = from + Math.floor((unsure[i]! - from) / kTile) * kTile;
      if (first > at) {
        push(at, first, true);
        at = first;
      }
      for (; at < Math.min(to, unsure[i + 1]!); at += kTile) {
        const end = Math.min(at + kTile, to);
        const seen = judge.classOf(at, end);
        if (seen !== 'skip') push(at, end, seen === 'full');
      }
    }
    if (at < to) push(at, to, true);
  };
  const spans = pass.unaligned ? may : snap(may, kTile, kLen);
  let answers = 0;
  for (let i = 0; i < spans.length; i += 2) {
    if (!pass.opaque || stated) {
      cut(spans[i]!, spans[i + 1]!);
      continue;
    }
    // Many tiles that only intervals can judge: by halves, so that a long refused stretch is one question.
    const left = [spans[i]!, spans[i + 1]!];
    while (left.length > 0) {
      const [to, from] = [left.pop()!, left.pop()!];
      answers += 1;
      if (answers % answersPerTurn === 0) yield from / kLen;
      if (to - from <= kTile) {
        cut(from, to);
        continue;
      }
      const seen = judge.classOf(from, to, true);
      if (seen === 'full') push(from, to, true);
      if (seen !== 'partial') continue;
      const middle = from + Math.ceil((to - from) / kTile / 2) * kTile;
      left.push(middle, to, from, middle);
    }
  }
}

/** Grown to whole tiles of the grid; what then touches becomes one span. */
function snap(spans: Spans, kTile: number, kLen: number): Spans {
  const result: number[] = [];
  for (let i = 0; i < spans.length; i += 2) {
    const from = Math.floor(spans[i]! / kTile) * kTile;
    const to = Math.min(kLen, Math.ceil(spans[i + 1]! / kTile) * kTile);
    if (result.length > 0 && from <= result.at(-1)!)
      result[result.length - 1] = Math.max(result.at(-1)!, to);
    else result.push(from, to);
  }
  return result;
}

function addColumns(into: Stretch[], plan: UnitPlan, pass: ColumnPass, box: Box): void {
  const { binding, kTile } = plan;
  const needed = new NeededKeys(binding.sets[pass.set]!, spansOf(pass.formula, box, binding));
  const unsure = spansOf(pass.negation, box, binding);
  const push = (from: number, to: number, full: boolean): void => {
    into.push({ kind: 'columns', pass, needed, from, to, full });
  };
  let at = 0;
  for (let i = 0; i < unsure.length; i += 2) {
    const [from, to] = [needed.before(unsure[i]!), needed.before(unsure[i + 1]!)];
    if (from === to) continue;
    const first = Math.floor(from / kTile) * kTile;
    if (first > at) {
      push(at, first, true);
      at = first;
    }
    // What may be refused in the whole tile is asked of each step anew: fewer keys tell more.
    for (; at < to; at += kTile) {
      const keys = needed.slice(at, Math.min(at + kTile, needed.length));
      const here = spansOf(pass.negation, part(box, keys[0]!, keys.at(-1)! + 1), binding);
      push(at, at + keys.length, !keys.some((key) => intersect(here, [key, key + 1]).length > 0));
    }
  }
  if (at < needed.length) push(at, needed.length, true);
}

function* addPools(into: Stretch[], plan: UnitPlan, pass: RestPass, box: Box): Turns<void> {
  const { binding } = plan;
  const { kLen } = binding.shape;
  const dropped = spansOf(pass.formula, box, binding);
  const judge = new Judge(plan, pass, box);
  let answers = 0;
  for (let i = 0; i < dropped.length; i += 2) {
    // Only pools that lie in one span of possibly dropped keys can be dropped whole.
    const [from, to] = [dropped[i]!, dropped[i + 1]!];
    const [first, end] = [
      Math.ceil(from / pass.size),
      to === kLen ? pass.pools : Math.floor(to / pass.size),
    ];
    // By halves, so that a long stretch that is dropped or kept is one question.
    const left = first < end ? [first, end] : [];
    while (left.length > 0) {
      const [until, pool] = [left.pop()!, left.pop()!];
      answers += 1;
      if (answers % answersPerTurn === 0) yield pool / pass.pools;
      const last = Math.min(until * pass.size, kLen);
      const seen = judge.classOf(pool * pass.size, last, until - pool > 1);
      if (seen === 'skip') continue;
      if (seen === 'full' || until - pool === 1) {
        into.push({ kind: 'rest', pass, from: pool, to: until, full: seen === 'full' });
        continue;
      }
      const middle = pool + Math.ceil((until - pool) / 2);
      left.push(middle, until, pool, middle);
    }
  }
}
