// Heads that fall back after they have chosen: from how many members on each does, and which did. Heads whose budgets
// tell it before anything is chosen: hulls.ts. What a GPU launches for it: codegen/estimate/fallback.ts.

import { type ChosenSetsData, setOfHead } from '../dsl/chosen.ts';
import {
  costOfMembers,
  denseCost,
  type FallbackLimits,
  type Limits,
} from '../dsl/estimate/limits.ts';
import { kvHeadOf, type LaunchShape } from '../dsl/shape.ts';
import { choosersOf, sharesChoice, withFullSets } from './hulls.ts';
import { type CheckedGiven, graphsPerHead } from './inputs.ts';
import { rowsNeeded } from './needed-rows.ts';
import type { Part } from './parts.ts';
import { dearFrom, isCounted, membersOf } from './predicted.ts';

/** The heads of a part of which scores decide how much they choose. */
export function openHeads(
  { definition, heads }: Part,
  { params }: CheckedGiven,
  shape: LaunchShape,
): number[] {
  if (definition.estimates.length === 0) return [];
  const graphs = graphsPerHead(definition, params, shape);
  return heads.filter((head) => !Object.values(graphs[head]!).every(isCounted));
}

/** The limits of a part of a call; undefined where no head of it can fall back. */
export function fallbackLimits(
  part: Part,
  given: CheckedGiven,
  shape: LaunchShape,
): FallbackLimits | undefined {
  const { definition, heads } = part;
  if (definition.estimates.length === 0) return undefined;
  const { params } = given;
  const found = new Map<number, Limits>();
  for (const { own, graph, isHullWhenFull } of choosersOf(part, given, shape)) {
    const rows = rowsNeeded(definition, graph, params, shape, heads);
    const limits = dearFrom({ definition, graph, params, shape, head: own[0]! }, rows);
    if (limits && isHullWhenFull()) for (const head of own) found.set(head, limits);
  }
  const isShared = sharesChoice(part, given, shape);
  const limits = isShared ? limitsOfGroups(found, shape) : found;
  return limits.size > 0 ? { heads: limits, isShared } : undefined;
}

/** Heads of a KV head fall back together, when it is due for all of them: none does where one never does. */
function limitsOfGroups(
  found: ReadonlyMap<number, Limits>,
  shape: LaunchShape,
): ReadonlyMap<number, Limits> {
  const size = shape.heads / shape.kvHeads;
  const shared = new Map<number, Limits>();
  for (let group = 0; group < shape.kvHeads; group += 1) {
    const heads = Array.from({ length: size }, (_, i) => group * size + i);
    const own = heads.flatMap((head) => (found.has(head) ? [found.get(head)!] : []));
    if (own.length < size) continue;
    const names = Object.keys(own[0]!).filter((name) => own.every((limits) => name in limits));
    const limits = Object.fromEntries(
      names.map((name) => [name, Math.max(...own.map((one) => one[name]!))]),
    );
    if (names.length > 0) for (const head of heads) shared.set(head, limits);
  }
  return shared;
}

/** Whether each head costs as much as dense attention, by what it chose: [batch * heads]. */
export function fallenHeads(
  sets: ChosenSetsData,
  { heads: limits, isShared }: FallbackLimits,
  shape: LaunchShape,
): boolean[] {
  const { batch, heads, kvHeads } = shape;
  const isDear = (unit: number): boolean => {
    const own = limits.get(unit % heads);
    if (!own) return false;
    let cost = 0;
    for (const [name, limit] of Object.entries(own)) {
      const set = setOfHead(sets[name]!, Math.floor(unit / heads), unit % heads, heads, kvHeads);
      cost += costOfMembers(membersOf(set, undefined), limit);
    }
    return cost >= denseCost;
  };
  const units = Array.from({ length: batch * heads }, (_, unit) => unit);
  const dear = units.map(isDear);
  if (!isShared) return dear;
  const groupOf = (unit: number) =>
    Math.floor(unit / heads) * kvHeads + kvHeadOf(shape, unit % heads);
  const spared = new Set(units.filter((unit) => !dear[unit]).map(groupOf));
  return units.map((unit) => !spared.has(groupOf(unit)));
}

/** The sets of a part after the fallback: those of heads that fell back are full. */
export function fallBack(
  { definition }: Part,
  given: CheckedGiven,
  shape: LaunchShape,
  sets: ChosenSetsData,
  limits: FallbackLimits,
): ChosenSetsData {
  const fallen = fallenHeads(sets, limits, shape);
  if (!fallen.includes(true)) return sets;
  const isHull = (batch: number, head: number) => fallen[batch * shape.heads + head]!;
  return withFullSets(definition, given, shape, isHull, sets);
}
