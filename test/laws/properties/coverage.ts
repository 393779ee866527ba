// Laws 3 and 4 as properties: what a plan visits, held against its mask pair by pair.

import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Binding } from '../../../dsl/analysis/binding.ts';
import { pointEnvironment } from '../../../dsl/analysis/binding.ts';
import { evaluate } from '../../../dsl/evaluate.ts';
import { type Expression, mentions } from '../../../dsl/expression.ts';
import { prove } from '../../../dsl/plan/coverage.ts';
import { reachOf } from '../../../dsl/plan/reach.ts';
import { hullOf } from '../../../dsl/plan/split.ts';
import { boxOfTile, planUnit, type UnitPlan, type UnitRequest } from '../../../dsl/plan/unit.ts';
import { type Visit, visitsOf } from '../../../dsl/plan/walk.ts';
import { queryOffset } from '../../../dsl/shape.ts';
import { arbitraryBinding, arbitraryShape } from '../../arbitraries.ts';
import { arbitraryKnobs, masksFor } from '../arbitraries.ts';

/** Is a pair allowed; by the definition of expressions, each pair computed once. */
export function truthTable(mask: Expression, binding: Binding): (q: number, k: number) => boolean {
  const { kLen, qLen } = binding.shape;
  const offset = queryOffset(binding.shape);
  const table = new Int8Array(qLen * kLen).fill(-1);
  return (q, k) => {
    const at = (q - offset) * kLen + k;
    if (table[at]! < 0)
      table[at] = evaluate(mask, pointEnvironment(binding, q, k)) === true ? 1 : 0;
    return table[at] === 1;
  };
}

const keysOf = (visit: Visit): readonly number[] => {
  if (visit.kind === 'tile')
    return Array.from({ length: visit.to - visit.from }, (_, i) => visit.from + i);
  return visit.kind === 'columns' ? [...visit.keys] : [];
};

/** What one visit says of its pairs, by count: those of its pass that are allowed, and all. */
interface Judged {
  readonly visit: Visit;
  readonly allowed: number;
  readonly all: number;
}

/** Walks all query tiles; throws where the plan breaks law 3. */
export function checkCoverage(plan: UnitPlan, mask: Expression): Judged[] {
  const { shape } = plan.binding;
  const offset = queryOffset(shape);
  const isAllowed = truthTable(mask, plan.binding);
  const judged: Judged[] = [];
  const rowsSeen = new Int32Array(shape.qLen);
  for (let tile = 0; tile < plan.tiles; tile += 1) {
    const { q0, q1 } = boxOfTile(plan, tile);
    const visits = visitsOf(plan, tile).filter(({ kind }) => kind !== 'rest');
    const masks = new Map(visits.map(({ pass }) => [pass, truthTable(pass.mask, plan.binding)]));
    for (let q = q0; q <= q1; q += 1) {
      rowsSeen[q - offset]! += 1;
      // How often a pass lets each key through: exactly once where the mask allows it.
      const times = new Int32Array(shape.kLen);
      for (const visit of visits) {
        const own = masks.get(visit.pass)!;
        for (const k of keysOf(visit)) {
          const isOwn = own(q, k);
          if (!isOwn && visit.full)
            assert.fail(`(q=${q}, k=${k}) is refused in a full ${visit.kind}`);
          if (isOwn) times[k]! += 1;
        }
      }
      for (let k = 0; k < shape.kLen; k += 1) {
        const wanted = isAllowed(q, k) ? 1 : 0;
        if (times[k] !== wanted)
          assert.fail(`(q=${q}, k=${k}) is let through ${times[k]} times for ${wanted}`);
      }
    }
    for (const visit of visits) {
      const own = masks.get(visit.pass)!;
      const keys = keysOf(visit);
      assert.ok(
        keys.length <= plan.kTile,
        `a step of ${keys.length} keys for tiles of ${plan.kTile}`,
      );
      let allowed = 0;
      for (let q = q0; q <= q1; q += 1) for (const k of keys) if (own(q, k)) allowed += 1;
      judged.push({ visit, allowed, all: keys.length * (q1 - q0 + 1) });
    }
    checkTilesOnce(visits);
  }
  for (const [row, times] of rowsSeen.entries())
    assert.equal(times, 1, `row ${row} is in ${times} tiles`);
  return judged;
}

/** The tiles of one pass do not overlap: an allowed pair could be counted twice, a refused one costs twice. */
function checkTilesOnce(visits: readonly Visit[]): void {
  const seen = new Map<Visit['pass'], Set<number>>();
  for (const visit of visits) {
    const keys = seen.get(visit.pass) ?? new Set();
    seen.set(visit.pass, keys);
    for (const k of keysOf(visit)) {
      if (keys.has(k)) assert.fail(`key ${k} is visited twice`);
      keys.add(k);
    }
  }
}

