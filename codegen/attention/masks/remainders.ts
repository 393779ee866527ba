// Remainders of a distance between query and key, as what is left of each: nobody divides for every pair.

import { collect, type Linear } from '../../../dsl/analysis/linear.ts';
import {
  and,
  binary,
  compare,
  type Expression,
  index,
  int,
  mentions,
  or,
  unary,
} from '../../../dsl/expression.ts';

/**
 * `(q - k) % n === 0` as a comparison of what is left of q and of k; with a divisor that is known, any `(q - k + constant) % n
 * === rest` too, whose rest has the sign of what is divided.
 */
export function remaindersApart(node: Expression): Expression {
  if (node.op !== 'compare' || (node.name !== 'eq' && node.name !== 'ne')) return node;
  const [left, right] = node.args[0].op === 'const' ? node.args.toReversed() : node.args;
  if (right?.op !== 'const' || left?.op !== 'binary' || left.name !== 'rem' || left.kind !== 'int')
    return node;
  const [of, by] = left.args;
  const { q, k, constant, others } = collect(of);
  if (q * k !== -1 || others.length > 0) return node;
  const rest = right.value as number;
  const further = furtherBy({ q, constant }, rest, by);
  if (further === undefined) return node;
  const divisor = by.op === 'const' ? int(Math.abs(by.value as number)) : unary('abs', by);
  const ofQuery = restOfQuery(divisor);
  const moved =
    further === 0 ? ofQuery : binary('rem', binary('add', ofQuery, int(further)), divisor);
  const isSame = compare(node.name, moved, binary('rem', index('k'), divisor));
  if (rest === 0) return isSame;
  const [less, more] = rest > 0 ? [int(0), of] : [of, int(0)];
  return node.name === 'eq'
    ? and(isSame, compare('lt', less, more))
    : or(isSame, compare('le', more, less));
}

/** From 0 on, as that of a key: the first of more queries than keys are at negative positions. */
const restOfQuery = (divisor: Expression): Expression =>
  binary('sub', index('q'), binary('mul', binary('floordiv', index('q'), divisor), divisor));

/** How much further on a query has the rest of the key; undefined where that is not known, or could leave int32. */
function furtherBy(
  { q, constant }: Pick<Linear, 'q' | 'constant'>,
  rest: number,
  by: Expression,
): number | undefined {
  if (by.op === 'const') {
    const divisor = Math.abs(by.value as number);
    if (divisor > 2 ** 30 || Math.abs(rest) >= divisor) return undefined;
    const distance = q * (constant - rest);
    return ((distance % divisor) + divisor) % divisor;
  }
  const isKnown = !['q', 'k', 'row'].some((name) => mentions(by, 'index', name));
  return isKnown && constant === 0 && rest === 0 ? 0 : undefined;
}
