// What a plan visits, in numbers: tiles, pairs, density, rows without keys, predicted cost. Plain data
// that a program may read; the text for people is explain.ts.

import { boxOf } from '../analysis/box.ts';
import { formulaOf } from '../analysis/formula.ts';
import { possible } from '../analysis/possible.ts';
import { printExpression } from '../print.ts';
import { type LaunchShape, queryOffset, type Unit } from '../shape.ts';
import { spread } from '../spread.ts';
import { atOnce, between, partOf, type Turns } from '../turns.ts';
import { addSteps, denseSteps, isCausal, type Steps, weighted } from './cost.ts';
import { type PairTest, pairTest } from './pair-test.ts';
import { boxOfTile, type Form, type Pass, type UnitPlan } from './unit.ts';
import { meanVisits, type Stretch, stepsIn, stretchTurns } from './walk.ts';

export interface SummaryOptions {
  /** Walks so many evenly spaced query tiles and scales; all of them unless stated, or unless `mostVisits` is exceeded. */
  readonly sample?: number;
  /** Visits to walk at most, unless `sample` is stated; past it fewer query tiles are walked. 2^18. */
  readonly mostVisits?: number;
  /** Counts the allowed pairs too, pair by pair in partial tiles. */
  readonly exact?: boolean;
}

/** Rows that may attend to nothing: their output is 0. */
export interface RowFacts {
  readonly empty: number;
  /** Proved for all rows at once, counted row by row, or counted on the walked tiles and scaled. */
  readonly how: 'proved' | 'counted' | 'sampled';
}

export interface UnitSummary {
  readonly shape: LaunchShape;
  readonly unit: Unit;
  readonly params: Readonly<Record<string, number>>;
  readonly qTile: number;
  readonly kTile: number;
  /** Query tiles, and how many of them were walked; where fewer, the counts below are scaled. */
  readonly queryTiles: number;
  readonly walked: number;
  /** What the plan is compared with: causal attention where no key after the query is ever allowed. */
  readonly against: 'causal' | 'all';
  readonly passes: readonly {
    readonly kind: Pass['kind'];
    readonly mask: string;
    readonly forms: readonly Form[];
    /** Packed keys, or the size of a pool. */
    readonly size?: number;
  }[];
  /** Key tiles: of the grid, of the grid up to the diagonal, and those visited. */
  readonly tiles: {
    readonly all: number;
    readonly causal: number;
    readonly visited: number;
    readonly full: number;
    readonly partial: number;
  };
  /** Steps over packed columns. */
  readonly columnSteps: number;
  /** Pools visited as one key and value each, and the steps that takes. */
  readonly standIns: number;
  readonly standInSteps: number;
  /** (query, key) pairs; `visited` counts tiles and columns, `visitedCausal` those with k <= q. */
  readonly pairs: {
    readonly all: number;
    readonly causal: number;
    readonly visited: number;
    readonly visitedCausal: number;
    readonly allowed?: number;
  };
  /** Visited pairs as a share of those of `against`. */
  readonly density: number;
  readonly rows: RowFacts;
  /** Weighted steps of this plan and of the dense one (`against`) with the same tiles. */
  readonly cost: { readonly steps: number; readonly dense: number; readonly share: number };
}

/** Sums up one unit. */
export const summarise = (plan: UnitPlan, options?: SummaryOptions): UnitSummary =>
  atOnce(summaryTurns(plan, options));

type OnWalk = (tile: number, stretches: readonly Stretch[]) => void;

/** The same in turns. `onWalk` is told of every query tile that is walked. */
export function* summaryTurns(
  plan: UnitPlan,
  options: SummaryOptions = {},
  onWalk?: OnWalk,
): Turns<UnitSummary> {
  // Eight tiles tell how many to walk, 64 at least.
  const chosen = yield* between(tilesToWalk(plan, options), 0, 1 / 9);
  return yield* between(summaryOf(plan, chosen, options, onWalk), 1 / 9, 1);
}