/** What the mask allows is within its reach, which asks no set. */
export function checkReach({ binding }: UnitPlan, mask: Expression): void {
  const reach = reachOf(mask);
  assert.ok(!mentions(reach, 'has'), 'the reach asks a set');
  const { kLen, qLen } = binding.shape;
  const offset = queryOffset(binding.shape);
  const [isAllowed, isInReach] = [truthTable(mask, binding), truthTable(reach, binding)];
  for (let q = Math.max(0, offset); q < offset + qLen; q += 1)
    for (let k = 0; k < kLen; k += 1)
      if (isAllowed(q, k) && !isInReach(q, k)) assert.fail(`q=${q} k=${k} is out of reach`);
}

/** Pools that stand in, by pair: exactly those whose keys are all in the hull and all dropped. */
export function checkStandIns(plan: UnitPlan, mask: Expression): void {
  const pass = plan.passes.find((one) => one.kind === 'rest');
  if (pass?.kind !== 'rest') return;
  const { binding } = plan;
  const { kLen } = binding.shape;
  const [isAllowed, isInHull] = [truthTable(mask, binding), truthTable(hullOf(mask), binding)];
  for (let tile = 0; tile < plan.tiles; tile += 1) {
    const { q0, q1 } = boxOfTile(plan, tile);
    const visited = new Map<number, boolean>();
    for (const visit of visitsOf(plan, tile)) {
      if (visit.kind !== 'rest') continue;
      assert.ok(!visited.has(visit.pool), `pool ${visit.pool} stands in twice`);
      visited.set(visit.pool, visit.full);
    }
    for (let pool = 0; pool < pass.pools; pool += 1) {
      const [from, to] = [pool * pass.size, Math.min((pool + 1) * pass.size, kLen)];
      for (let q = q0; q <= q1; q += 1) {
        let isDropped = true;
        for (let k = from; k < to; k += 1) isDropped &&= isInHull(q, k) && !isAllowed(q, k);
        if (isDropped && !visited.has(pool)) assert.fail(`pool ${pool} is missing for q=${q}`);
        if (!isDropped && visited.get(pool)) assert.fail(`pool ${pool} is no stand-in for q=${q}`);
      }
    }
  }
}

const cases = arbitraryShape({ tile: 16, least: 1 }).chain((shape) =>
  fc.record({ mask: masksFor(), binding: arbitraryBinding(shape) }),
);

const requests = cases.chain(({ mask, binding }) =>
  fc
    .record({
      knobs: arbitraryKnobs,
      forms: fc.constantFrom('derived' as const, 'test' as const),
      restSize: fc.option(fc.integer({ min: 1, max: 20 }), { nil: undefined, freq: 2 }),
    })
    .map(({ knobs, forms, restSize }): UnitRequest => {
      const { qTile, kTile, order, gather } = knobs as {
        qTile: number;
        kTile: number;
      } & typeof knobs;
      return { binding, mask, qTile, kTile, order, gather, forms, restSize };
    }),
);

/** Law 3: allowed implies visited, full implies all allowed, no pair is visited twice. */
export const plansCover = () =>
  fc.property(requests, (request) => {
    const plan = planUnit(request);
    checkCoverage(plan, request.mask);
    checkReach(plan, request.mask);
    checkStandIns(plan, request.mask);
    assert.equal(prove(plan).counterexample, undefined);
  });

/** The pairs that a plan lets through, as one text per query. */
function pairsOf(plan: UnitPlan): string[] {
  const { shape } = plan.binding;
  const offset = queryOffset(shape);
  const rows = Array.from({ length: shape.qLen }, () => new Uint8Array(shape.kLen));
  for (let tile = 0; tile < plan.tiles; tile += 1) {
    const { q0, q1 } = boxOfTile(plan, tile);
    for (const visit of visitsOf(plan, tile)) {
      if (visit.kind === 'rest') continue;
      const own = truthTable(visit.pass.mask, plan.binding);
      for (let q = q0; q <= q1; q += 1)
        for (const k of keysOf(visit)) if (visit.full || own(q, k)) rows[q - offset]![k]! += 1;
    }
  }
  return rows.map((row) => row.join(''));
}

/** Law 4: the derived forms visit the allowed pairs that intervals alone find. */
export const formsAgree = () =>
  fc.property(requests, ({ forms: _, ...request }) => {
    const [derived, tested] = (['derived', 'test'] as const).map((forms) =>
      pairsOf(planUnit({ ...request, forms })),
    );
    assert.deepEqual(derived, tested);
  });
