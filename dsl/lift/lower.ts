// A function of the author as an expression: its parameters bound, its body lowered, its kind checked.
// Whether the result is what the function computes is checked by agree.ts and verify.ts.

import type { Liftable } from '../declarations.ts';
import type { Diagnostic } from '../diagnostic.ts';
import { type Expression, widen } from '../expression.ts';
import { lowerExpression } from './expressions.ts';
import { checkMask, checkScore } from './rules.ts';
import { bind, lowerBody } from './statements.ts';
import type { FunctionNode, Ts } from './syntax.ts';
import {
  Context,
  needBoolean,
  needNumber,
  type Scope,
  toScalar,
  unknown,
  type Value,
} from './value.ts';

export interface Lowered {
  /** Whole only where there are no findings; else it holds placeholders. */
  readonly expression: Expression;
  readonly findings: readonly Diagnostic[];
}

export const newContext = (request: Liftable): Context => new Context(request, lowerExpression);

/** Lowers the mask or score `fn`, which stands in `scope`. */
export function lowerFunction(context: Context, fn: FunctionNode, scope: Scope): Lowered {
  const inner = scope.inner();
  const values: Value[] = [{ is: 'pair' }, { is: 'given' }];
  for (const [i, parameter] of fn.parameters.entries()) {
    const value = values[i];
    if (!value || parameter.dotDotDotToken || parameter.initializer) {
      context.fail(
        'L020',
        `a ${context.step} takes the pair and the declared names, no more`,
        parameter,
        {
          help: `write (pair, given) => ...; other values are declared: pattern('${context.pattern}', { ... })`,
        },
      );
    }
    bind(context, parameter.name, value ?? unknown(''), inner);
  }
  context.active.add(fn);
  const result = lowerBody(context, fn, inner);
  context.active.delete(fn);
  const node: Ts.Node = fn.body ?? fn;
  const value = toScalar(context, result, node);
  const expression =
    context.step === 'mask'
      ? checkMask(context, needBoolean(context, value, node))
      : checkScore(context, widen(needNumber(context, value, node)));
  return { expression, findings: context.findings };
}
