// What two wordings of one function have in common. Conditions are played through case by case, so it
// does not matter what a minifier made of `if`, `?:`, `&&`, `||` and `!`, nor where it moved them;
// numbers are compared with constants folded and operands in order. Only to compare; nobody runs it.

import { applyBinary, applyComparison, applyUnary } from '../evaluate.ts';
import {
  bool,
  canonical,
  children,
  compare,
  type Expression,
  int,
  real,
  withChildren,
} from '../expression.ts';

/** More cases than this are left to points. */
const caseLimit = 400;

/** `unknown`: too many cases to play through. */
export type Verdict = 'same' | 'different' | 'unknown';

/**
 * Are the two worded alike, up to what transforms change? `same` is certain. `different` says that no
 * known transform leads from one to the other: as functions they may be equal all the same, as
 * `k < 4 && k < 5` is `k < 4`.
 */
export function compareWording(a: Expression, b: Expression): Verdict {
  if (canonical(a) === canonical(b)) return 'same';
  let left = caseLimit;
  const agree = (truth: ReadonlyMap<string, boolean>): Verdict => {
    const one = new Case(truth);
    const [x, y] = [one.resolve(a), one.resolve(b)];
    if (one.open === undefined) return canonical(x) === canonical(y) ? 'same' : 'different';
    left -= 1;
    if (left < 0) return 'unknown';
    const atom = one.open;
    const no = agree(new Map(truth).set(atom, false));
    return no === 'same' ? agree(new Map(truth).set(atom, true)) : no;
  };
  return agree(new Map());
}

const isConst = (node: Expression): node is Expression & { op: 'const' } => node.op === 'const';

/** One assumption about the comparisons; under it no condition is left in an expression. */
class Case {
  /** The first comparison met that nothing is assumed of. What was resolved then means nothing. */
  open: string | undefined;
  readonly #truth: ReadonlyMap<string, boolean>;

  constructor(truth: ReadonlyMap<string, boolean>) {
    this.#truth = truth;
  }

  resolve(node: Expression): Expression {
    if (node.kind === 'bool') return bool(this.#holds(node));
    if (node.op === 'select') return this.resolve(node.args[this.#holds(node.args[0]) ? 1 : 2]);
    const args = children(node).map((arg) => this.resolve(arg));
    return tidy(withChildren(node, args), args);
  }

  #holds(node: Expression): boolean {
    switch (node.op) {
      case 'const':
        return node.value === true;
      case 'not':
        return !this.#holds(node.args[0]);
      case 'and':
        return this.#holds(node.args[0]) && this.#holds(node.args[1]);
      case 'or':
        return this.#holds(node.args[0]) || this.#holds(node.args[1]);
      case 'select':
        return this.#holds(node.args[this.#holds(node.args[0]) ? 1 : 2]);
      case 'compare':
        return this.#compares(node);
      default:
        return this.#assume(
          withChildren(
            node,
            children(node).map((arg) => this.resolve(arg)),
          ),
        );
    }
  }

  /** `ne` is the opposite of `eq`, and `a <= b` of integers that of `b < a`; `eq` has no order. */
  #compares(node: Expression & { op: 'compare' }): boolean {
    const [a, b] = [this.resolve(node.args[0]), this.resolve(node.args[1])];
    if (isConst(a) && isConst(b)) {
      return applyComparison(node.name, a.value as number, b.value as number);
    }
    if (node.name === 'ne' || node.name === 'eq') {
      const sides = canonical(a) <= canonical(b) ? ([a, b] as const) : ([b, a] as const);
      return this.#assume(compare('eq', ...sides)) === (node.name === 'eq');
    }
    if (node.name === 'le' && a.kind === 'int') return !this.#assume(compare('lt', b, a));
    return this.#assume(compare(node.name, a, b));
  }

  #assume(atom: Expression): boolean {
    const text = canonical(atom);
    const known = this.#truth.get(text);
    if (known === undefined) this.open ??= text;
    return known ?? false;
  }
}

const commutes: ReadonlySet<string> = new Set([
  'add', 'mul', 'min', 'max', 'bitand', 'bitor', 'bitxor',
]); // biome-ignore format: a list

/** A number over tidy arguments: folded if they are constants, else in one order. */
function tidy(node: Expression, args: readonly Expression[]): Expression {
  const [a, b] = args;
  if (!a) return node;
  if (args.every(isConst)) {
    const [x, y] = args.map((arg) => arg.value) as [number, number];
    const constant = node.kind === 'int' ? int : real;
    if (node.op === 'unary') return constant(applyUnary(node.name, x) + 0);
    if (node.op === 'binary') return constant(applyBinary(node.name, x, y) + 0);
    if (node.op === 'float') return real(x);
  }
  if (node.op !== 'binary' || !b || !commutes.has(node.name)) return node;
  return canonical(a) <= canonical(b) ? node : withChildren(node, [b, a]);
}
