// The points that matter: random ones, and those where one comparison or set decides the result, its
// sides differing by -1, 0 and 1. What is run there: verify.ts and agree.ts.

import type { Declarations } from '../declarations.ts';
import { evaluate } from '../evaluate.ts';
import { children, type Expression, type Index, mentions, walk } from '../expression.ts';
import { environment, generator, type Point, randomPoint } from './points.ts';

/** How many points: `usual` after a certain comparison, `thorough` where points alone decide. */
export type Effort = 'usual' | 'thorough';
const effort = {
  usual: { random: 64, tries: 4, budget: 60 },
  thorough: { random: 400, tries: 24, budget: 400 },
} as const;

/** The points for some forms of one function; every comparison of every form gets its own. */
export function points(
  forms: readonly Expression[],
  declarations: Declarations,
  how: Effort,
): Point[] {
  const { random, tries, budget } = effort[how];
  const next = generator(0x77617270);
  const found: Point[] = [];
  for (let i = 0; i < random; i++) found.push(randomPoint(declarations, next, i));
  for (const form of forms) {
    const search = new Search(declarations, next);
    const leaves = new Set([...walk(form)].filter(isDecider));
    // Of a large mask each comparison gets fewer tries: lifting stays a matter of milliseconds.
    const share = Math.max(1, Math.min(tries, Math.floor(budget / leaves.size)));
    for (const leaf of leaves) {
      const wants = wantsOf(form, leaf) ?? [];
      for (let i = 0; i < share; i++) found.push(...search.around(leaf, wants, i));
    }
  }
  return found;
}

type Decider = Expression & { op: 'compare' | 'has' };

const isDecider = (node: Expression): node is Decider =>
  node.op === 'has' || (node.op === 'compare' && node.args[0].kind !== 'bool');

/** A condition elsewhere that has to hold for a comparison to be seen in the result. */
interface Want {
  readonly node: Expression;
  readonly value: boolean;
}

/** In `a && b`, b is seen where a is true; in `a || b`, where a is false; an arm where it is chosen. */
function wantsOf(root: Expression, leaf: Expression): Want[] | undefined {
  if (root === leaf) return [];
  for (const [i, child] of children(root).entries()) {
    const inside = wantsOf(child, leaf);
    if (!inside) continue;
    if (root.op === 'and' || root.op === 'or') {
      return [{ node: root.args[1 - i]!, value: root.op === 'and' }, ...inside];
    }
    if (root.op === 'select' && i > 0) return [{ node: root.args[0], value: i === 1 }, ...inside];
    return inside;
  }
  return undefined;
}

type Variable =
  | { readonly is: 'index'; readonly name: Index }
  | { readonly is: 'param'; readonly name: string }
  /** The level of a tensor's contents. */
  | { readonly is: 'tensor'; readonly name: string };

function variablesOf(node: Expression): Variable[] {
  const found = new Map<string, Variable>();
  for (const part of walk(node)) {
    if (part.op === 'index') found.set(part.name, { is: 'index', name: part.name });
    if (part.op === 'param') found.set(part.name, { is: 'param', name: part.name });
    if (part.op === 'at') found.set(part.tensor, { is: 'tensor', name: part.tensor });
  }
  return [...found.values()];
}

/** The differences of the two sides at which a comparison is true, or false, nearest to its flip. */
const nearest: Readonly<Record<string, { yes: readonly number[]; no: readonly number[] }>> = {
  lt: { yes: [-1], no: [0] },
  le: { yes: [0], no: [1] },
  eq: { yes: [0], no: [1, -1] },
  ne: { yes: [1, -1], no: [0] },
};

/**
 * Moves one variable at a time until conditions hold: no solver, a few cheap attempts. A mask is small,
 * and a condition that is missed here is still met by other attempts and by the random points.
 */
class Search {
  readonly #declarations: Declarations;
  readonly #next: () => number;
  readonly #variables = new Map<Expression, Variable[]>();

  constructor(declarations: Declarations, next: () => number) {
    this.#declarations = declarations;
    this.#next = next;
  }

