// Expressions: literals, operators, names, fields. Calls are in calls.ts, bodies in statements.ts.

import {
  and,
  type Binary,
  binary,
  bool,
  type Comparison,
  compare,
  type Expression,
  int,
  not,
  or,
  real,
  unary,
} from '../expression.ts';
import { lowerCall, power } from './calls.ts';
import { member } from './members.ts';
import { isAssignment } from './scope.ts';
import { choose, isCounter } from './statements.ts';
import { isFunction, isTyped, spanOf, strip, type Ts, ts } from './syntax.ts';
import {
  brief,
  type Context,
  isHole,
  needBoolean,
  needInt,
  needNumber,
  type Scope,
  scalar,
  unknown,
  type Value,
} from './value.ts';

export function lowerExpression(context: Context, wrapped: Ts.Expression, scope: Scope): Value {
  const node = strip(wrapped);
  if (ts.isIdentifier(node)) {
    return scope.find(node.text) ?? scope.root.resolve(context, node.text, node);
  }
  if (ts.isNumericLiteral(node)) return scalar(literal(context, Number(node.text), node));
  if (node.kind === ts.SyntaxKind.TrueKeyword) return scalar(bool(true, spanOf(node)));
  if (node.kind === ts.SyntaxKind.FalseKeyword) return scalar(bool(false, spanOf(node)));
  if (ts.isBinaryExpression(node)) return lowerBinary(context, node, scope);
  if (ts.isPrefixUnaryExpression(node)) return lowerPrefix(context, node, scope);
  if (ts.isPostfixUnaryExpression(node)) return assigned(context, node);
  if (ts.isConditionalExpression(node)) {
    const condition = context.boolean(node.condition, scope);
    const yes = context.scalar(node.whenTrue, scope);
    const no = context.scalar(node.whenFalse, scope);
    return scalar(choose(context, condition, yes, no, node));
  }
  const isOptional = ts.isOptionalChain(node);
  if (ts.isPropertyAccessExpression(node) && !isOptional) {
    return member(context, context.value(node.expression, scope), node.name.text, node);
  }
  if (ts.isElementAccessExpression(node) && !isOptional) return lowerElement(context, node, scope);
  if (ts.isCallExpression(node) && !isOptional) return lowerCall(context, node, scope);
  if (isFunction(node)) return { is: 'function', node, scope };
  return refuse(context, node);
}

/** A number as written. Integers beyond int32 are no integers of a mask; a score has them as floats. */
function literal(context: Context, value: number, node: Ts.Node): Expression {
  const span = spanOf(node);
  if (!Number.isInteger(value)) return real(value, span);
  if (value >= -(2 ** 31) && value < 2 ** 31) {
    return Object.is(value, -0) && context.step === 'score' ? real(-0, span) : int(value + 0, span);
  }
  if (context.step === 'mask') {
    context.fail('L014', `${value} is not an int32 number`, node, {
      help: 'write a number between -2147483648 and 2147483647, or Infinity',
    });
  }
  return real(value, span);
}

/** `sizes['window']` and `sizes[0]` of constant objects; tensors are read with `.at`. */
function lowerElement(context: Context, node: Ts.ElementAccessExpression, scope: Scope): Value {
  const owner = context.value(node.expression, scope);
  const key = strip(node.argumentExpression);
  const isConstant = ts.isStringLiteral(key) || ts.isNumericLiteral(key);
  if (owner.is === 'unknown') return unknown('');
  if (owner.is === 'tensor') {
    return context.fail('L001', `a tensor is not read with [ ]`, node, {
      help: `write ${owner.name}.at(${brief(key)})`,
    });
  }
  if (isConstant) return member(context, owner, key.text, node);
  return context.fail('L001', 'an index that is no constant', node, {
    help: "capture the numbers as a tensor: pattern(name, { doc: i32('k') }), then doc.at(k)",
  });
}

