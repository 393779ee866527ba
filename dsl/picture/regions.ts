// A plan as rectangles at their true places: key tiles, runs of packed columns, stand-ins. Exact, so for
// plans of moderate size; grid.ts paints the others.

import { pairTest } from '../plan/pair-test.ts';
import { boxOfTile, type UnitPlan } from '../plan/unit.ts';
import { visitTurns } from '../plan/walk.ts';
import { queryOffset } from '../shape.ts';
import { atOnce, partOf, type Turns } from '../turns.ts';
import { rowsOf } from './grid.ts';

/** Rows [r0, r1) and keys [from, to). A partial region holds masked pairs too. */
export interface Region {
  readonly kind: 'full' | 'partial' | 'column' | 'rest';
  readonly r0: number;
  readonly r1: number;
  readonly from: number;
  readonly to: number;
}

/**
 * All regions of a plan; undefined when there are more than `most`, or more query tiles than can be told
 * apart. With `join`, tiles of one kind that
 * touch become one region, along the keys and down the queries.
 */
export const regionsOf = (plan: UnitPlan, limits: RegionLimits): readonly Region[] | undefined =>
  atOnce(regionTurns(plan, limits));

interface RegionLimits {
  readonly most: number;
  readonly join: boolean;
}

/** The same in turns. */
export function* regionTurns(
  plan: UnitPlan,
  { most, join }: RegionLimits,
): Turns<readonly Region[] | undefined> {
  if (plan.tiles > 512) return undefined;
  const offset = queryOffset(plan.binding.shape);
  const { kLen } = plan.binding.shape;
  const regions: Region[] = [];
  const columns = new Map<number, [number, number][]>();
  let walked = 0;
  for (let tile = 0; tile < plan.tiles; tile += 1) {
    const { q0, q1 } = boxOfTile(plan, tile);
    const [r0, r1] = [q0 - offset, q1 - offset + 1];
    const own: Region[] = [];
    const visits = yield* partOf(visitTurns(plan, tile), tile, plan.tiles);
    for (const visit of visits) {
      if (visit.kind === 'columns') {
        const test = visit.full ? undefined : pairTest(plan, visit.pass.mask);
        for (const key of visit.keys) {
          const runs = columns.get(key) ?? [];
          for (const [a, b] of rowsOf(test, key, q0, q1)) extend(runs, a - offset, b - offset);
          columns.set(key, runs);
        }
      } else if (visit.kind === 'rest') {
        const { size } = visit.pass;
        const from = visit.pool * size;
        own.push({ kind: 'rest', r0, r1, from, to: Math.min(kLen, from + size) });
      } else {
        const { from, to, full } = visit;
        own.push({ kind: full ? 'full' : 'partial', r0, r1, from, to });
      }
    }
    walked += own.length;
    // Walking is what takes time: five times as many visits as shapes may be joined, no more.
    if (walked > 5 * most) return undefined;
    own.sort((a, b) => a.from - b.from);
    regions.push(...(join ? joinAlong(own) : own));
  }
  const all = [...(join ? joinDown(regions) : regions), ...columnRegions(columns)];
  return all.length > most ? undefined : all;
}

/** Adds `[from, to)` to ascending runs. */
function extend(runs: [number, number][], from: number, to: number): void {
  const last = runs.at(-1);
  if (last && last[1] === from) last[1] = to;
  else runs.push([from, to]);
}

function joinAlong(own: readonly Region[]): Region[] {
  const joined: Region[] = [];
  for (const region of own) {
    const last = joined.at(-1);
    if (last && last.kind === region.kind && last.to === region.from)
      joined[joined.length - 1] = { ...last, to: region.to };
    else joined.push(region);
  }
  return joined;
}

/** Joins regions of equal keys in rows that touch; `regions` come top to bottom. */
export function joinDown(regions: readonly Region[]): Region[] {
  const open = new Map<string, number>();
  const joined: Region[] = [];
  for (const region of regions) {
    const key = `${region.kind} ${region.from} ${region.to}`;
    const at = open.get(key);
    if (at !== undefined && joined[at]!.r1 === region.r0) {
      joined[at] = { ...joined[at]!, r1: region.r1 };
    } else {
      open.set(key, joined.length);
      joined.push(region);
    }
  }
  return joined;
}

/** Neighbouring keys with the same rows become one region. */
function columnRegions(columns: ReadonlyMap<number, readonly [number, number][]>): Region[] {
  const regions: Region[] = [];
  const open = new Map<string, number>();
  for (const [key, runs] of [...columns].sort(([a], [b]) => a - b)) {
    for (const [r0, r1] of runs) {
      const rows = `${r0} ${r1}`;
      const at = open.get(rows);
      if (at !== undefined && regions[at]!.to === key) {
        regions[at] = { ...regions[at]!, to: key + 1 };
      } else {
        open.set(rows, regions.length);
        regions.push({ kind: 'column', r0, r1, from: key, to: key + 1 });
      }
    }
  }
  return regions;
}