  /** Points on both sides of a leaf's flip where, if possible, the rest of the mask lets it be seen. */
  around(leaf: Decider, wants: readonly Want[], attempt: number): Point[] {
    const base = randomPoint(this.#declarations, this.#next, attempt + 3);
    const found: Point[] = [];
    const targets = leaf.op === 'has' ? [0, 1] : [-1, 0, 1];
    for (const target of targets) {
      let point = base;
      // Meeting one condition may break another: a few rounds settle most masks.
      for (let round = 0; round < 3; round++) {
        for (const { node, value } of wants) point = this.#satisfy(node, value, point);
        point =
          leaf.op === 'has'
            ? this.#satisfy(leaf, target === 1, point)
            : this.#reach(leaf, target, point);
        if (wants.every(({ node, value }) => evaluate(node, environment(point)) === value)) break;
      }
      found.push(point);
    }
    return found;
  }

  /** A point where the condition has the value, or the point as it was. */
  #satisfy(node: Expression, value: boolean, point: Point): Point {
    if (evaluate(node, environment(point)) === value) return point;
    switch (node.op) {
      case 'not':
        return this.#satisfy(node.args[0], !value, point);
      case 'and':
      case 'or': {
        const needsBoth = (node.op === 'and') === value;
        if (!needsBoth) return this.#satisfy(this.#pick(node.args), value, point);
        return this.#satisfy(node.args[1], value, this.#satisfy(node.args[0], value, point));
      }
      case 'select': {
        const isYes = this.#next() % 2 === 0;
        const chosen = this.#satisfy(node.args[0], isYes, point);
        return this.#satisfy(node.args[isYes ? 1 : 2], value, chosen);
      }
      case 'compare':
        if (node.args[0].kind === 'bool') {
          return this.#satisfy(this.#pick(node.args), this.#next() % 2 === 0, point);
        }
        return this.#reach(node, this.#pick(nearest[node.name]![value ? 'yes' : 'no']), point);
      case 'has':
        return this.#shuffle(point, (one) => evaluate(node, environment(one)) === value);
      default:
        return point;
    }
  }

  /** A point where the sides of a comparison differ by `target`, one variable moved. */
  #reach(node: Expression & { op: 'compare' }, target: number, point: Point): Point {
    let variables = this.#variables.get(node);
    if (!variables) {
      variables = variablesOf(node);
      this.#variables.set(node, variables);
    }
    const from = this.#next();
    for (let i = 0; i < variables.length; i++) {
      const variable = variables[(from + i) % variables.length]!;
      const found = this.#solve(node, target, point, variable);
      if (found) return found;
    }
    if (!mentions(node, 'at')) return point;
    return this.#shuffle(point, (one) => difference(node, one) === target);
  }

  /** Other contents of tensors and sets. */
  #shuffle(point: Point, holds: (point: Point) => boolean): Point {
    for (let i = 0; i < 16; i++) {
      const other = { ...point, salt: this.#next() };
      if (holds(other)) return other;
    }
    return point;
  }

  /** The secant method for a few steps, with wider steps where a floor makes the difference flat. */
  #solve(
    node: Expression & { op: 'compare' },
    target: number,
    base: Point,
    variable: Variable,
  ): Point | undefined {
    let point = base;
    for (let i = 0; i < 6; i++) {
      const here = difference(node, point);
      if (here === target) return point;
      const from = read(point, variable);
      let slope = 0;
      for (const width of [1, 64, 4096]) {
        slope = (difference(node, move(point, variable, from + width)) - here) / width;
        if (slope !== 0) break;
      }
      const exact = from + (target - here) / slope;
      const to = this.#isFloat(variable) ? Math.fround(exact) : Math.round(exact);
      if (to === from || !this.#allows(variable, to)) return undefined;
      point = move(point, variable, to);
    }
    return undefined;
  }

  #isFloat({ is, name }: Variable): boolean {
    const { params, tensors } = this.#declarations;
    if (is === 'index') return name === 's';
    return (is === 'param' ? params : tensors)[name]?.kind === 'float';
  }

  #allows({ is, name }: Variable, value: number): boolean {
    if (!(Math.abs(value) <= 2 ** 24)) return false;
    if (is === 'tensor') return true;
    if (is === 'index') return value >= 0 || name === 'q' || name === 's';
    const declared = this.#declarations.params[name];
    return declared !== undefined && value >= declared.lo && value <= declared.hi;
  }

  #pick<T>(list: readonly T[]): T {
    return list[this.#next() % list.length]!;
  }
}

function difference(node: Expression & { op: 'compare' }, point: Point): number {
  const env = environment(point);
  return (evaluate(node.args[0], env) as number) - (evaluate(node.args[1], env) as number);
}

function read(point: Point, { is, name }: Variable): number {
  if (is === 'index') return point.index[name];
  return is === 'param' ? point.params[name]! : (point.levels[name] ?? 0);
}

/** The point with another value of a variable; what depends on it moves along. */
function move(point: Point, variable: Variable, value: number): Point {
  if (variable.is === 'param') {
    return { ...point, params: { ...point.params, [variable.name]: value } };
  }
  if (variable.is === 'tensor') {
    return { ...point, levels: { ...point.levels, [variable.name]: value } };
  }
  const index = { ...point.index, [variable.name]: value };
  if (variable.name === 'q') index.row = index.q - index.kLen + index.qLen;
  else index.q = index.row + index.kLen - index.qLen;
  if (variable.name === 'head') index.kvHead = index.head >> 2;
  if (variable.name === 'kvHead') index.head = index.kvHead * 4 + (index.head & 3);
  return { ...point, index };
}
