// The one intermediate form: scalar expressions of masks and scores, as plain frozen data.
// Its meanings live elsewhere: evaluate.ts (numbers), interval.ts (intervals), print.ts (text).

import { createHash } from 'node:crypto';
import type { Span } from './diagnostic.ts';

export type Kind = 'int' | 'float' | 'bool';

/**
 * The numbers every expression may mention. `q` and `k` are positions among the keys
 * (`q = row + kLen - qLen`); `s` is the scaled logit, in scores only.
 */
export const indices = ['q', 'k', 'row', 'head', 'kvHead', 'batch', 'qLen', 'kLen', 's'] as const;
export type Index = (typeof indices)[number];

export const intBinary = ['add', 'sub', 'mul', 'floordiv', 'rem', 'min', 'max'] as const;
export const bitBinary = ['bitand', 'bitor', 'bitxor', 'shl', 'shr', 'ushr'] as const;
export const floatBinary = ['add', 'sub', 'mul', 'div', 'rem', 'min', 'max', 'pow'] as const;
export const comparisons = ['lt', 'le', 'eq', 'ne'] as const;
export const unaries = [
  'neg', 'bitnot', 'abs', 'sign', 'floor', 'ceil', 'trunc', 'fround',
  'exp', 'log', 'log2', 'sqrt', 'tanh', 'sin', 'cos',
] as const; // biome-ignore format: a table

export type Binary =
  | (typeof intBinary)[number]
  | (typeof bitBinary)[number]
  | (typeof floatBinary)[number];
export type Comparison = (typeof comparisons)[number];
export type Unary = (typeof unaries)[number];

/** What every node has. */
export interface Base {
  /** Where the author wrote it; no part of the meaning. */
  readonly span?: Span | undefined;
}

/**
 * A node. `kind` is the kind of its value; both sides of a `binary` have the kind of the node, both
 * sides of a `compare` have equal kinds ('int' against 'float' is widened by a `float` cast node).
 */
export type Expression = Base &
  (
    | { readonly op: 'const'; readonly kind: Kind; readonly value: number | boolean }
    | { readonly op: 'index'; readonly kind: 'int' | 'float'; readonly name: Index }
    | { readonly op: 'param'; readonly kind: 'int' | 'float'; readonly name: string }
    | { readonly op: 'at'; readonly kind: 'int' | 'float'; readonly tensor: string; readonly args: readonly Expression[] }
    | { readonly op: 'has'; readonly kind: 'bool'; readonly set: string; readonly args: readonly Expression[] }
    | { readonly op: 'unary'; readonly kind: 'int' | 'float'; readonly name: Unary; readonly args: readonly [Expression] }
    | { readonly op: 'binary'; readonly kind: 'int' | 'float'; readonly name: Binary; readonly args: readonly [Expression, Expression] }
    | { readonly op: 'compare'; readonly kind: 'bool'; readonly name: Comparison; readonly args: readonly [Expression, Expression] }
    | { readonly op: 'and' | 'or'; readonly kind: 'bool'; readonly args: readonly [Expression, Expression] }
    | { readonly op: 'not'; readonly kind: 'bool'; readonly args: readonly [Expression] }
    | { readonly op: 'float'; readonly kind: 'float'; readonly args: readonly [Expression] }
    | { readonly op: 'select'; readonly kind: Kind; readonly args: readonly [Expression, Expression, Expression] }
  ); // biome-ignore format: one node a line

const noArgs: readonly Expression[] = [];

export function children(node: Expression): readonly Expression[] {
  return 'args' in node ? node.args : noArgs;
}

/** The same node over other children, given in the order of `children`. */
export function withChildren(node: Expression, args: readonly Expression[]): Expression {
  return 'args' in node ? ({ ...node, args } as Expression) : node;
}

/** Rebuilds bottom-up: `change` sees each node after its children were rebuilt. */
export function rebuild(node: Expression, change: (node: Expression) => Expression): Expression {
  const before = children(node);
  const after = before.map((child) => rebuild(child, change));
  const same = after.every((child, i) => child === before[i]);
  return change(same ? node : withChildren(node, after));
}

/** Every node, parents before children. */
export function* walk(node: Expression): Generator<Expression> {
  yield node;
  for (const child of children(node)) yield* walk(child);
}

/** Does the expression mention an index, parameter, tensor or set of this name? */
export function mentions(
  node: Expression,
  op: 'index' | 'param' | 'at' | 'has',
  name?: string,
): boolean {
  for (const part of walk(node)) {
    if (part.op !== op) continue;
    if (name === undefined || nameOf(part) === name) return true;
  }
  return false;
}

function nameOf(node: Expression): string | undefined {
  if (node.op === 'at') return node.tensor;
  if (node.op === 'has') return node.set;
  return 'name' in node ? node.name : undefined;
}

// Constructors. They fold nothing: what the author wrote is what is shown; `specialise.ts` folds.

