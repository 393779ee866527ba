// What two wordings of one function have in common: numbers with constants folded and operands in
// order, and conditions as a truth table over their comparisons. Only to compare; nobody runs it.

import { applyBinary, applyComparison, applyUnary } from '../evaluate.ts';
import {
  bool,
  canonical,
  children,
  compare,
  type Expression,
  int,
  not,
  real,
  rebuild,
  select,
} from '../expression.ts';

/** More comparisons than this are left to points: the table doubles with each. */
const atomLimit = 12;

/**
 * Are the two one function, whatever a minifier made of `if`, `?:`, `&&`, `||` and `!`? A yes is
 * certain; after a no they may be equal all the same, as `k < 4 && k < 5` is `k < 4`.
 */
export function isSameLogic(a: Expression, b: Expression): boolean {
  const [x, y] = [normal(a), normal(b)];
  if (canonical(x) === canonical(y)) return true;
  if (x.kind !== 'bool' || y.kind !== 'bool') return false;
  const atoms = new Set<string>();
  collectAtoms(x, atoms);
  collectAtoms(y, atoms);
  if (atoms.size > atomLimit) return false;
  const names = [...atoms];
  for (let row = 0; row < 1 << names.length; row++) {
    const truth = new Map(names.map((name, i) => [name, ((row >> i) & 1) === 1]));
    if (holds(x, truth) !== holds(y, truth)) return false;
  }
  return true;
}

const isConnective = (node: Expression): boolean =>
  node.op === 'and' ||
  node.op === 'or' ||
  node.op === 'not' ||
  node.op === 'select' ||
  isBoolEquality(node);

const isBoolEquality = (node: Expression): boolean =>
  node.op === 'compare' && node.args[0].kind === 'bool';

function collectAtoms(node: Expression, atoms: Set<string>): void {
  if (isConnective(node)) for (const child of children(node)) collectAtoms(child, atoms);
  else if (node.op !== 'const') atoms.add(canonical(node));
}

function holds(node: Expression, truth: ReadonlyMap<string, boolean>): boolean {
  const of = (part: Expression): boolean => holds(part, truth);
  switch (node.op) {
    case 'const':
      return node.value === true;
    case 'not':
      return !of(node.args[0]);
    case 'and':
      return of(node.args[0]) && of(node.args[1]);
    case 'or':
      return of(node.args[0]) || of(node.args[1]);
    case 'select':
      return of(node.args[of(node.args[0]) ? 1 : 2]);
    case 'compare':
      if (!isBoolEquality(node)) return truth.get(canonical(node))!;
      return (of(node.args[0]) === of(node.args[1])) === (node.name === 'eq');
    default:
      return truth.get(canonical(node))!;
  }
}

/** The numbers of an expression in one wording: folded, ordered, each comparison in one direction. */
export const normal = (node: Expression): Expression => rebuild(node, step);

const isConst = (node: Expression): node is Expression & { op: 'const' } => node.op === 'const';

/** One node over children that are normal already. */
function step(node: Expression): Expression {
  const args = children(node);
  if (args.length > 0 && args.every(isConst)) return fold(node, args);
  switch (node.op) {
    case 'not':
      return negate(node.args[0]);
    case 'and':
    case 'or':
      return junction(node);
    case 'select':
      return choose(node);
    case 'compare':
      return oneDirection(node);
    case 'binary': {
      const [a, b] = node.args;
      if (!commutes.has(node.name) || canonical(a) <= canonical(b)) return node;
      return { ...node, args: [b, a] };
    }
    default:
      return node;
  }
}

const commutes: ReadonlySet<string> = new Set([
  'add',
  'mul',
  'min',
  'max',
  'bitand',
  'bitor',
  'bitxor',
]);

function fold(node: Expression, args: readonly (Expression & { op: 'const' })[]): Expression {
  const [a, b] = args.map((arg) => arg.value) as [number, number];
  switch (node.op) {
    case 'unary':
      return constant(node, applyUnary(node.name, a));
    case 'binary':
      return constant(node, applyBinary(node.name, a, b));
    case 'compare':
      return bool(applyComparison(node.name, a, b));
    case 'float':
      return real(a);
    case 'not':
      return bool(!a);
    case 'and':
      return bool(Boolean(a) && Boolean(b));
    case 'or':
      return bool(Boolean(a) || Boolean(b));
    case 'select':
      return args[a ? 1 : 2]!;
    default:
      return node;
  }
}

const constant = (node: Expression, value: number): Expression =>
  node.kind === 'int' ? int(value + 0) : real(value);

function junction(node: Expression & { op: 'and' | 'or' }): Expression {
  const [a, b] = node.args;
  const neutral = node.op === 'and';
  if (isConst(a)) return a.value === neutral ? b : a;
  if (isConst(b)) return b.value === neutral ? a : b;
  return canonical(a) === canonical(b) ? a : node;
}

function negate(node: Expression): Expression {
  return node.op === 'not' ? node.args[0] : not(node);
}

/** Of c ? a : b and !c ? b : a, the one without the `!`. */
function choose(node: Expression & { op: 'select' }): Expression {
  const [condition, yes, no] = node.args;
  if (isConst(condition)) return condition.value ? yes : no;
  if (canonical(yes) === canonical(no)) return yes;
  return condition.op === 'not' ? select(condition.args[0], no, yes) : node;
}

/** `eq` in the order of its texts, `ne` as its opposite, and `a <= b` of integers as `!(b < a)`. */
function oneDirection(node: Expression & { op: 'compare' }): Expression {
  const [a, b] = node.args;
  if (node.name === 'le' && a.kind === 'int') return not(compare('lt', b, a));
  if (node.name === 'le' || node.name === 'lt') return node;
  const sides = canonical(a) <= canonical(b) ? ([a, b] as const) : ([b, a] as const);
  const equality = compare('eq', ...sides);
  return node.name === 'eq' ? equality : not(equality);
}
