// Parts of masks and scores that are the same for all pairs of a unit, computed once when a unit is loaded:
// `slopes.at(head)` need not be loaded for every pair.

import {
  binary,
  canonical,
  children,
  type Expression,
  param,
  real,
  rebuild,
} from '../dsl/expression.ts';

/** A number of a unit that an expression stands for. */
export interface Uniform {
  /** In the expressions, a parameter of this name; no author can call one so. */
  readonly name: string;
  readonly expression: Expression;
}

export const isUniformName = (name: string): boolean => name.startsWith('#');

/** The scale of logits: the argument `scale` of a launch. */
export const logitScale = { name: '#scale', param: param('#scale', 'float') } as const;

const localPrefix = '#local_';

/** A variable of the text around an expression, which has this name there: no number of a unit. */
export const local = (name: string, kind: 'int' | 'float' = 'float'): Expression =>
  param(localPrefix + name, kind);

/** The name of a local, or undefined for any other parameter. */
export const localName = (name: string): string | undefined =>
  name.startsWith(localPrefix) ? name.slice(localPrefix.length) : undefined;

/** How far a key lies behind the first one of a lane, a constant wherever it stands: no uniform at all. */
export const step = {
  int: { name: `${localPrefix}step`, param: local('step', 'int') },
  float: { name: '#step_float', param: param('#step_float', 'float') },
} as const;

const perPair = new Set(['q', 'k', 'row', 's']);

const isStepOrLocal = (node: Expression): boolean =>
  node.op === 'param' && (node.name === step.float.name || localName(node.name) !== undefined);

function isUniform(node: Expression): boolean {
  if (isStepOrLocal(node)) return false;
  if (node.op === 'index') return !perPair.has(node.name);
  return children(node).every(isUniform);
}

/** The uniforms of a kernel; equal expressions are one. */
export class Uniforms {
  readonly #known = new Map<string, Uniform>();

  get all(): readonly Uniform[] {
    return [...this.#known.values()];
  }

  /** A mask whose loads at the same place for all pairs are uniforms. */
  ofMask(mask: Expression): Expression {
    return rebuild(mask, (node) => (node.op === 'at' && isUniform(node) ? this.named(node) : node));
  }

  /** Is the scale of logits among what expressions mention? */
  hasScale = false;

  isUniform(node: Expression): boolean {
    return isUniform(node);
  }

  /**
   * A score whose largest uniform parts are uniforms; a division by one is a product with its reciprocal, and
   * uniform factors of a product are one.
   */
  ofScore(score: Expression): Expression {
    const visit = (node: Expression): Expression => {
      if (isFloatProduct(node) && !isUniform(node)) {
        const factors = factorsOf(node);
        const same = factors.filter(isUniform);
        const own = factors.filter((factor) => !isUniform(factor)).map(visit);
        if (same.length > 1) {
          const product = same.reduce((all, factor) => binary('mul', all, factor));
          return [...own, visit(product)].reduce((all, factor) => binary('mul', all, factor));
        }
      }
      if (
        node.op === 'binary' &&
        node.name === 'div' &&
        !isUniform(node) &&
        isUniform(node.args[1])
      )
        return binary('mul', visit(node.args[0]), visit(binary('div', real(1), node.args[1])));
      if (node.kind !== 'bool' && !isLeaf(node) && isUniform(node)) return this.named(node);
      const args = children(node);
      return args.length === 0 ? node : ({ ...node, args: args.map(visit) } as Expression);
    };
    return visit(score);
  }

  /** The number that an expression is, the same for all pairs of a unit. */
  named(expression: Expression): Expression {
    const key = canonical(expression);
    const known = this.#known.get(key) ?? { name: `#${this.#known.size}`, expression };
    this.#known.set(key, known);
    return param(known.name, expression.kind as 'int' | 'float', expression.span);
  }
}

const isFloatProduct = (node: Expression): boolean =>
  node.op === 'binary' &&
  node.kind === 'float' &&
  (node.name === 'mul' || (node.name === 'div' && isUniform(node.args[1])));

/** The factors of a product of floats; a division by a uniform is a product with its reciprocal. */
export function factorsOf(node: Expression): Expression[] {
  if (node.op !== 'binary' || node.kind !== 'float') return [node];
  const [a, b] = node.args;
  if (node.name === 'mul') return [...factorsOf(a), ...factorsOf(b)];
  if (node.name === 'div' && isUniform(b)) return [...factorsOf(a), binary('div', real(1), b)];
  return [node];
}

const isLeaf = (node: Expression): boolean =>
  node.op === 'const' || node.op === 'index' || node.op === 'param' || node.op === 'float';