function* summaryOf(
  plan: UnitPlan,
  chosen: readonly number[],
  options: SummaryOptions,
  onWalk: OnWalk | undefined,
): Turns<UnitSummary> {
  const { shape, unit, params } = plan.binding;
  const against = isCausal(plan) ? 'causal' : 'all';
  const scale = chosen.length === 0 ? 0 : plan.tiles / chosen.length;
  const tests = new Map(plan.passes.map((pass) => [pass, pairTest(plan, pass.mask)] as const));
  let whole: PairTest | undefined;
  const rows = rowProof(plan);
  let [full, partial, columnSteps, standIns, standInSteps] = [0, 0, 0, 0, 0];
  let weighed: Steps = { plain: 0, masked: 0 };
  let [visited, visitedCausal, allowed, empty] = [0, 0, 0, 0];
  for (const [i, tile] of chosen.entries()) {
    const { q0, q1 } = boxOfTile(plan, tile);
    const stretches = yield* partOf(stretchTurns(plan, tile), i, chosen.length);
    onWalk?.(tile, stretches);
    weighed = addSteps(weighed, stretches, plan.kTile);
    let pools = 0;
    for (const stretch of stretches) {
      const { kind, from, to } = stretch;
      if (kind === 'rest') {
        pools += to - from;
        continue;
      }
      const count = stepsIn(stretch, plan.kTile);
      if (kind === 'columns') columnSteps += count;
      else if (stretch.full) full += count;
      else partial += count;
      visited += (q1 - q0 + 1) * (to - from);
      visitedCausal +=
        kind === 'tile' ? causalPairs(q0, q1, from, to) : causalPairsOfColumns(stretch, q0, q1);
    }
    standIns += pools;
    standInSteps += Math.ceil(pools / plan.kTile);
    const settled = rows || stretches.some(({ kind, full }) => kind !== 'rest' && full);
    if (settled && !options.exact) continue;
    const own = stretches.filter((stretch) => stretch.kind !== 'rest');
    if (!settled) {
      whole ??= pairTest(plan, plan.mask);
      empty += yield* partOf(emptyRows(whole, q0, q1, own), i + 1, chosen.length);
    }
    for (const stretch of options.exact ? own : []) {
      const pairs = allowedPairs(stretch, q0, q1, tests.get(stretch.pass)!);
      allowed += yield* partOf(pairs, i + 1, chosen.length);
    }
  }
  const steps = weighted(weighed);
  const times = (count: number): number => Math.round(count * scale);
  const { qLen, kLen } = shape;
  const offset = queryOffset(shape);
  const causal = qLen === 0 ? 0 : causalPairs(offset, kLen - 1, 0, kLen);
  const base = denseSteps(plan);
  const most = against === 'causal' ? causal : qLen * kLen;
  const share = (part: number, whole: number): number => (whole === 0 ? 0 : part / whole);
  const dense = against === 'causal' ? base.causalCost : base.all;
  return {
    shape,
    unit,
    params,
    qTile: plan.qTile,
    kTile: plan.kTile,
    queryTiles: plan.tiles,
    walked: chosen.length,
    against,
    passes: plan.passes.map(passFacts),
    tiles: {
      all: base.all,
      causal: base.causal,
      visited: times(full) + times(partial),
      full: times(full),
      partial: times(partial),
    },
    columnSteps: times(columnSteps),
    standIns: times(standIns),
    standInSteps: times(standInSteps),
    pairs: {
      all: qLen * kLen,
      causal,
      visited: times(visited),
      visitedCausal: times(visitedCausal),
      ...(options.exact ? { allowed: times(allowed) } : {}),
    },
    density: share((against === 'causal' ? visitedCausal : visited) * scale, most),
    rows: rows ?? { empty: times(empty), how: scale > 1 ? 'sampled' : 'counted' },
    cost: { steps: steps * scale, dense, share: share(steps * scale, dense) },
  };
}

const passFacts = (pass: Pass): UnitSummary['passes'][number] => ({
  kind: pass.kind,
  mask: printExpression(pass.mask),
  forms: pass.forms,
  ...(pass.kind === 'tiles' ? {} : { size: pass.size }),
});

/** A few tiles tell how many visits a whole walk would be. */
function* tilesToWalk(
  plan: UnitPlan,
  { sample, mostVisits = 2 ** 18 }: SummaryOptions,
): Turns<number[]> {
  if (sample !== undefined) return spread(plan.tiles, Math.max(1, sample));
  const probes = spread(plan.tiles, 8);
  if (plan.tiles * Math.ceil(plan.binding.shape.kLen / plan.kTile) <= mostVisits)
    return spread(plan.tiles, plan.tiles);
  const mean = Math.max(1, yield* meanVisits(plan, probes));
  return spread(plan.tiles, Math.max(64, Math.floor(mostVisits / mean)));
}

