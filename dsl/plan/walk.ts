// What a query tile visits, in order: key tiles (full or partial), packed columns, stand-ins.
// Spans (spans.ts) say where keys may be needed; intervals (possible.ts) judge what is not plain.

import { type Box, boxOf } from '../analysis/box.ts';
import type { Formula } from '../analysis/formula.ts';
import { possible } from '../analysis/possible.ts';
import { intersect, type Spans, spansOf } from './spans.ts';
import { boxOfTile, type ColumnPass, type RestPass, type TilePass, type UnitPlan } from './unit.ts';

/** One step of a query tile. `full`: every pair is allowed, so the mask is not evaluated. */
export type Visit =
  | {
      readonly kind: 'tile';
      readonly pass: TilePass;
      readonly from: number;
      readonly to: number;
      readonly full: boolean;
    }
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

export type TileClass = 'skip' | 'full' | 'partial';

/** Skip, full or partial, for keys `[from, to)` of the tile's queries: sound for every mask. */
export function classify(
  pass: { readonly formula: Formula; readonly negation: Formula },
  box: Box,
  plan: UnitPlan,
  budget?: number,
): TileClass {
  if (possible(pass.formula, box, plan.binding, budget).is === 'no') return 'skip';
  return possible(pass.negation, box, plan.binding, budget).is === 'no' ? 'full' : 'partial';
}

/** All visits of query tile `tile` (from 0), pass by pass. */
export function visitsOf(plan: UnitPlan, tile: number): Visit[] {
  const box = boxOfTile(plan, tile);
  if (plan.binding.shape.kLen === 0) return [];
  const visits = plan.passes.flatMap((pass) => {
    if (pass.kind === 'tiles') return tilesOf(plan, pass, box);
    return pass.kind === 'columns' ? columnsOf(plan, pass, box) : restOf(plan, pass, box);
  });
  return plan.order === 'descending' ? visits.reverse() : visits;
}

const part = (box: Box, from: number, to: number): Box => boxOf(box.q0, box.q1, from, to - 1);

function tilesOf(plan: UnitPlan, pass: TilePass, box: Box): Visit[] {
  const { binding, kTile } = plan;
  const { kLen } = binding.shape;
  const visits: Visit[] = [];
  const stated = pass.stated?.(box.q0, box.q1);
  const may =
    stated ?? (pass.forms[0] === 'test' ? [0, kLen] : spansOf(pass.formula, box, binding));
  if (may.length === 0) return visits;
  const unsure = spansOf(pass.negation, box, binding);
  const push = (from: number, to: number): void => {
    if (intersect(unsure, [from, to]).length === 0) {
      visits.push({ kind: 'tile', pass, from, to, full: true });
      return;
    }
    const seen = classify(pass, part(box, from, to), plan);
    if (seen !== 'skip') visits.push({ kind: 'tile', pass, from, to, full: seen === 'full' });
  };
  const cut = (from: number, to: number): void => {
    for (let at = from; at < to; at += kTile) push(at, Math.min(at + kTile, to));
  };
  /** Many tiles that only intervals can judge: by halves, so that a long refused stretch is one question. */
  const descend = (from: number, to: number): void => {
    const here = part(box, from, to);
    if (to - from <= kTile) {
      push(from, to);
      return;
    }
    if (possible(pass.formula, here, binding, 8).is === 'no') return;
    if (possible(pass.negation, here, binding, 8).is === 'no') {
      cut(from, to);
      return;
    }
    const middle = from + Math.ceil((to - from) / kTile / 2) * kTile;
    descend(from, middle);
    descend(middle, to);
  };
  const spans = pass.unaligned ? may : snap(may, kTile, kLen);
  for (let i = 0; i < spans.length; i += 2)
    (pass.opaque && !stated ? descend : cut)(spans[i]!, spans[i + 1]!);
  return visits;
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

function columnsOf(plan: UnitPlan, pass: ColumnPass, box: Box): Visit[] {
  const spans = spansOf(pass.formula, box, plan.binding);
  const needed: number[] = [];
  let s = 0;
  for (const key of pass.keys) {
    while (s < spans.length && spans[s + 1]! <= key) s += 2;
    if (s >= spans.length) break;
    if (key >= spans[s]!) needed.push(key);
  }
  const visits: Visit[] = [];
  for (let at = 0; at < needed.length; at += plan.kTile) {
    const keys = Int32Array.from(needed.slice(at, at + plan.kTile));
    const unsure = spansOf(pass.negation, part(box, keys[0]!, keys.at(-1)! + 1), plan.binding);
    visits.push({
      kind: 'columns',
      pass,
      keys,
      full: !keys.some((key) => intersect(unsure, [key, key + 1]).length > 0),
    });
  }
  return visits;
}

function restOf(plan: UnitPlan, pass: RestPass, box: Box): Visit[] {
  const { binding } = plan;
  const { kLen } = binding.shape;
  const dropped = spansOf(pass.formula, box, binding);
  const visits: Visit[] = [];
  for (let i = 0; i < dropped.length; i += 2) {
    // Only pools that lie in one span of possibly dropped keys can be dropped whole.
    const first = Math.ceil(dropped[i]! / pass.size);
    for (let pool = first; pool < pass.pools; pool += 1) {
      const [from, to] = [pool * pass.size, Math.min((pool + 1) * pass.size, kLen)];
      if (to > dropped[i + 1]!) break;
      const seen = classify(pass, part(box, from, to), plan);
      if (seen !== 'skip') visits.push({ kind: 'rest', pass, pool, full: seen === 'full' });
    }
  }
  return visits;
}