export const int = (value: number, span?: Span): Expression => ({
  op: 'const',
  kind: 'int',
  value,
  span,
});
export const real = (value: number, span?: Span): Expression => ({
  op: 'const',
  kind: 'float',
  value,
  span,
});
export const bool = (value: boolean, span?: Span): Expression => ({
  op: 'const',
  kind: 'bool',
  value,
  span,
});
export const index = (name: Index, span?: Span): Expression => ({
  op: 'index',
  kind: name === 's' ? 'float' : 'int',
  name,
  span,
});
export const param = (name: string, kind: 'int' | 'float', span?: Span): Expression => ({
  op: 'param',
  kind,
  name,
  span,
});
export const at = (
  tensor: string,
  kind: 'int' | 'float',
  args: readonly Expression[],
  span?: Span,
): Expression => ({ op: 'at', kind, tensor, args, span });
export const has = (set: string, args: readonly Expression[], span?: Span): Expression => ({
  op: 'has',
  kind: 'bool',
  set,
  args,
  span,
});
export const not = (a: Expression, span?: Span): Expression => ({
  op: 'not',
  kind: 'bool',
  args: [a],
  span,
});
export const and = (a: Expression, b: Expression, span?: Span): Expression => ({
  op: 'and',
  kind: 'bool',
  args: [a, b],
  span,
});
export const or = (a: Expression, b: Expression, span?: Span): Expression => ({
  op: 'or',
  kind: 'bool',
  args: [a, b],
  span,
});
export const select = (c: Expression, a: Expression, b: Expression, span?: Span): Expression => {
  const [x, y] = a.kind === b.kind ? [a, b] : [widen(a), widen(b)];
  return { op: 'select', kind: x.kind, args: [c, x, y], span };
};
/** An int as a float; a float stays as it is. */
export const widen = (a: Expression): Expression =>
  a.kind === 'int' ? { op: 'float', kind: 'float', args: [a], span: a.span } : a;

/** Unary operation; `floor`, `ceil`, `trunc` and `fround` give floats here: lowering drops them on ints. */
export function unary(name: Unary, a: Expression, span?: Span): Expression {
  const keepsInt = name === 'neg' || name === 'bitnot' || name === 'abs' || name === 'sign';
  const value = keepsInt ? a : widen(a);
  return { op: 'unary', kind: value.kind as 'int' | 'float', name, args: [value], span };
}

/** Binary operation on two ints, or on floats (ints are widened); `div` and `pow` always give floats. */
export function binary(name: Binary, a: Expression, b: Expression, span?: Span): Expression {
  const bothInt = a.kind === 'int' && b.kind === 'int' && name !== 'div' && name !== 'pow';
  const args: [Expression, Expression] = bothInt ? [a, b] : [widen(a), widen(b)];
  return { op: 'binary', kind: bothInt ? 'int' : 'float', name, args, span };
}

/** Comparison of two ints, two floats (ints are widened) or, for `eq` and `ne`, two bools. */
export function compare(name: Comparison, a: Expression, b: Expression, span?: Span): Expression {
  const args: [Expression, Expression] = a.kind === b.kind ? [a, b] : [widen(a), widen(b)];
  return { op: 'compare', kind: 'bool', name, args, span };
}

/** The operands of nested `and` or `or`, in order: how they are grouped is no part of the meaning. */
export function operands(node: Expression, op: 'and' | 'or'): Expression[] {
  return node.op === op ? node.args.flatMap((arg) => operands(arg, op)) : [node];
}

/** The conjunction or disjunction of so many: of none, what changes nothing. */
export function chain(op: 'and' | 'or', parts: readonly Expression[]): Expression {
  const [first = bool(op === 'and'), ...others] = parts;
  const join = op === 'and' ? and : or;
  return others.reduce((all, part) => join(all, part), first);
}

/** Text of the meaning alone (no spans, no names of the author's variables): equal text, equal expression. */
export function canonical(node: Expression): string {
  const args = children(node).map(canonical).join(',');
  switch (node.op) {
    case 'const':
      return `${node.kind}:${Object.is(node.value, -0) ? '-0' : String(node.value)}`;
    case 'index':
      return `$${node.name}`;
    case 'param':
      return `?${node.kind}:${node.name}`;
    case 'at':
      return `${node.tensor}.at:${node.kind}(${args})`;
    case 'has':
      return `${node.set}.has(${args})`;
    case 'unary':
    case 'binary':
      return `${node.name}:${node.kind}(${args})`;
    case 'compare':
      return `${node.name}(${args})`;
    case 'and':
    case 'or':
      return `${node.op}(${operands(node, node.op).map(canonical).join(',')})`;
    default:
      return `${node.op}(${args})`;
  }
}

export const equal = (a: Expression, b: Expression): boolean => canonical(a) === canonical(b);

/** 16 hex digits that name the meaning of an expression. */
export const fingerprint = (node: Expression): string =>
  createHash('sha256').update(canonical(node)).digest('hex').slice(0, 16);
