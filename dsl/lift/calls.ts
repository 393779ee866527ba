// Calls: `.at` and `.has`, the functions of Math, and pure helpers, which are inlined.

import { binary, type Expression, int, real, type Unary, unary } from '../expression.ts';
import { lowerLoad } from './members.ts';
import { bind, lowerBody } from './statements.ts';
import { spanOf, strip, type Ts, textOf, ts } from './syntax.ts';
import {
  brief,
  type Context,
  describe,
  isHole,
  Scope,
  scalar,
  unknown,
  type Value,
} from './value.ts';

export function lowerCall(context: Context, node: Ts.CallExpression, scope: Scope): Value {
  const callee = calleeOf(node);
  if (ts.isPropertyAccessExpression(callee)) {
    const owner = context.value(callee.expression, scope);
    const method = callee.name.text;
    if ((owner.is === 'tensor' && method === 'at') || (owner.is === 'set' && method === 'has')) {
      return lowerLoad(context, owner, node, scope);
    }
  }
  // esbuild keeps the names of functions: __name((d) => d < 3, "near").
  const [first] = node.arguments;
  if (first && ts.isIdentifier(callee) && callee.text === '__name')
    return context.value(first, scope);
  const target = context.value(callee, scope);
  switch (target.is) {
    case 'function':
      return inline(context, target, node, scope);
    case 'math':
      return lowerMath(context, target.name, node, scope);
    case 'unknown':
      for (const arg of node.arguments) context.value(arg, scope);
      return unknown(target.name && textOf(node));
    default:
      return context.fail('L001', `${describe(target)} cannot be called on a device`, node, {
        help: 'call a function of Math, or a pure function of your own files',
      });
  }
}

/** The function called, also where a transform wrote `(0, sizes.near)(d)` to drop its `this`. */
function calleeOf(node: Ts.CallExpression): Ts.Expression {
  const callee = strip(node.expression);
  const isComma =
    ts.isBinaryExpression(callee) && callee.operatorToken.kind === ts.SyntaxKind.CommaToken;
  return isComma && ts.isNumericLiteral(callee.left) ? strip(callee.right) : callee;
}

/** A call of a pure function is its body, with the arguments for its parameters. */
function inline(
  context: Context,
  target: Value & { is: 'function' },
  node: Ts.CallExpression,
  scope: Scope,
): Value {
  const { parameters } = target.node;
  const name = brief(node.expression);
  if (context.active.has(target.node)) {
    return context.fail('L007', `'${name}' calls itself`, node, {
      help: 'write it without recursion: a mask has no loop to run it in',
    });
  }
  const args = node.arguments.map((arg) => context.value(arg, scope));
  if (args.length > parameters.length || node.arguments.some(ts.isSpreadElement)) {
    return context.fail(
      'L020',
      `'${name}' takes ${parameters.length} of these ${args.length} arguments`,
      node,
      {
        help: 'give one argument for each parameter',
      },
    );
  }
  const inner = new Scope(target.scope.root, target.scope);
  for (const [i, parameter] of parameters.entries()) {
    const given = args[i];
    if (parameter.dotDotDotToken || (!given && !parameter.initializer)) {
      return context.fail('L020', `'${name}' is called without '${brief(parameter.name)}'`, node, {
        help: 'give one argument for each parameter; a rest parameter has no meaning here',
      });
    }
    bind(context, parameter.name, given ?? context.value(parameter.initializer!, inner), inner);
  }
  context.active.add(target.node);
  const result = lowerBody(context, target.node, inner);
  context.active.delete(target.node);
  return result;
}

/** Functions of one number that the expressions have under the same name. */
const unaryFunctions: readonly string[] = [
  'abs', 'sign', 'floor', 'ceil', 'trunc', 'fround', 'exp', 'log', 'log2', 'sqrt', 'tanh', 'sin', 'cos',
] satisfies readonly Unary[]; // biome-ignore format: a table

