// The meaning of an expression on numbers: a plain walk, the definition that the others are held to.
// It is not fast; the CPU device compiles the same expressions (runtime/cpu/mask.ts).

import type { Binary, Comparison, Expression, Index, Unary } from './expression.ts';

/** What the names of an expression stand for at one (query, key) pair. */
export interface Environment {
  readonly index: Readonly<Record<Index, number>>;
  readonly params: Readonly<Record<string, number>>;
  /** A captured tensor's value; 0 outside the tensor. */
  at(tensor: string, indices: readonly number[]): number;
  /** Is it a member of the chosen set; false outside the set's domain. */
  has(set: string, indices: readonly number[]): boolean;
}

export function evaluate(node: Expression, env: Environment): number | boolean {
  const number = (part: Expression): number => evaluate(part, env) as number;
  switch (node.op) {
    case 'const':
      return node.value;
    case 'index':
      return env.index[node.name];
    case 'param':
      return env.params[node.name]!;
    case 'at':
      return env.at(node.tensor, node.args.map(number));
    case 'has':
      return env.has(node.set, node.args.map(number));
    case 'unary':
      return applyUnary(node.name, number(node.args[0]));
    case 'binary':
      return applyBinary(node.name, number(node.args[0]), number(node.args[1]));
    case 'compare':
      return applyComparison(node.name, number(node.args[0]), number(node.args[1]));
    case 'and':
      return evaluate(node.args[0], env) && evaluate(node.args[1], env);
    case 'or':
      return evaluate(node.args[0], env) || evaluate(node.args[1], env);
    case 'not':
      return !evaluate(node.args[0], env);
    case 'float':
      return number(node.args[0]);
    case 'select':
      return evaluate(node.args[evaluate(node.args[0], env) ? 1 : 2], env);
  }
}

export function applyUnary(name: Unary, a: number): number {
  switch (name) {
    case 'neg':
      return -a;
    case 'bitnot':
      return ~a;
    default:
      return Math[name](a);
  }
}

export function applyBinary(name: Binary, a: number, b: number): number {
  switch (name) {
    case 'add':
      return a + b;
    case 'sub':
      return a - b;
    case 'mul':
      return a * b;
    case 'div':
      return a / b;
    case 'floordiv':
      return Math.floor(a / b);
    case 'rem':
      return a % b;
    case 'min':
      return Math.min(a, b);
    case 'max':
      return Math.max(a, b);
    case 'pow':
      return a ** b;
    case 'bitand':
      return a & b;
    case 'bitor':
      return a | b;
    case 'bitxor':
      return a ^ b;
    case 'shl':
      return a << b;
    case 'shr':
      return a >> b;
    case 'ushr':
      return a >>> b;
  }
}

export function applyComparison(name: Comparison, a: number, b: number): boolean {
  switch (name) {
    case 'lt':
      return a < b;
    case 'le':
      return a <= b;
    case 'eq':
      return a === b;
    case 'ne':
      return a !== b;
  }
}
