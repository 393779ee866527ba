// Which rows of a chosen set can change the mask at all: an estimate need not compute the others, as below a dense
// tail or where a window covers everything. Dead code elimination, asked of intervals. No estimate is looked at.

import type { RowRange, SetDomain } from '../chosen.ts';
import { bool, type Expression, mentions, walk, withChildren } from '../expression.ts';
import { type BoundParameters, parametersOf } from '../given.ts';
import { kvHeadOf, type LaunchShape, queryOffset, type Unit } from '../shape.ts';
import type { Binding } from './binding.ts';
import { boxEnvironment } from './binding.ts';
import { boxOf } from './box.ts';
import { type Formula, formulaOf, join } from './formula.ts';
import { intervalOf } from './interval.ts';
import { possible } from './possible.ts';
import { specialise } from './specialise.ts';

export interface RelevanceRequest {
  readonly mask: Expression;
  readonly domains: Readonly<Record<string, SetDomain>>;
  readonly shape: LaunchShape;
  readonly params: BoundParameters;
  /** The query heads that the mask is for. */
  readonly heads: readonly number[];
}

/** Boxes that one question may look at: enough for comparisons, and no long search for anything else. */
const budget = 64;

/**
 * For every set the rows outside of which it makes no difference to the mask, whatever is in it, for all heads
 * together; a set of one axis has row 0 or none. Safe: where it is not known, a row is among them.
 */
export function rowsThatMatter(request: RelevanceRequest): Record<string, RowRange> {
  const { domains, shape } = request;
  const bindings = distinctBindings(request);
  return Object.fromEntries(
    Object.entries(domains).map(([name, domain]) => {
      const all: RowRange = { from: domain.rowFrom, to: domain.rowFrom + domain.rows };
      if (!bindings || shape.kLen === 0 || shape.qLen === 0) return [name, all];
      const ranges = bindings.flatMap((binding) => rangesOf(name, domain, request.mask, binding));
      return [name, hullOf(ranges, all)];
    }),
  );
}

function hullOf(ranges: readonly RowRange[], all: RowRange): RowRange {
  const from = Math.max(all.from, Math.min(...ranges.map((one) => one.from)));
  const to = Math.min(all.to, Math.max(...ranges.map((one) => one.to)));
  return from < to ? { from, to } : { from: all.from, to: all.from };
}

/** One for each unit that has numbers of its own; undefined where captured tensors decide, which may hold anything. */
export function distinctBindings(request: RelevanceRequest): Binding[] | undefined {
  const { mask, shape, params, heads } = request;
  if (mentions(mask, 'at')) return undefined;
  const [batches, ofHeads] = [
    mentions(mask, 'index', 'batch') ? shape.batch : 1,
    mentions(mask, 'index', 'head') || mentions(mask, 'index', 'kvHead'),
  ];
  const known = new Map<string, Binding>();
  for (let batch = 0; batch < batches; batch += 1) {
    for (const head of heads) {
      const unit: Unit = { batch, head, kvHead: kvHeadOf(shape, head) };
      const numbers = parametersOf(params, head);
      const own = Object.entries(numbers).filter(([name]) => mentions(mask, 'param', name));
      const key = JSON.stringify([own, batch, ofHeads && head]);
      if (!known.has(key)) known.set(key, { shape, unit, params: numbers, captured: {}, sets: {} });
    }
  }
  return [...known.values()];
}

/** The rows that each place where the mask asks for the set can read and matter, for one unit. */
function rangesOf(name: string, domain: SetDomain, mask: Expression, binding: Binding): RowRange[] {
  const { shape, unit, params } = binding;
  const places = [...walk(mask)].filter((node) => node.op === 'has' && node.set === name);
  return places.flatMap((place): RowRange[] => {
    const [held, missed] = [true, false].map((value) =>
      specialise(replaced(mask, place, bool(value)), shape, unit, params),
    ) as [Expression, Expression];
    const differs = join('or', [
      join('and', [formulaOf(held), formulaOf(missed, true)].map(withAnySets)),
      join('and', [formulaOf(held, true), formulaOf(missed)].map(withAnySets)),
    ]);
    const queries = queriesAt(differs, binding);
    if (!queries) return [];
    if (domain.arity === 1) return [{ from: 0, to: 1 }];
    const row = specialise(
      (place as { args: readonly Expression[] }).args[0]!,
      shape,
      unit,
      params,
    );
    // Which row it is may be up to what is in the sets.
    if (mentions(row, 'has')) return [{ from: domain.rowFrom, to: domain.rowFrom + domain.rows }];
    const box = boxOf(queries.from, queries.to - 1, 0, shape.kLen - 1);
    const { lo, hi } = intervalOf(row, boxEnvironment(binding, box));
    return [{ from: lo, to: hi + 1 }];
  });
}

/** The same expression but for one node. */
function replaced(node: Expression, place: Expression, by: Expression): Expression {
  if (node === place) return by;
  if (!('args' in node)) return node;
  return withChildren(
    node,
    node.args.map((child) => replaced(child, place, by)),
  );
}

/** What a formula says at most, whatever is in the sets that it asks. */
export function withAnySets(formula: Formula): Formula {
  if (formula.op === 'and' || formula.op === 'or')
    return join(formula.op, formula.parts.map(withAnySets));
  const asks = formula.op === 'atom' && mentions(formula.expression, 'has');
  return asks ? { op: 'true' } : formula;
}

/** Positions of queries outside of which the formula cannot hold with any key; undefined for none at all. */
function queriesAt(formula: Formula, binding: Binding): RowRange | undefined {
  const { shape } = binding;
  const [first, last] = [queryOffset(shape), shape.kLen - 1];
  const may = (q0: number, q1: number): boolean =>
    possible(formula, boxOf(q0, q1, 0, shape.kLen - 1), binding, budget).is !== 'no';
  if (!may(first, last)) return undefined;
  let [low, high] = [first, may(first, first) ? first : last];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (may(low, middle)) high = middle;
    else low = middle + 1;
  }
  const from = low;
  [low, high] = [may(last, last) ? last : from, last];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (may(middle, high)) low = middle;
    else high = middle - 1;
  }
  return { from, to: low + 1 };
}