function lowerPrefix(context: Context, node: Ts.PrefixUnaryExpression, scope: Scope): Value {
  const { PlusToken, MinusToken, TildeToken, ExclamationToken } = ts.SyntaxKind;
  const operand = strip(node.operand);
  const span = spanOf(node);
  switch (node.operator) {
    case PlusToken:
      return scalar(context.number(operand, scope));
    case MinusToken: {
      if (ts.isNumericLiteral(operand))
        return scalar(literal(context, -Number(operand.text), node));
      return scalar(unary('neg', context.number(operand, scope), span));
    }
    case TildeToken:
      return scalar(unary('bitnot', context.int(operand, scope, "the operand of '~'"), span));
    case ExclamationToken: {
      // Minifiers write !0 for true and !1 for false.
      if (ts.isNumericLiteral(operand)) return scalar(bool(!Number(operand.text), span));
      return scalar(not(context.boolean(operand, scope), span));
    }
    default:
      return assigned(context, node);
  }
}

type Operator =
  | { readonly is: 'arithmetic'; readonly name: Binary }
  | { readonly is: 'bits'; readonly name: Binary }
  | { readonly is: 'compare'; readonly name: Comparison; readonly swap?: true }
  | { readonly is: 'logic'; readonly name: 'and' | 'or' };

const operators: Readonly<Record<string, Operator>> = {
  '+': { is: 'arithmetic', name: 'add' },
  '-': { is: 'arithmetic', name: 'sub' },
  '*': { is: 'arithmetic', name: 'mul' },
  '/': { is: 'arithmetic', name: 'div' },
  '%': { is: 'arithmetic', name: 'rem' },
  '&': { is: 'bits', name: 'bitand' },
  '|': { is: 'bits', name: 'bitor' },
  '^': { is: 'bits', name: 'bitxor' },
  '<<': { is: 'bits', name: 'shl' },
  '>>': { is: 'bits', name: 'shr' },
  '>>>': { is: 'bits', name: 'ushr' },
  '<': { is: 'compare', name: 'lt' },
  '<=': { is: 'compare', name: 'le' },
  '>': { is: 'compare', name: 'lt', swap: true },
  '>=': { is: 'compare', name: 'le', swap: true },
  '===': { is: 'compare', name: 'eq' },
  '!==': { is: 'compare', name: 'ne' },
  '&&': { is: 'logic', name: 'and' },
  '||': { is: 'logic', name: 'or' },
};

function lowerBinary(context: Context, node: Ts.BinaryExpression, scope: Scope): Value {
  const text = node.operatorToken.getText();
  const operator = operators[text];
  if (!operator) return lowerOther(context, node, text, scope);
  const span = spanOf(node);
  const { left, right } = node;
  switch (operator.is) {
    case 'arithmetic':
      return scalar(
        binary(operator.name, context.number(left, scope), context.number(right, scope), span),
      );
    case 'bits': {
      const use = `an operand of '${text}'`;
      const bits = (side: Ts.Expression): Expression => {
        const value = context.scalar(side, scope);
        if (value.kind !== 'bool') return needInt(context, value, side, use);
        context.fail('L016', `'${text}' of booleans`, side, { help: 'write && or ||, or a !== b' });
        return int(0, span);
      };
      return scalar(binary(operator.name, bits(left), bits(right), span));
    }
    case 'compare': {
      const [a, b] = comparable(context, node, scope);
      const sides = operator.swap ? ([b, a] as const) : ([a, b] as const);
      return scalar(compare(operator.name, ...sides, span));
    }
    case 'logic': {
      const make = operator.name === 'and' ? and : or;
      return scalar(make(context.boolean(left, scope), context.boolean(right, scope), span));
    }
  }
}

