// The plan of one unit: the passes over its keys. Each pass visits its own pairs; together they visit
// every allowed pair once. How a pass walks its keys is in walk.ts.

import type { Binding } from '../analysis/binding.ts';
import { type Box, boxOf } from '../analysis/box.ts';
import { atomsOf, type Formula, formulaOf, isPurelyLinear } from '../analysis/formula.ts';
import { specialise } from '../analysis/specialise.ts';
import { BitSet } from '../chosen.ts';
import { diagnostic, PlanError } from '../diagnostic.ts';
import { and, type Expression, has, index, mentions } from '../expression.ts';
import { type KeySpan, mergeSpans, type VisitProgram } from '../schedule.ts';
import { queryOffset } from '../shape.ts';
import { isObject, shown } from '../shown.ts';
import { isUnderstood, keyArgument, type Spans } from './spans.ts';
import { droppedBy, splitColumns } from './split.ts';

/** How the visited keys are found, and what that costs; see the design, section 5. */
export type Form = 'ranges' | 'distances' | 'columns' | 'blocks' | 'stand-ins' | 'test' | 'stated';

interface PassBase {
  /** Which pairs of this pass are allowed. */
  readonly mask: Expression;
  readonly formula: Formula;
  /** The formula of `not mask`. */
  readonly negation: Formula;
  readonly forms: readonly Form[];
  /** Can only intervals judge it, tile by tile, or pool by pool? */
  readonly opaque: boolean;
}

/** Contiguous key tiles. */
export interface TilePass extends PassBase {
  readonly kind: 'tiles';
  /** Tiles start where their span starts, not at multiples of the tile size. */
  readonly unaligned: boolean;
  /** The author's own spans, when the schedule states them. */
  readonly stated: ((q0: number, q1: number) => Spans) | undefined;
}

/** Single keys whose K and V rows are packed once per head. */
export interface ColumnPass extends PassBase {
  readonly kind: 'columns';
  readonly set: string;
  /** How many keys are packed. */
  readonly size: number;
}

/** Pools of dropped keys, each one key and value; here `mask` is "allowed by the hull and dropped by the mask". */
export interface RestPass extends PassBase {
  readonly kind: 'rest';
  readonly size: number;
  readonly pools: number;
}

export type Pass = TilePass | ColumnPass | RestPass;

export interface UnitPlan {
  readonly binding: Binding;
  /** The whole mask, specialised for the unit. */
  readonly mask: Expression;
  readonly score: Expression | undefined;
  readonly qTile: number;
  readonly kTile: number;
  readonly order: 'ascending' | 'descending';
  readonly passes: readonly Pass[];
  /** First query tile; tiles are anchored at multiples of `qTile` among the positions. */
  readonly firstTile: number;
  readonly tiles: number;
}

export interface UnitRequest {
  readonly binding: Binding;
  readonly mask: Expression;
  readonly score?: Expression | undefined;
  readonly qTile: number;
  readonly kTile: number;
  readonly order?: 'ascending' | 'descending' | undefined;
  readonly gather?: string | undefined;
  readonly restSize?: number | undefined;
  /** Spans of a stated schedule; see `statedSpans`. */
  readonly stated?: TilePass['stated'];
  /** 'test' judges every tile by intervals alone: slower, and the check of all other forms (law 4). */
  readonly forms?: 'derived' | 'test' | undefined;
}

/** Plans one unit. Cheap: nothing is enumerated until a query tile is walked. */
export function planUnit(request: UnitRequest): UnitPlan {
  const { binding, qTile, kTile, order = 'ascending' } = request;
  const { shape, unit, params } = binding;
  const mask = specialise(request.mask, shape, unit, params);
  const score = request.score && specialise(request.score, shape, unit, params);
  const offset = queryOffset(shape);
  const firstTile = Math.floor(offset / qTile);
  const tiles = shape.qLen === 0 ? 0 : Math.floor((shape.kLen - 1) / qTile) - firstTile + 1;
  const passes: Pass[] = [];
  const testOnly = request.forms === 'test';
  const gathered =
    request.gather === undefined || testOnly || request.stated
      ? undefined
      : splitColumns(mask, request.gather);
  const main = gathered ? gathered.tiles : mask;
  if (!(main.op === 'const' && main.value === false)) {
    passes.push(tilePass(main, testOnly, request.stated));
  }
  if (gathered && request.gather !== undefined) {
    const inSet = and(gathered.columns, has(request.gather, [index('k')]));
    passes.push({
      kind: 'columns',
      set: request.gather,
      size: binding.sets[request.gather]!.count(0),
      mask: inSet,
      ...formulas(inSet),
      forms: ['columns'],
      opaque: false,
    });
  }
  if (request.restSize !== undefined) passes.push(restPass(mask, request.restSize, shape.kLen));
  return { binding, mask, score, qTile, kTile, order, passes, firstTile, tiles };
}

