// The proof that a plan does what its mask says, for the shape at hand: every allowed pair is visited,
// every full tile is allowed wholly, no pair is visited twice. A stated schedule stands or falls here.

import { boxOf } from '../analysis/box.ts';
import { possible } from '../analysis/possible.ts';
import { type Diagnostic, diagnostic } from '../diagnostic.ts';
import { atOnce, partOf, type Turns } from '../turns.ts';
import { complement, unite } from './spans.ts';
import { boxOfTile, type Pass, type UnitPlan } from './unit.ts';
import { type Stretch, stretchTurns } from './walk.ts';

export type Fault = 'missed' | 'not-full' | 'twice';

export interface Proof {
  /** What was asked of the intervals. */
  readonly questions: number;
  /** Could not be decided within the budget; such a pair is not known to be wrong. */
  readonly undecided: number;
  readonly counterexample:
    | { readonly fault: Fault; readonly q: number; readonly k: number }
    | undefined;
}

/** Proves one unit, query tile by query tile (all of them, or those asked for). */
export const prove = (plan: UnitPlan, tiles?: readonly number[]): Proof =>
  atOnce(proofTurns(plan, tiles));

/** The same in turns. `walked`: the stretches of some query tiles, where they are known. */
export function* proofTurns(
  plan: UnitPlan,
  tiles: readonly number[] = Array.from({ length: plan.tiles }, (_, i) => i),
  walked?: ReadonlyMap<number, readonly Stretch[]>,
): Turns<Proof> {
  let questions = 0;
  let undecided = 0;
  for (const [i, tile] of tiles.entries()) {
    const stretches =
      walked?.get(tile) ?? (yield* partOf(stretchTurns(plan, tile), i, tiles.length));
    for (const pass of plan.passes) {
      const own = stretches.filter((stretch) => stretch.pass === pass);
      if (pass.kind === 'rest') continue;
      const found = yield* partOf(proveTile(plan, pass, tile, own), i + 1, tiles.length);
      questions += found.questions;
      undecided += found.undecided;
      if (found.counterexample)
        return { questions, undecided, counterexample: found.counterexample };
    }
  }
  return { questions, undecided, counterexample: undefined };
}

/** Its turns are questions: a stretch may have millions of steps. */
function* proveTile(
  plan: UnitPlan,
  pass: Pass,
  tile: number,
  own: readonly Stretch[],
): Turns<Proof> {
  const { q0, q1 } = boxOfTile(plan, tile);
  const { kLen } = plan.binding.shape;
  let questions = 0;
  let undecided = 0;
  type Found = Proof['counterexample'];
  const ended = (counterexample: Found): Proof => ({ questions, undecided, counterexample });
  const ask = (formula: Pass['formula'], from: number, to: number) => {
    questions += 1;
    return possible(formula, boxOf(q0, q1, from, to - 1), plan.binding);
  };
  const all: number[][] = [];
  for (const stretch of own) {
    if (stretch.kind === 'tile') all.push([stretch.from, stretch.to]);
    if (stretch.kind === 'columns') {
      const keys = stretch.needed.slice(stretch.from, stretch.to);
      for (const key of keys) all.push([key, key + 1]);
    }
  }
  const visited = unite(all);
  const sorted = all.toSorted((a, b) => a[0]! - b[0]!);
  for (let i = 1, end = sorted[0]?.[1] ?? 0; i < sorted.length; i += 1) {
    const [from, to] = sorted[i] as [number, number];
    if (from < end) return ended({ fault: 'twice', q: q0, k: from });
    end = Math.max(end, to);
  }
  const gaps = complement(visited, 0, kLen);
  for (let i = 0; i < gaps.length; i += 2) {
    yield 0;
    const missed = ask(pass.formula, gaps[i]!, gaps[i + 1]!);
    if (missed.is === 'yes') return ended({ fault: 'missed', q: missed.q, k: missed.k });
    if (missed.is === 'unknown') undecided += 1;
  }
  /** By halves down to steps where intervals cannot tell. */
  function* refused(from: number, to: number): Turns<Found> {
    yield 0;
    const answer = ask(pass.negation, from, to);
    if (answer.is === 'yes') return { fault: 'not-full', q: answer.q, k: answer.k };
    if (answer.is === 'no') return undefined;
    if (to - from <= plan.kTile) {
      undecided += 1;
      return undefined;
    }
    const middle = from + Math.ceil((to - from) / plan.kTile / 2) * plan.kTile;
    return (yield* refused(from, middle)) ?? (yield* refused(middle, to));
  }
  for (const { kind, full, from, to } of own) {
    if (kind !== 'tile' || !full) continue;
    const broken = yield* refused(from, to);
    if (broken) return ended(broken);
  }
  return ended(undefined);
}

/** What a failed proof of a stated schedule tells its author. */
export function statedFinding(name: string, { counterexample }: Proof): Diagnostic | undefined {
  if (!counterexample) return undefined;
  // No other fault can be: stated spans are merged, and every tile of theirs is classified.
  const { q, k } = counterexample;
  return diagnostic(
    'S003',
    `the mask of '${name}' allows (q=${q}, k=${k}), but no visited span contains key ${k}`,
    {
      help: 'widen the spans of .visit, or drop .visit: the schedule is derived from the mask',
    },
  );
}
