// What an expression must keep so that every device agrees on it: no float arithmetic in masks, floats
// that float32 has, divisors that cannot be zero. Works on expressions, after lowering.

import type { ParamDeclaration } from '../declarations.ts';
import { type Code, diagnostic } from '../diagnostic.ts';
import { applyBinary, applyUnary } from '../evaluate.ts';
import { children, type Expression, real, rebuild, walk } from '../expression.ts';
import { type Context, isHole } from './value.ts';

/** The mask with its constant floats folded, as JavaScript folds them; reports what breaks a rule. */
export function checkMask(context: Context, mask: Expression): Expression {
  const folded = rebuild(mask, foldFloat);
  checkDivisors(context, folded);
  for (const node of walk(folded)) {
    if (node.op === 'const' && node.kind === 'float') checkLiteral(context, node);
    else if (isFloatArithmetic(node)) refuseArithmetic(context, node);
  }
  return folded;
}

/** A score may compute with floats; its integer divisions must be sound all the same. */
export function checkScore(context: Context, score: Expression): Expression {
  checkDivisors(context, score);
  return score;
}

function report(context: Context, code: Code, what: string, node: Expression, help: string): void {
  context.report(diagnostic(code, what, { help, span: node.span }));
}

/** `0.5 * 3` is one number before it reaches a device, so it may be compared like any other. */
function foldFloat(node: Expression): Expression {
  if (node.kind !== 'float' || node.op === 'const') return node;
  const [a, b] = children(node).map(constantOf);
  if (a === undefined) return node;
  if (node.op === 'unary') return real(applyUnary(node.name, a), node.span);
  if (node.op === 'binary' && b !== undefined) return real(applyBinary(node.name, a, b), node.span);
  return node;
}

/** The number of a literal, also of an integer that stands beside a float. */
function constantOf(node: Expression): number | undefined {
  if (node.op === 'const') return node.value as number;
  return node.op === 'float' ? constantOf(node.args[0]) : undefined;
}

function checkLiteral(context: Context, node: Expression & { op: 'const' }): void {
  const value = node.value as number;
  if (Object.is(Math.fround(value), value)) return;
  report(
    context,
    'L014',
    `${value} is not a float32 number, so devices would compare with another one`,
    node,
    `write Math.fround(${value}), or a number like 0.5`,
  );
}

/** Floats of a mask are loaded, passed in, chosen, negated, min/max'ed and rounded: all exact. */
function isFloatArithmetic(node: Expression): boolean {
  if (node.kind !== 'float') return false;
  if (node.op === 'binary') return node.name !== 'min' && node.name !== 'max';
  return node.op === 'unary' && node.name !== 'neg' && node.name !== 'fround';
}

function refuseArithmetic(context: Context, node: Expression): void {
  // Of nested arithmetic the innermost is the cause.
  if (children(node).some((child) => isHole(child) || isFloatArithmetic(child))) return;
  const isQuotient = node.op === 'binary' && node.name === 'div';
  const ofInts = isQuotient && node.args.every((arg) => arg.op === 'float');
  report(
    context,
    'L013',
    'arithmetic on floats rounds, and a mask must be exact',
    node,
    ofInts
      ? 'write Math.floor(a / b)'
      : 'move it to .score, or compute with integers and compare them',
  );
}

function checkDivisors(context: Context, root: Expression): void {
  for (const node of walk(root)) {
    if (node.op !== 'binary' || node.kind !== 'int') continue;
    if (node.name !== 'floordiv' && node.name !== 'rem') continue;
    const divisor = node.args[1];
    if (isHole(divisor)) continue;
    const { lo, hi } = range(divisor, context.declarations.params);
    if (lo > 0 || hi < 0) continue;
    const name = divisor.op === 'param' ? divisor.name : undefined;
    report(
      context,
      'L015',
      lo === 0 && hi === 0 ? 'a division by zero' : 'the divisor may be zero',
      divisor.span ? divisor : node,
      name
        ? `give the parameter a lower bound: pattern('${context.pattern}', { ${name}: z.int().min(1) })`
        : 'divide by a parameter with a lower bound, z.int().min(1), or write Math.max(1, x)',
    );
  }
}

interface Range {
  readonly lo: number;
  readonly hi: number;
}

const everything: Range = { lo: -Infinity, hi: Infinity };

/** Where an integer lies by its declarations alone; queries may be at any position, also before the first key. */
function range(node: Expression, params: Readonly<Record<string, ParamDeclaration>>): Range {
  const of = (part: Expression): Range => range(part, params);
  switch (node.op) {
    case 'const':
      return { lo: node.value as number, hi: node.value as number };
    case 'param':
      return params[node.name] ?? everything;
    case 'index':
      return node.name === 'q' || node.name === 's' ? everything : { lo: 0, hi: Infinity };
    case 'select': {
      const [a, b] = [of(node.args[1]), of(node.args[2])];
      return { lo: Math.min(a.lo, b.lo), hi: Math.max(a.hi, b.hi) };
    }
    case 'unary': {
      const a = of(node.args[0]);
      if (node.name === 'neg') return { lo: -a.hi, hi: -a.lo };
      if (node.name !== 'abs') return everything;
      const straddles = a.lo <= 0 && a.hi >= 0;
      const [x, y] = [Math.abs(a.lo), Math.abs(a.hi)];
      return { lo: straddles ? 0 : Math.min(x, y), hi: Math.max(x, y) };
    }
    case 'binary':
      return combine(node.name, of(node.args[0]), of(node.args[1]));
    default:
      return everything;
  }
}

function combine(name: string, a: Range, b: Range): Range {
  switch (name) {
    case 'add':
      return { lo: a.lo + b.lo, hi: a.hi + b.hi };
    case 'sub':
      return { lo: a.lo - b.hi, hi: a.hi - b.lo };
    case 'min':
      return { lo: Math.min(a.lo, b.lo), hi: Math.min(a.hi, b.hi) };
    case 'max':
      return { lo: Math.max(a.lo, b.lo), hi: Math.max(a.hi, b.hi) };
    case 'mul': {
      // 0 * Infinity is 0 here: the factor is a finite number, however large.
      const times = (x: number, y: number): number => (x === 0 || y === 0 ? 0 : x * y);
      const ends = [times(a.lo, b.lo), times(a.lo, b.hi), times(a.hi, b.lo), times(a.hi, b.hi)];
      return { lo: Math.min(...ends), hi: Math.max(...ends) };
    }
    case 'shl':
      // 1 << n with n in 0..30 stays positive; other shifts may lose the bits that were set.
      return a.lo === 1 && a.hi === 1 && b.lo >= 0 && b.hi <= 30
        ? { lo: 2 ** b.lo, hi: 2 ** b.hi }
        : everything;
    default:
      return everything;
  }
}