/** Pairs with k <= q among queries [q0, q1] and keys [from, to). */
export function causalPairs(q0: number, q1: number, from: number, to: number): number {
  // Rows q in [from, to - 2] see q - from + 1 of the keys, rows from to - 1 on all of them.
  const first = Math.max(q0, from);
  const ramp = Math.max(0, Math.min(q1, to - 2) - first + 1);
  const whole = Math.max(0, q1 - Math.max(q0, to - 1) + 1);
  return ramp * (first - from + 1) + (ramp * (ramp - 1)) / 2 + whole * (to - from);
}

/** The same of the keys of a stretch of packed columns. */
function causalPairsOfColumns(
  { needed, from, to }: Extract<Stretch, { kind: 'columns' }>,
  q0: number,
  q1: number,
): number {
  const clip = (place: number): number => Math.min(Math.max(place, from), to);
  // Every query sees the keys up to the first of them.
  const [seen, end] = [clip(needed.before(q0 + 1)), clip(needed.before(q1 + 1))];
  const partly = needed.slice(seen, end).reduce((sum, key) => sum + q1 - key + 1, 0);
  return (q1 - q0 + 1) * (seen - from) + partly;
}

type KeyStretch = Exclude<Stretch, { kind: 'rest' }>;

/** The packed keys of a stretch that has some: any others follow one another. */
const packedIn = (stretch: KeyStretch): Int32Array | undefined =>
  stretch.kind === 'columns' ? stretch.needed.slice(stretch.from, stretch.to) : undefined;

/** Keys of a query tile, or of a row, whose pairs are looked at in one turn. */
const keysPerTurn = 1024;

/** Its turns are all as far as the query tile is. */
function* allowedPairs(stretch: KeyStretch, q0: number, q1: number, test: PairTest): Turns<number> {
  const { full, from, to } = stretch;
  if (full) return (to - from) * (q1 - q0 + 1);
  const packed = packedIn(stretch);
  let allowed = 0;
  for (let at = from; at < to; at += 1) {
    if (at % keysPerTurn === 0) yield 0;
    const k = packed ? packed[at - from]! : at;
    for (let q = q0; q <= q1; q += 1) if (test(q, k)) allowed += 1;
  }
  return allowed;
}

/** All rows at once: a row before the first key sees nothing, a later one its own key or the first key. */
function rowProof({ mask, binding }: UnitPlan): RowFacts | undefined {
  const { qLen, kLen } = binding.shape;
  const offset = queryOffset(binding.shape);
  if (qLen === 0) return { empty: 0, how: 'proved' };
  if (kLen === 0) return { empty: qLen, how: 'proved' };
  const before = Math.max(0, -offset);
  if (before > 0) {
    const early = boxOf(offset, -1, 0, kLen - 1);
    if (possible(formulaOf(mask), early, binding).is !== 'no') return undefined;
  }
  const later = boxOf(Math.max(0, offset), kLen - 1, 0, kLen - 1);
  const refused = formulaOf(mask, true);
  const proved = [{ ...later, d0: 0, d1: 0 }, boxOf(later.q0, later.q1, 0, 0)].some(
    (box) => possible(refused, box, binding).is === 'no',
  );
  return proved ? { empty: before, how: 'proved' } : undefined;
}

/** Rows of one query tile, none of whose steps is full, without an allowed pair; its turns are as those above. */
function* emptyRows(
  test: PairTest,
  q0: number,
  q1: number,
  own: readonly KeyStretch[],
): Turns<number> {
  const listed = own.map((stretch) => ({ ...stretch, packed: packedIn(stretch) }));
  function* hasKey(q: number): Turns<boolean> {
    if (q >= 0 && test(q, q)) return true;
    for (const { packed, from, to } of listed) {
      for (let at = from; at < to; at += 1) {
        if (at % keysPerTurn === 0) yield 0;
        if (test(q, packed ? packed[at - from]! : at)) return true;
      }
    }
    return false;
  }
  let empty = 0;
  for (let q = q0; q <= q1; q += 1) if (!(yield* hasKey(q))) empty += 1;
  return empty;
}