const formulas = (mask: Expression) => ({
  formula: formulaOf(mask),
  negation: formulaOf(mask, true),
});

function tilePass(mask: Expression, testOnly: boolean, stated: TilePass['stated']): TilePass {
  const both = formulas(mask);
  const forms = stated
    ? (['stated'] as const)
    : testOnly
      ? (['test'] as const)
      : formsOf(both.formula);
  const unaligned = forms.some((form) => form === 'distances' || form === 'stated');
  const opaque = testOnly || !isUnderstood(both.formula);
  return { kind: 'tiles', mask, ...both, forms, unaligned, opaque, stated };
}

/** The forms by which the spans of a formula are found (spans.ts). */
function formsOf(formula: Formula): readonly Form[] {
  if (isPurelyLinear(formula)) return ['ranges'];
  const found = new Set<Form>();
  for (const expression of atomsOf(formula)) {
    const node = expression.op === 'not' ? expression.args[0] : expression;
    const argument = node.op === 'has' ? keyArgument(node.args.at(-1)!) : undefined;
    if (!argument || node.op !== 'has') found.add('test');
    else if (node.args.length === 2 || argument.form === 'block') found.add('blocks');
    else found.add(mentions(argument.rest, 'index', 'q') ? 'distances' : 'columns');
  }
  return [...found].sort();
}

function restPass(mask: Expression, size: number, kLen: number): RestPass {
  const dropped = droppedBy(mask);
  const both = formulas(dropped);
  return {
    kind: 'rest',
    size,
    pools: Math.ceil(kLen / size),
    mask: dropped,
    ...both,
    forms: ['stand-ins'],
    opaque: !isUnderstood(both.formula),
  };
}

/** The spans that an author's `.visit` states, as a function of the tile's first and last query. */
export function statedSpans(
  visit: VisitProgram,
  { shape, unit, params }: Binding,
): NonNullable<TilePass['stated']> {
  const { qLen, kLen } = shape;
  return (q0, q1) => {
    const spans: unknown = visit(
      {
        tile: { q0, q1, qLen, kLen, head: unit.head, batch: unit.batch },
        span: (from, to) => [{ from, to }],
        union: (...lists) => mergeSpans(lists.flat(), kLen),
      },
      params as never,
    );
    if (!areSpans(spans))
      throw new PlanError([
        diagnostic('S008', `.visit gives ${shown(spans)}`, {
          help: 'give spans of keys: .visit(({ tile, span }) => span(0, tile.q1 + 1))',
        }),
      ]);
    return mergeSpans(spans, kLen).flatMap(({ from, to }) => [from, to]);
  };
}

const areSpans = (value: unknown): value is readonly KeySpan[] =>
  Array.isArray(value) &&
  value.every((one) => isObject(one) && typeof one.from === 'number' && typeof one.to === 'number');

/** Positions of the first and last query of a tile, and all keys. `tile` counts from 0. */
export function boxOfTile(plan: UnitPlan, tile: number): Box {
  const { shape } = plan.binding;
  const start = (plan.firstTile + tile) * plan.qTile;
  const q0 = Math.max(queryOffset(shape), start);
  const q1 = Math.min(shape.kLen - 1, start + plan.qTile - 1);
  return boxOf(q0, q1, 0, shape.kLen - 1);
}

/** Bytes that the plan of a unit keeps, by what they are for. K and V rows of packed columns count at `rowBytes` each. */
export function workspaceOf(plan: UnitPlan, rowBytes: number): Readonly<Record<string, number>> {
  const result: Record<string, number> = {};
  const add = (name: string, bytes: number) => {
    if (bytes > 0) result[name] = (result[name] ?? 0) + bytes;
  };
  for (const set of Object.values(plan.binding.sets)) {
    const { bits, counts } = BitSet.bytes(set.domain);
    add('set bits', bits);
    add('set counts', counts);
    if (set.domain.arity === 1) add('set runs', set.runs().byteLength);
  }
  for (const captured of Object.values(plan.binding.captured)) add('zone maps', captured.bytes);
  for (const pass of plan.passes) {
    if (pass.kind === 'columns') add('packed columns', pass.size * (4 + rowBytes));
    if (pass.kind === 'rest') add('stand-ins', pass.pools * (rowBytes + 4));
  }
  return result;
}
