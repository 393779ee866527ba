// A normal form that forgets what transforms change: folded constants, swapped operands, `if` turned
// into && and ||. Only to compare two expressions of one function; nobody runs or prints it.

import { applyBinary, applyComparison, applyUnary } from '../evaluate.ts';
import {
  and,
  bool,
  canonical,
  children,
  compare,
  type Expression,
  int,
  not,
  or,
  real,
  rebuild,
} from '../expression.ts';

/** Equal normal forms are equal functions; unequal ones may be equal all the same. */
export const normal = (node: Expression): Expression => rebuild(node, step);

/** One node over children that are normal already. */
function step(node: Expression): Expression {
  const folded = fold(node);
  switch (folded.op) {
    case 'not':
      return negate(folded.args[0]);
    case 'select':
      return chooseByLogic(folded);
    case 'and':
    case 'or':
      return junction(folded.op, folded.args);
    case 'compare':
    case 'binary':
      return ordered(folded);
    default:
      return folded;
  }
}

const isConst = (node: Expression): node is Expression & { op: 'const' } => node.op === 'const';
const is = (node: Expression, value: boolean): boolean => isConst(node) && node.value === value;

function fold(node: Expression): Expression {
  const args = children(node);
  if (args.length === 0 || !args.every(isConst)) return node;
  const [a, b] = args.map((arg) => arg.value) as [number, number];
  switch (node.op) {
    case 'unary':
      return number(node, applyUnary(node.name, a));
    case 'binary':
      return number(node, applyBinary(node.name, a, b));
    case 'compare':
      return bool(applyComparison(node.name, a, b));
    case 'float':
      return real(a);
    default:
      return node;
  }
}

const number = (node: Expression, value: number): Expression =>
  node.kind === 'int' ? int(value) : real(value);

/** The opposite, pushed down to the comparisons. */
function negate(node: Expression): Expression {
  switch (node.op) {
    case 'const':
      return bool(!node.value);
    case 'not':
      return node.args[0];
    case 'and':
    case 'or': {
      const other = node.op === 'and' ? 'or' : 'and';
      return junction(other, [negate(node.args[0]), negate(node.args[1])]);
    }
    case 'compare': {
      const [a, b] = node.args;
      if (node.name === 'eq') return ordered(compare('ne', a, b));
      if (node.name === 'ne') return ordered(compare('eq', a, b));
      // !(a < b) is b <= a, except for NaN.
      if (a.kind === 'int') return compare(node.name === 'lt' ? 'le' : 'lt', b, a);
      return not(node);
    }
    default:
      return not(node);
  }
}

function chooseByLogic(node: Expression & { op: 'select' }): Expression {
  const [condition, yes, no] = node.args;
  if (isConst(condition)) return condition.value ? yes : no;
  if (canonical(yes) === canonical(no)) return yes;
  if (node.kind !== 'bool') {
    // Of c ? a : b and !c ? b : a, the one that reads first.
    const opposite = negate(condition);
    if (canonical(opposite) >= canonical(condition)) return node;
    return { ...node, args: [opposite, no, yes] };
  }
  // c ? a : b is (c && a) || (!c && b); with a constant arm one half goes away.
  return junction('or', [
    junction('and', [condition, yes]),
    junction('and', [negate(condition), no]),
  ]);
}

/** A chain of && or ||, its terms sorted and each only once: masks are pure, so order means nothing. */
function junction(op: 'and' | 'or', args: readonly Expression[]): Expression {
  const neutral = op === 'and';
  const terms = new Map<string, Expression>();
  for (const term of args.flatMap((arg) => termsOf(op, arg))) {
    if (is(term, !neutral)) return bool(!neutral);
    if (!is(term, neutral)) terms.set(canonical(term), term);
  }
  for (const term of [...terms.values()]) {
    // c || (!c && a) is c || a: what a ternary with a constant arm comes to.
    const opposite = canonical(negate(term));
    if (terms.has(opposite)) return bool(!neutral);
    for (const [key, other] of terms) {
      if (other.op !== (op === 'and' ? 'or' : 'and')) continue;
      const parts = termsOf(other.op, other);
      const kept = parts.filter((part) => canonical(part) !== opposite);
      if (kept.length === parts.length) continue;
      terms.delete(key);
      const shorter = junction(other.op, kept);
      terms.set(canonical(shorter), shorter);
    }
  }
  const sorted = [...terms].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, term]) => term);
  const join = op === 'and' ? and : or;
  return sorted.length === 0 ? bool(neutral) : sorted.reduceRight((rest, term) => join(term, rest));
}

const termsOf = (op: 'and' | 'or', node: Expression): readonly Expression[] =>
  node.op === op ? node.args.flatMap((arg) => termsOf(op, arg)) : [node];

const commutes = new Set<string>([
  'add',
  'mul',
  'min',
  'max',
  'bitand',
  'bitor',
  'bitxor',
  'eq',
  'ne',
]);

function ordered(node: Expression): Expression {
  if (node.op !== 'binary' && node.op !== 'compare') return node;
  const [a, b] = node.args;
  if (node.op === 'compare' && a.kind === 'bool') {
    // c === true is c, c === false is !c.
    const [known, other] = isConst(a) ? [a, b] : [b, a];
    if (isConst(known))
      return (known.value === true) === (node.name === 'eq') ? other : negate(other);
  }
  if (!commutes.has(node.name) || canonical(a) <= canonical(b)) return node;
  return { ...node, args: [b, a] } as Expression;
}