/** Both sides of a comparison: two numbers or, under === and !==, two booleans. */
function comparable(
  context: Context,
  node: Ts.BinaryExpression,
  scope: Scope,
): readonly [Expression, Expression] {
  const [a, b] = [context.scalar(node.left, scope), context.scalar(node.right, scope)];
  const isEquality = /^[!=]==$/.test(node.operatorToken.getText());
  if (isEquality && (a.kind === 'bool' || isHole(a)) && (b.kind === 'bool' || isHole(b))) {
    if (a.kind === 'bool' || b.kind === 'bool') {
      return [needBoolean(context, a, node.left), needBoolean(context, b, node.right)];
    }
  }
  return [needNumber(context, a, node.left), needNumber(context, b, node.right)];
}

/** `**`, and the operators that have no meaning here. */
function lowerOther(
  context: Context,
  node: Ts.BinaryExpression,
  text: string,
  scope: Scope,
): Value {
  const { left, right } = node;
  const a = brief(left);
  const b = brief(right);
  if (text === '**') {
    return scalar(power(context.number(left, scope), context.number(right, scope), node));
  }
  if (text === '==' || text === '!=') {
    context.fail('L002', `'${text}' coerces its operands`, node.operatorToken, {
      help: `write '${text}='`,
    });
    const [x, y] = comparable(context, node, scope);
    return scalar(compare(text === '==' ? 'eq' : 'ne', x, y, spanOf(node)));
  }
  if (isAssignment(node.operatorToken.kind)) return assigned(context, node);
  if (text === ',' && !isTyped(node)) {
    // Minifiers keep a condition whose arms are equal as (c, a): it is lowered to see that it is pure.
    if (!isCounter(left)) context.scalar(left, scope);
    return context.value(right, scope);
  }
  const help =
    text === '??' ? 'numbers are never missing: use the left side alone, or c ? a : b'
    : text === ',' ? 'write one expression'
    : text === 'in' ? `a chosen set is asked with .has: columns.has(${a})`
    : `use operators on numbers instead of ${a} ${text} ${b}`; // biome-ignore format: a table
  return context.fail('L001', `'${text}' has no meaning on a device`, node.operatorToken, { help });
}

function assigned(context: Context, node: Ts.Node): Value {
  return context.fail('L008', 'an assignment changes something', node, {
    help: 'give a new const its value: const near = c ? a : b',
  });
}

function refuse(context: Context, node: Ts.Expression): Value {
  if (node.kind === ts.SyntaxKind.ThisKeyword) {
    return context.fail('L004', "a field of 'this' can change", node, {
      help: `declare it: pattern('${context.pattern}', { window: count }), then (pair, { window })`,
    });
  }
  const [what, help] = reason(node);
  return context.fail('L001', `${what} has no meaning on a device`, node, { help });
}

function reason(node: Ts.Expression): readonly [string, string] {
  if (ts.isOptionalChain(node)) return ["'?.'", "write '.': declared names are never missing"];
  if (ts.isAwaitExpression(node)) return ["'await'", 'capture what it waits for as a tensor'];
  if (ts.isYieldExpression(node)) return ["'yield'", 'return one value'];
  if (ts.isStringLiteralLike(node) || ts.isTemplateExpression(node)) {
    return ['a string', 'use numbers: an enum or as const object names them'];
  }
  if (ts.isArrayLiteralExpression(node)) {
    return ['an array', 'write the cases: k === 1 || k === 2, or capture a tensor'];
  }
  if (ts.isObjectLiteralExpression(node)) return ['an object', 'name each number with const'];
  if (ts.isBigIntLiteral(node)) return ['a bigint', 'write an int32 number: 4 and not 4n'];
  if (ts.isRegularExpressionLiteral(node)) return ['a regular expression', 'compare numbers'];
  if (ts.isNewExpression(node)) return ["'new'", 'use numbers'];
  if (ts.isTypeOfExpression(node)) return ["'typeof'", 'the kinds are declared: compare values'];
  if (node.kind === ts.SyntaxKind.NullKeyword || ts.isVoidExpression(node)) {
    return ['a missing value', 'give a number or boolean'];
  }
  return ['this expression', 'use operators, Math and pure functions on numbers'];
}
