// Integer expressions as sums: a*q + b*k + constant + coefficients times what is not linear.

import { canonical, type Expression } from '../expression.ts';

export interface Linear {
  readonly q: number;
  readonly k: number;
  readonly constant: number;
  /** What is not linear, each once, with its coefficient. */
  readonly others: readonly (readonly [number, Expression])[];
}

const kept = new WeakMap<Expression, Linear | null>();

/** The linear form of an integer sum; undefined for anything that is no sum (it is its own only part). */
export function linearOf(node: Expression): Linear | undefined {
  const known = kept.get(node);
  if (known !== undefined) return known ?? undefined;
  const isSum =
    node.kind === 'int' &&
    ((node.op === 'unary' && node.name === 'neg') ||
      (node.op === 'binary' && (node.name === 'add' || node.name === 'sub')) ||
      (node.op === 'binary' && node.name === 'mul' && node.args.some((arg) => arg.op === 'const')));
  const form = isSum ? collect(node) : undefined;
  kept.set(node, form ?? null);
  return form;
}

/** The linear form of any integer expression. */
export function collect(node: Expression): Linear {
  let [q, k, constant] = [0, 0, 0];
  const others = new Map<string, [number, Expression]>();
  const visit = (part: Expression, factor: number): void => {
    if (part.op === 'const') constant += factor * (part.value as number);
    else if (part.op === 'index' && part.name === 'q') q += factor;
    else if (part.op === 'index' && part.name === 'k') k += factor;
    else if (part.op === 'unary' && part.name === 'neg') visit(part.args[0], -factor);
    else if (part.op === 'binary' && part.name === 'add')
      for (const arg of part.args) visit(arg, factor);
    else if (part.op === 'binary' && part.name === 'sub') {
      visit(part.args[0], factor);
      visit(part.args[1], -factor);
    } else if (part.op === 'binary' && part.name === 'mul' && part.args[0].op === 'const') {
      visit(part.args[1], factor * (part.args[0].value as number));
    } else if (part.op === 'binary' && part.name === 'mul' && part.args[1].op === 'const') {
      visit(part.args[0], factor * (part.args[1].value as number));
    } else {
      const key = canonical(part);
      const before = others.get(key)?.[0] ?? 0;
      others.set(key, [before + factor, part]);
    }
  };
  visit(node, 1);
  return {
    q,
    k,
    constant,
    others: [...others.values()].filter(([coefficient]) => coefficient !== 0),
  };
}
