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

const perPair = new Set(['q', 'k', 'row', 's']);

function isUniform(node: Expression): boolean {
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
    return rebuild(mask, (node) => (node.op === 'at' && isUniform(node) ? this.#name(node) : node));
  }

  /** A score whose largest uniform parts are uniforms; a division by one is a product with its reciprocal. */
  ofScore(score: Expression): Expression {
    const visit = (node: Expression): Expression => {
      if (
        node.op === 'binary' &&
        node.name === 'div' &&
        !isUniform(node) &&
        isUniform(node.args[1])
      )
        return binary('mul', visit(node.args[0]), visit(binary('div', real(1), node.args[1])));
      if (node.kind !== 'bool' && !isLeaf(node) && isUniform(node)) return this.#name(node);
      const args = children(node);
      return args.length === 0 ? node : ({ ...node, args: args.map(visit) } as Expression);
    };
    return visit(score);
  }

  #name(expression: Expression): Expression {
    const key = canonical(expression);
    const known = this.#known.get(key) ?? { name: `#${this.#known.size}`, expression };
    this.#known.set(key, known);
    return param(known.name, expression.kind as 'int' | 'float', expression.span);
  }
}

const isLeaf = (node: Expression): boolean =>
  node.op === 'const' || node.op === 'index' || node.op === 'param' || node.op === 'float';
