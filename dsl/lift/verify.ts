// The function of the author and its lifted form, run side by side at the points that matter. So the
// lowering need not be trusted: it is tested against the function that it lowered, every time.

import type { Declarations, Liftable } from '../declarations.ts';
import { type Code, type Diagnostic, diagnostic, type Span } from '../diagnostic.ts';
import { type Environment, evaluate } from '../evaluate.ts';
import { type Expression, indices } from '../expression.ts';
import { type Effort, points } from './flips.ts';
import { environment, type Point, sameResult } from './points.ts';

export interface Check {
  readonly request: Liftable;
  readonly expression: Expression;
  /** Other forms whose comparisons are worth a point. */
  readonly others: readonly Expression[];
  readonly effort: Effort;
  readonly span: Span | undefined;
}

/** Undefined when function and expression agree at every point; else the first disagreement. */
export function verify(check: Check): Diagnostic | undefined {
  const { request, expression, others, effort, span } = check;
  const { step, declarations } = request;
  const stage = new Stage(step, declarations);
  const finding = (code: Code, what: string, help: string): Diagnostic =>
    diagnostic(code, what, { span, help });
  const impure = (point: Point, a: unknown, b: unknown): Diagnostic =>
    finding(
      'L022',
      `calls at ${show(point, expression)} give ${String(a)} and ${String(b)}`,
      'a mask must be pure: capture what changes as a parameter or a tensor',
    );
  for (const point of points([expression, ...others], declarations, effort)) {
    const env = environment(point);
    let results: readonly [unknown, unknown];
    try {
      stage.set(env);
      results = [stage.run(request.fn), stage.run(request.fn)];
    } catch (error) {
      const what = error instanceof Error ? error.message : String(error);
      return finding(
        'L018',
        `the function throws at ${show(point, expression)}: ${what}`,
        'a mask must give a value for every pair',
      );
    }
    const [result, again] = results;
    if (!sameResult(result, again)) return impure(point, result, again);
    const wanted = step === 'mask' ? 'boolean' : 'number';
    if (typeof result !== wanted) {
      return finding(
        'L016',
        `a ${step} gives a ${wanted}, and this gives ${typeof result === 'object' ? 'an object' : `a ${typeof result}`} at ${show(point, expression)}`,
        step === 'mask' ? 'compare: x !== 0' : 'give a number: c ? 1 : 0',
      );
    }
    const lifted = evaluate(expression, env);
    if (sameResult(result, lifted) || isRounding(result, lifted)) continue;
    // An impure function may give one wrong answer twice: it is asked again before it is blamed on us.
    const other = stage.repeat(request.fn, result);
    if (other) return impure(point, result, other.result);
    const values = `the function gives ${String(result)} and its lifted form ${String(lifted)}`;
    return effort === 'thorough'
      ? finding(
          'L009',
          `at ${show(point, expression)} the function that runs gives ${String(result)}, and the one in the file ${String(lifted)}`,
          'run again: the file was edited after it was loaded, or its source map is wrong',
        )
      : finding(
          'L010',
          `at ${show(point, expression)} ${values}`,
          'run again if a constant or helper was edited after it was loaded; else the fault is ours: write the function more plainly',
        );
  }
  return undefined;
}

/** In scores `x ** 2` is lowered to a product, which the engine's power may miss by its last bit. */
function isRounding(a: unknown, b: unknown): boolean {
  if (typeof a !== 'number' || typeof b !== 'number') return false;
  return Math.abs(a - b) <= 1e-13 * Math.max(Math.abs(a), Math.abs(b));
}

/** The objects that the function is called with: strict, and set to another point between calls. */
class Stage {
  #env: Environment | undefined;
  readonly #pair: object;
  readonly #given: object;

  constructor(step: Liftable['step'], { params, tensors, sets }: Declarations) {
    const env = (): Environment => this.#env!;
    const pair = new Map<string, () => unknown>();
    for (const name of indices) {
      if (name !== 's' || step === 'score') pair.set(name, () => env().index[name]);
    }
    const given = new Map<string, () => unknown>();
    for (const name of Object.keys(params)) given.set(name, () => env().params[name]);
    for (const [name, { rank }] of Object.entries(tensors)) {
      const tensor = { at: (...at: number[]) => env().at(name, checked(name, at, rank)) };
      given.set(name, () => tensor);
    }
    for (const [name, { arity }] of Object.entries(sets)) {
      const set = { has: (...at: number[]) => env().has(name, checked(name, at, arity)) };
      given.set(name, () => set);
    }
    this.#pair = strict('the pair', pair);
    this.#given = strict('the declared names', given);
  }

  set(env: Environment): void {
    this.#env = env;
  }

  /** Another result than `known` among some more calls at the same point, if there is one. */
  repeat(fn: Liftable['fn'], known: unknown): { readonly result: unknown } | undefined {
    for (let i = 0; i < 32; i++) {
      const result = this.run(fn);
      if (!sameResult(result, known)) return { result };
    }
    return undefined;
  }

  run(fn: Liftable['fn']): unknown {
    return (fn as (pair: object, given: object) => unknown)(this.#pair, this.#given);
  }
}

/** An object of getters that refuses any other name. */
function strict(what: string, fields: ReadonlyMap<string, () => unknown>): object {
  return new Proxy(Object.freeze({}), {
    get(_, name) {
      const field = fields.get(String(name));
      if (!field) throw new Error(`${what} have no '${String(name)}'`);
      return field();
    },
  });
}

function checked(name: string, at: readonly number[], wanted: number): readonly number[] {
  if (at.length !== wanted || !at.every(Number.isInteger)) {
    throw new Error(`'${name}' is asked at (${at.join(', ')}), which is not ${wanted} integers`);
  }
  return at;
}

/** The numbers of a point that the expression mentions. */
function show({ index, params }: Point, expression: Expression): string {
  const mentioned = new Map<string, number>();
  const visit = (node: Expression): void => {
    if (node.op === 'index') mentioned.set(node.name, index[node.name]);
    if (node.op === 'param') mentioned.set(node.name, params[node.name]!);
    if ('args' in node) for (const child of node.args) visit(child);
  };
  visit(expression);
  const list = [...mentioned].map(([name, value]) => `${name} = ${value}`);
  return list.length > 0 ? list.join(', ') : 'every pair';
}
