// What a piece of syntax stands for while a function is lowered, and the kinds that it must have.
// The rules of each syntax are in expressions.ts, statements.ts, calls.ts and names.ts.

import type { Declarations, Liftable } from '../declarations.ts';
import { type Code, type Diagnostic, diagnostic, type Note, type Span } from '../diagnostic.ts';
import { type Expression, param } from '../expression.ts';
import { type FunctionNode, spanOf, type Ts } from './syntax.ts';

/** Mostly numbers; the others exist only until they are called or a field of them is taken. */
export type Value =
  | { readonly is: 'scalar'; readonly expression: Expression }
  | { readonly is: 'pair' }
  | { readonly is: 'given' }
  | { readonly is: 'tensor'; readonly name: string }
  | { readonly is: 'set'; readonly name: string }
  | { readonly is: 'function'; readonly node: FunctionNode; readonly scope: Scope }
  /** A constant object, an enum, a module, `Number`, `Math`. */
  | {
      readonly is: 'object';
      readonly what: string;
      member(context: Context, name: string, use: Ts.Node): Value;
    }
  | { readonly is: 'math'; readonly name: string }
  /**
   * Nothing is known: an error was reported, or a running function uses a name that its file does
   * not have. It fits everywhere, so that one mistake is one diagnostic.
   */
  | {
      readonly is: 'unknown';
      readonly name: string;
      member?(context: Context, name: string, use: Ts.Node): Value;
    };

/** Where names go that the function itself does not declare. */
export interface Root {
  resolve(context: Context, name: string, use: Ts.Node): Value;
}

/** The names of one function or block; a helper starts a new chain under its own file. */
export class Scope {
  readonly names = new Map<string, Value>();
  readonly root: Root;
  readonly parent: Scope | undefined;

  constructor(root: Root, parent?: Scope) {
    this.root = root;
    this.parent = parent;
  }

  /** What the name means here; undefined is left to the root. */
  find(name: string): Value | undefined {
    return this.names.get(name) ?? this.parent?.find(name);
  }

  inner(): Scope {
    return new Scope(this.root, this);
  }
}

interface Rest {
  readonly help?: string;
  readonly notes?: readonly Note[];
}

/** What one lowering shares: the request, the findings, and the way back into `lowerExpression`. */
export class Context {
  readonly step: Liftable['step'];
  readonly pattern: string;
  readonly declarations: Declarations;
  readonly findings: Diagnostic[];
  /** Functions and constants that are being lowered just now: meeting one again is recursion. */
  readonly active: Set<Ts.Node>;
  /** Constants and the like that were lowered already. */
  readonly known: Map<Ts.Node, Value>;
  /** The value of any expression; set by lower.ts, so that the files below need no cycle. */
  readonly value: (node: Ts.Expression, scope: Scope) => Value;

  constructor(
    request: Pick<Liftable, 'step' | 'pattern' | 'declarations'>,
    value: (context: Context, node: Ts.Expression, scope: Scope) => Value,
    outer?: Context,
  ) {
    this.step = request.step;
    this.pattern = request.pattern;
    this.declarations = request.declarations;
    this.findings = [];
    this.active = outer?.active ?? new Set();
    this.known = outer?.known ?? new Map();
    this.value = (node, scope) => value(this, node, scope);
    this.quiet = () => new Context(request, value, this);
  }

  /** The same lowering with findings of its own. */
  readonly quiet: () => Context;

  /** Reports, and gives the placeholder to go on with. */
  fail(code: Code, what: string, node: Ts.Node, rest: Rest = {}): Value {
    this.report(diagnostic(code, what, { ...rest, span: spanOf(node) }));
    return unknown('');
  }

  /** Adds a finding, once per code and place: a helper may be called many times. */
  report(finding: Diagnostic): void {
    const isSame = (one: Diagnostic): boolean =>
      one.code === finding.code && sameSpan(one.span, finding.span);
    if (!this.findings.some(isSame)) this.findings.push(finding);
  }

  scalar(node: Ts.Expression, scope: Scope): Expression {
    return toScalar(this, this.value(node, scope), node);
  }

