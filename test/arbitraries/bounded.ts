// Keeps random expressions honest: integers within int32, scores finite. An operation that could leave
// its limits becomes a smaller one with the same children. Judged by the intervals of the analysis.

import { type Bounds, bounds, intervalOf, maybe } from '../../dsl/analysis/interval.ts';
import type { Declarations } from '../../dsl/declarations.ts';
import * as x from '../../dsl/expression.ts';

type Expression = x.Expression;

/** Magnitudes that a random expression is built for. */
export interface Limits {
  /** Of q, k, lengths and heads, and of parameters without a bound of their own. */
  readonly position: number;
  /** Of the values of captured tensors. */
  readonly loaded: number;
  /** Of the logit `s`. */
  readonly logit: number;
  /** Of every integer; half of int32, so that a difference of two is an int32 too. */
  readonly int: number;
  /** Of every float. */
  readonly score: number;
}

export const usualLimits: Limits = {
  position: 4096,
  loaded: 1024,
  logit: 64,
  int: 2 ** 30,
  score: 2 ** 16,
};

/** The expression with every part inside the limits. */
export function bounded(
  root: Expression,
  { params = {} }: Partial<Declarations>,
  limits: Limits,
): Expression {
  const within = (most: number): Bounds => bounds(-most, most);
  const env = {
    index: (name: x.Index) => within(name === 's' ? limits.logit : limits.position),
    difference: within(2 * limits.position),
    param: (name: string) => {
      const { lo, hi } = params[name]!;
      return bounds(Math.max(lo, -limits.position), Math.min(hi, limits.position));
    },
    at: () => within(limits.loaded),
    has: () => maybe,
  };
  const fits = (node: Expression): boolean => {
    const { lo, hi, nan } = intervalOf(node, env);
    const most = node.kind === 'int' ? limits.int : limits.score;
    return lo >= -most && hi <= most && !nan;
  };
  return x.rebuild(root, (node) => {
    if (node.kind === 'bool' || fits(node)) return node;
    return smaller(node).find(fits) ?? (node.kind === 'int' ? x.int(1) : x.real(1));
  });
}

/** What a node may be replaced with, best first. */
function smaller(node: Expression): Expression[] {
  const args = x.children(node);
  const [a, b] = args as [Expression, Expression];
  const notNegative = (part: Expression) => x.binary('max', part, x.int(0));
  if (node.op === 'float') return [x.widen(x.binary('rem', a, x.int(97)))];
  if (node.op !== 'binary') return [...args];
  switch (node.name) {
    case 'bitand':
    case 'bitor':
    case 'bitxor':
      return [x.binary(node.name, notNegative(a), notNegative(b)), a];
    case 'ushr':
      return [x.binary('ushr', notNegative(a), b), a];
    case 'mul':
      return [x.binary('mul', a, x.int(3)), x.binary('min', a, b)];
    case 'add':
    case 'sub':
      return [x.binary('min', a, b)];
    default:
      return [a];
  }
}
