// The proof, per launch, that integers stay int32: with the actual lengths, parameters and tensors every
// integer sub-expression is bounded. Then JavaScript's doubles and a device's ints agree exactly.

import { type Diagnostic, diagnostic } from '../diagnostic.ts';
import { children, type Expression } from '../expression.ts';
import { printExpression } from '../print.ts';
import { queryOffset } from '../shape.ts';
import { type Binding, boxEnvironment } from './binding.ts';
import { boxOf } from './box.ts';
import { type IntervalEnvironment, intervalOf } from './interval.ts';

const limit = 2 ** 31;

/** The innermost integer sub-expression that may leave int32 in this launch, as a diagnostic; else undefined. */
export function findOverflow(
  pattern: string,
  expression: Expression,
  binding: Binding,
): Diagnostic | undefined {
  const { qLen, kLen } = binding.shape;
  if (qLen === 0 || kLen === 0) return undefined;
  const offset = queryOffset(binding.shape);
  const env = boxEnvironment(binding, boxOf(offset, kLen - 1, 0, kLen - 1));
  const found = innermost(expression, env);
  if (!found) return undefined;
  const { lo, hi } = intervalOf(found, env);
  const worst = Math.abs(lo) > Math.abs(hi) ? lo : hi;
  return diagnostic(
    'T009',
    `'${printExpression(found)}' in '${pattern}' reaches ${worst} with qLen ${qLen} and kLen ${kLen}`,
    {
      span: found.span,
      help: 'integers on a device have 32 bits: divide before you multiply, or compare the factors',
    },
  );
}

function innermost(node: Expression, env: IntervalEnvironment): Expression | undefined {
  for (const child of children(node)) {
    const found = innermost(child, env);
    if (found) return found;
  }
  const computes =
    node.kind === 'int' && (node.op === 'unary' || node.op === 'binary' || node.op === 'select');
  if (!computes) return undefined;
  const { lo, hi } = intervalOf(node, env);
  return lo < -limit || hi > limit - 1 ? node : undefined;
}
