// A specialised mask as a formula in negation normal form: linear constraints, opaque atoms, and, or.
// Comparisons of sums become `a*q + b*k + c <= 0`; min, max, abs and select are split into those.

import { and, binary, compare, type Expression, int, not, or, unary } from '../expression.ts';
import { collect } from './linear.ts';

export type Formula =
  | { readonly op: 'true' }
  | { readonly op: 'false' }
  /** `q*Q + k*K + constant <= 0` with (q, k) one of (+-1, 0), (0, +-1), (1, -1), (-1, 1). */
  | { readonly op: 'linear'; readonly q: number; readonly k: number; readonly constant: number }
  /** A bool that only intervals can judge: `expression`, negated already where it has to be. */
  | { readonly op: 'atom'; readonly expression: Expression }
  | { readonly op: 'and' | 'or'; readonly parts: readonly Formula[] };

const yes: Formula = { op: 'true' };
const no: Formula = { op: 'false' };

/** The formula of a bool, or of its negation. */
export function formulaOf(node: Expression, negated = false): Formula {
  switch (node.op) {
    case 'const':
      return node.value === negated ? no : yes;
    case 'not':
      return formulaOf(node.args[0], !negated);
    case 'and':
    case 'or':
      return join(
        (node.op === 'and') === negated ? 'or' : 'and',
        node.args.map((arg) => formulaOf(arg, negated)),
      );
    case 'select': {
      const [c, a, b] = node.args;
      return formulaOf(or(and(c, a), and(not(c), b)), negated);
    }
    case 'compare':
      return comparison(node, negated);
    default:
      return atom(node, negated);
  }
}

const atom = (node: Expression, negated: boolean): Formula => ({
  op: 'atom',
  expression: negated ? not(node) : node,
});

/** Flattens nested parts of one kind and drops what decides nothing. */
export function join(op: 'and' | 'or', parts: readonly Formula[]): Formula {
  const [neutral, decisive] =
    op === 'and' ? (['true', 'false'] as const) : (['false', 'true'] as const);
  const flat = parts
    .flatMap((part) => (part.op === op ? part.parts : [part]))
    .filter((part) => part.op !== neutral);
  if (flat.some((part) => part.op === decisive)) return { op: decisive };
  if (flat.length === 0) return { op: neutral };
  return flat.length === 1 ? flat[0]! : { op, parts: flat };
}

function comparison(node: Expression & { op: 'compare' }, negated: boolean): Formula {
  const [a, b] = node.args;
  if (a.kind === 'bool') {
    const same = or(and(a, b), and(not(a), not(b)));
    return formulaOf(same, (node.name === 'ne') !== negated);
  }
  if (a.kind !== 'int' || b.kind !== 'int') return atom(node, negated);
  // All integer comparisons through `<=`:  a < b  <=>  a + 1 <= b;  a === b  <=>  a <= b and b <= a.
  switch (node.name) {
    case 'lt':
      return negated ? atMost(b, a, 0) : atMost(a, b, 1);
    case 'le':
      return negated ? atMost(b, a, 1) : atMost(a, b, 0);
    default: {
      const different = (node.name === 'ne') !== negated;
      if (!splits(a) && !splits(b) && !isLinear(a, b)) return atom(node, negated);
      return different
        ? join('or', [atMost(a, b, 1), atMost(b, a, 1)])
        : join('and', [atMost(a, b, 0), atMost(b, a, 0)]);
    }
  }
}

const splits = (node: Expression): boolean =>
  node.op === 'select' ||
  (node.op === 'unary' && node.name === 'abs') ||
  (node.op === 'binary' && (node.name === 'min' || node.name === 'max'));

const isLinear = (a: Expression, b: Expression): boolean =>
  collect(binary('sub', a, b)).others.length === 0;

/** `a + gap <= b`. */
function atMost(a: Expression, b: Expression, gap: number): Formula {
  // |x| + g <= b  <=>  x + g <= b and -x + g <= b;  max(x, y) likewise;  min(x, y) with or. Dually on the right.
  if (a.op === 'unary' && a.name === 'abs') {
    return join('and', [atMost(a.args[0], b, gap), atMost(unary('neg', a.args[0]), b, gap)]);
  }
  if (b.op === 'unary' && b.name === 'abs') {
    return join('or', [atMost(a, b.args[0], gap), atMost(a, unary('neg', b.args[0]), gap)]);
  }
  if (a.op === 'binary' && (a.name === 'max' || a.name === 'min')) {
    return join(
      a.name === 'max' ? 'and' : 'or',
      a.args.map((arg) => atMost(arg, b, gap)),
    );
  }
  if (b.op === 'binary' && (b.name === 'max' || b.name === 'min')) {
    return join(
      b.name === 'min' ? 'and' : 'or',
      b.args.map((arg) => atMost(a, arg, gap)),
    );
  }
  if (a.op === 'select') return choose(a, (arm) => atMost(arm, b, gap));
  if (b.op === 'select') return choose(b, (arm) => atMost(a, arm, gap));

  const { q, k, constant, others } = collect(binary('sub', a, b));
  if (others.length === 0) {
    const c = constant + gap;
    if (q === 0 && k === 0) return c <= 0 ? yes : no;
    const scale = q === 0 ? Math.abs(k) : Math.abs(q);
    // n*x + c <= 0  <=>  x <= floor(-c / n), for integers.
    if (q === 0 || k === 0 || q === -k)
      return { op: 'linear', q: Math.sign(q), k: Math.sign(k), constant: -Math.floor(-c / scale) };
  }
  return { op: 'atom', expression: compare('le', gap === 0 ? a : binary('add', a, int(gap)), b) };
}

function choose(node: Expression & { op: 'select' }, arm: (value: Expression) => Formula): Formula {
  const [c, x, y] = node.args;
  return join('or', [
    join('and', [formulaOf(c), arm(x)]),
    join('and', [formulaOf(c, true), arm(y)]),
  ]);
}

/** Is every atom of the formula linear? */
export function isPurelyLinear(formula: Formula): boolean {
  if (formula.op === 'atom') return false;
  return formula.op === 'and' || formula.op === 'or' ? formula.parts.every(isPurelyLinear) : true;
}

/** The opaque atoms of a formula. */
export function atomsOf(formula: Formula): Expression[] {
  if (formula.op === 'atom') return [formula.expression];
  return formula.op === 'and' || formula.op === 'or' ? formula.parts.flatMap(atomsOf) : [];
}