const instead: Readonly<Record<string, string>> = {
  round: 'write Math.floor(x + 0.5)',
  hypot: 'write Math.sqrt(a * a + b * b)',
  imul: 'write a * b',
  cbrt: 'write Math.pow(x, 1 / 3)',
  tan: 'write Math.sin(x) / Math.cos(x)',
  log10: 'write Math.log2(x) * 0.30103',
  expm1: 'write Math.exp(x) - 1',
  log1p: 'write Math.log(1 + x)',
};

function lowerMath(context: Context, name: string, node: Ts.CallExpression, scope: Scope): Value {
  const span = spanOf(node);
  const args = node.arguments.map((arg) => context.number(arg, scope));
  const takes = (wanted: string): Value =>
    context.fail('L020', `Math.${name} takes ${wanted}, not ${args.length}`, node, {
      help: `Math.${name} is called with ${wanted}`,
    });
  if (name === 'min' || name === 'max') {
    const [first, ...others] = args;
    if (!first) return takes('at least one argument');
    return scalar(others.reduce((a, b) => binary(name, a, b, span), first));
  }
  if (name === 'pow') {
    const [base, exponent, third] = args;
    if (!base || !exponent || third) return takes('two arguments');
    return scalar(power(base, exponent, node));
  }
  const [value, second] = args;
  if (name === 'round' && value?.kind === 'int' && !second) return scalar({ ...value, span });
  if (!unaryFunctions.includes(name)) {
    return context.fail('L019', `Math.${name} is not supported`, node, {
      help:
        instead[name] ?? `of Math there are ${[...unaryFunctions, 'min', 'max', 'pow'].join(', ')}`,
    });
  }
  if (!value || second) return takes('one argument');
  if (isHole(value)) return unknown('');
  if (name === 'floor' || name === 'ceil' || name === 'trunc') {
    return scalar(rounded(context, name, value, node));
  }
  if (name === 'fround' && value.op === 'const') {
    return scalar(real(Math.fround(value.value as number), span));
  }
  return scalar(unary(name as Unary, value, span));
}

/**
 * Rounding: nothing to do on an integer; on a quotient of integers it is an exact integer too:
 * ceil(a / b) = -floor(-a / b).
 */
function rounded(
  context: Context,
  name: 'floor' | 'ceil' | 'trunc',
  value: Expression,
  node: Ts.CallExpression,
): Expression {
  const span = spanOf(node);
  if (value.kind === 'int') return { ...value, span };
  const quotient = integerQuotient(value);
  if (!quotient) return unary(name, value, span);
  const [a, b] = quotient;
  if (name === 'floor') return binary('floordiv', a, b, span);
  if (name === 'ceil')
    return unary('neg', binary('floordiv', unary('neg', a, a.span), b, span), span);
  const help = 'write Math.floor(a / b): it is the same where a and b have one sign';
  context.fail('L019', 'Math.trunc of a quotient is not supported', node, { help });
  return binary('floordiv', a, b, span);
}

/** The two integers of `a / b`, before they were widened. */
function integerQuotient(value: Expression): readonly [Expression, Expression] | undefined {
  if (value.op !== 'binary' || value.name !== 'div') return undefined;
  const [a, b] = value.args;
  return a.op === 'float' && b.op === 'float' ? [a.args[0], b.args[0]] : undefined;
}

/** `x ** 2` and `x ** 3` are products, exact on integers; other powers are floats. */
export function power(base: Expression, exponent: Expression, node: Ts.Node): Expression {
  const span = spanOf(node);
  const n = exponent.op === 'const' ? exponent.value : undefined;
  if (base.op === 'const' && exponent.op === 'const') {
    const value = (base.value as number) ** (exponent.value as number);
    if (Number.isInteger(value) && Math.abs(value) < 2 ** 31) return int(value, span);
  }
  if (n !== 2 && n !== 3) return binary('pow', base, exponent, span);
  const square = binary('mul', base, base, span);
  return n === 2 ? square : binary('mul', square, base, span);
}
