// Sets that are full before anything is estimated, since their budgets leave nothing out, and whether a mask over full
// sets is its hull: then no estimate is needed. No scores are looked at.

import type { SetDomain } from '../chosen.ts';
import { gridOf } from '../estimate/axes.ts';
import { wantOf } from '../estimate/demand.ts';
import { domainOf, rowsOfWant } from '../estimate/domain.ts';
import { type ChosenNode, isSum } from '../estimate/node.ts';
import { and, binary, compare, type Expression, has, int, or, rebuild } from '../expression.ts';
import { reachOf } from '../plan/reach.ts';
import { type LaunchShape, queryOffset } from '../shape.ts';
import { boxOf } from './box.ts';
import { formulaOf, join } from './formula.ts';
import { possible } from './possible.ts';
import { distinctBindings, type RelevanceRequest, withAnySets } from './relevance.ts';
import { fold, specialise } from './specialise.ts';

/** Boxes that the question may look at: it is asked once for all calls of a kind. */
const budget = 2 ** 14;

/** Every member is in such a set, or every member that its scores see. */
export interface FullSet {
  readonly domain: SetDomain;
  /** A row of so many queries sees the blocks of keys that end by its last one; with `begun`, that begin by then. */
  readonly seen?: {
    readonly rowSize: number;
    readonly columnSize: number;
    readonly begun: boolean;
  };
}

/** What a selection takes whatever its scores are, where that is all that it sees; undefined where scores decide. */
export function fullByBudget(node: ChosenNode, shape: LaunchShape): FullSet | undefined {
  const domain = domainOf(node, shape);
  let leaf = node;
  while (leaf.op === 'dilate') leaf = leaf.of;
  if (leaf.op !== 'topk' || leaf.count < domainOf(leaf, shape).columns) return undefined;
  if (isSum(leaf.of)) return { domain };
  const want = wantOf(leaf.of);
  const grid = gridOf(want.scores, shape);
  if (!grid.causal) return { domain };
  if (node !== leaf) return undefined;
  const rowSize = rowsOfWant(want, grid).size;
  // What is forced to a row's last query are blocks that begin by then: all but them end before it.
  const seen = { rowSize, columnSize: grid.blockColumns.size, begun: leaf.always.last > 0 };
  return { domain, seen };
}

/**
 * Whether the mask allows all that it could for these heads when these sets are full, whatever is in the others: its hull
 * is its reach. Safe: where it is not known, it is not.
 */
export function isItsHull(
  request: RelevanceRequest,
  full: Readonly<Record<string, FullSet>>,
): boolean {
  const { mask, shape } = request;
  const bindings = distinctBindings(request);
  if (!bindings || shape.kLen === 0 || shape.qLen === 0) return false;
  const known = rebuild(mask, (node) => {
    const set = node.op === 'has' && Object.hasOwn(full, node.set) ? full[node.set] : undefined;
    return set && node.op === 'has' ? membership(node.set, node.args, set) : fold(node);
  });
  const hull = reachOf(mask);
  const box = () => boxOf(queryOffset(shape), shape.kLen - 1, 0, shape.kLen - 1);
  return bindings.every((binding) => {
    const of = (node: Expression, negated: boolean) =>
      withAnySets(formulaOf(specialise(node, shape, binding.unit, binding.params), negated));
    const differs = join('or', [
      join('and', [of(hull, false), of(known, true)]),
      join('and', [of(hull, true), of(known, false)]),
    ]);
    return possible(differs, box(), binding, budget).is === 'no';
  });
}

/** `has` of a full set, as far as comparisons say it: true inside of the domain, where it is seen. */
function membership(name: string, args: readonly Expression[], { domain, seen }: FullSet) {
  const { rowFrom, rows, columns } = domain;
  const within = (place: Expression, from: number, to: number) =>
    and(compare('le', int(from), place), compare('lt', place, int(to)));
  const [row, column] = args.length > 1 ? [args[0]!, args[1]!] : [undefined, args[0]!];
  const inside = row
    ? and(within(row, rowFrom, rowFrom + rows), within(column, 0, columns))
    : within(column, 0, columns);
  if (!row || !seen) return fold(inside);
  const reaches = binary('mul', seen.begun ? column : plusOne(column), int(seen.columnSize));
  const end = binary('mul', plusOne(row), int(seen.rowSize));
  const isSeen = compare(seen.begun ? 'lt' : 'le', reaches, end);
  return and(inside, or(isSeen, has(name, args)));
}

const plusOne = (node: Expression): Expression => binary('add', node, int(1));