  boolean(node: Ts.Expression, scope: Scope): Expression {
    return needBoolean(this, this.scalar(node, scope), node);
  }

  number(node: Ts.Expression, scope: Scope): Expression {
    return needNumber(this, this.scalar(node, scope), node);
  }

  int(node: Ts.Expression, scope: Scope, use: string): Expression {
    return needInt(this, this.number(node, scope), node, use);
  }
}

const sameSpan = (a: Span | undefined, b: Span | undefined): boolean =>
  a?.start === b?.start && a?.end === b?.end && a?.source.path === b?.source.path;

export const scalar = (expression: Expression): Value => ({ is: 'scalar', expression });
export const unknown = (name: string): Value & { is: 'unknown' } => ({ is: 'unknown', name });

// A hole is the scalar of an unknown value: a parameter with a name that nobody can declare.
const mark = '\u0000';

export const hole = (name: string, span?: Span): Expression => param(mark + name, 'int', span);

export const isHole = (node: Expression): boolean =>
  node.op === 'param' && node.name.startsWith(mark);

/** A number or boolean; anything else is said to be none. */
export function toScalar(context: Context, value: Value, node: Ts.Node): Expression {
  if (value.is === 'scalar') return value.expression;
  if (value.is !== 'unknown') {
    context.fail('L016', `${describe(value)} is not a number`, node, { help: howToUse(value) });
  }
  return hole(value.is === 'unknown' ? value.name : '', spanOf(node));
}

export function describe(value: Value): string {
  switch (value.is) {
    case 'scalar':
      return value.expression.kind === 'bool' ? 'a boolean' : 'a number';
    case 'pair':
      return 'the pair';
    case 'given':
      return 'the object of declared names';
    case 'tensor':
      return `the tensor '${value.name}'`;
    case 'set':
      return `the set '${value.name}'`;
    case 'function':
      return 'a function';
    case 'object':
      return `'${value.what}'`;
    case 'math':
      return `'Math.${value.name}'`;
    case 'unknown':
      return `'${value.name}'`;
  }
}

function howToUse(value: Value): string {
  switch (value.is) {
    case 'pair':
      return 'take its fields: ({ q, k }) => ...';
    case 'given':
      return 'take its fields: (pair, { window }) => ...';
    case 'tensor':
      return `write ${value.name}.at(...)`;
    case 'set':
      return `write ${value.name}.has(...)`;
    case 'function':
    case 'math':
      return 'call it';
    default:
      return 'take a field of it';
  }
}

/** A hole takes the kind that its place asks for. */
const asBool = (node: Expression): Expression => ({ ...node, kind: 'bool' }) as Expression;

export function needBoolean(context: Context, value: Expression, node: Ts.Node): Expression {
  if (value.kind === 'bool') return value;
  if (isHole(value)) return asBool(value);
  context.fail('L016', 'a number where a boolean is needed', node, {
    help: `compare it: ${brief(node)} !== 0`,
  });
  return asBool(hole('', value.span));
}

export function needNumber(context: Context, value: Expression, node: Ts.Node): Expression {
  if (value.kind !== 'bool') return value;
  const chained = value.op === 'compare' ? 'a < b < c is written a < b && b < c; ' : '';
  context.fail('L016', 'a boolean where a number is needed', node, {
    help: `${chained}a number from a condition is written c ? 1 : 0`,
  });
  return hole('', value.span);
}

export function needInt(
  context: Context,
  value: Expression,
  node: Ts.Node,
  use: string,
): Expression {
  if (value.kind === 'int') return value;
  context.fail('L016', `${use} must be an integer, and this is a float`, node, {
    help:
      value.op === 'binary' && value.name === 'div'
        ? 'write Math.floor(a / b)'
        : 'use integers: q, k, a parameter from z.int(), an i32 tensor',
  });
  return hole('', value.span);
}

/** The text of a node, if it is short enough to be quoted in a sentence. */
export function brief(node: Ts.Node): string {
  const text = node.getText().replace(/\s+/g, ' ');
  return text.length <= 40 ? text : 'x';
}
