// Constants that are more than one number: `as const` objects, enums, and what compilers make of them.
// Only outside a mask: an object inside one has no meaning.

import { int } from '../expression.ts';
import { isFunction, isTyped, spanOf, strip, type Ts, ts } from './syntax.ts';
import { type Context, type Scope, scalar, toScalar, unknown, type Value } from './value.ts';

/**
 * The value of an initialiser. Objects count when they cannot change: `as const`, `Object.freeze`,
 * or, in JavaScript, which has lost both words of TypeScript, when no statement assigns a field.
 */
export function constantValue(
  context: Context,
  node: Ts.Expression,
  scope: Scope,
  isChanged: () => boolean,
): Value {
  const inner = strip(node);
  if (ts.isObjectLiteralExpression(inner) || ts.isArrayLiteralExpression(inner)) {
    const isFixed = isTyped(node) ? saysConst(node) : !isChanged();
    if (isFixed) return objectValue(inner, scope);
    return context.fail('L004', 'the fields of this object can change', inner, {
      help: 'write { ... } as const',
    });
  }
  if (ts.isCallExpression(inner)) {
    const [argument] = inner.arguments;
    if (argument && inner.expression.getText() === 'Object.freeze') {
      const frozen = strip(argument);
      if (ts.isObjectLiteralExpression(frozen)) return objectValue(frozen, scope);
    }
  }
  return compiledEnum(inner, scope) ?? context.value(node, scope);
}

/** `as const` somewhere among the assertions around an expression. */
function saysConst(node: Ts.Expression): boolean {
  if (ts.isAsExpression(node) || ts.isTypeAssertionExpression(node)) {
    return node.type.getText() === 'const' || saysConst(node.expression);
  }
  if (ts.isParenthesizedExpression(node) || ts.isSatisfiesExpression(node)) {
    return saysConst(node.expression);
  }
  return false;
}

function objectValue(
  node: Ts.ObjectLiteralExpression | Ts.ArrayLiteralExpression,
  scope: Scope,
): Value {
  const never = (): boolean => false;
  const inside = (context: Context, part: Ts.Expression): Value => {
    const inner = strip(part);
    return ts.isObjectLiteralExpression(inner) || ts.isArrayLiteralExpression(inner)
      ? objectValue(inner, scope)
      : constantValue(context, part, scope, never);
  };
  const what = 'the constant object';
  return {
    is: 'object',
    what,
    member(context, name, use) {
      if (ts.isArrayLiteralExpression(node)) {
        const element = node.elements[Number(name)];
        return element ? respan(inside(context, element), use) : noMember(context, name, use);
      }
      const property = node.properties.find((one) => one.name && nameOf(one.name) === name);
      if (!property) return noMember(context, name, use);
      if (ts.isPropertyAssignment(property))
        return respan(inside(context, property.initializer), use);
      if (ts.isShorthandPropertyAssignment(property)) {
        return respan(inside(context, property.name), use);
      }
      if (isFunction(property)) return { is: 'function', node: property, scope };
      return context.fail('L001', `'${name}' is no constant`, use, { help: `write ${name}: 4` });
    },
  };
}

const nameOf = (name: Ts.PropertyName): string | undefined =>
  ts.isIdentifier(name) || ts.isStringLiteral(name) || ts.isNumericLiteral(name)
    ? name.text
    : undefined;

function noMember(context: Context, name: string, use: Ts.Node): Value {
  return context.fail('L017', `the object has no '${name}'`, use, {
    help: 'write one of its own fields, without spread and computed names',
  });
}

/** An enum: each member the number written, or one more than the member before. */
export function enumValue(context: Context, node: Ts.EnumDeclaration, outer: Scope): Value {
  const scope = outer.inner();
  let next: number | undefined = 0;
  for (const one of node.members) {
    const name = nameOf(one.name) ?? '';
    if (one.initializer && ts.isStringLiteralLike(one.initializer)) {
      next = undefined;
      continue;
    }
    if (one.initializer) {
      const value = toScalar(context, context.value(one.initializer, scope), one);
      next = value.op === 'const' && value.kind === 'int' ? (value.value as number) + 1 : undefined;
      scope.names.set(name, scalar(value));
    } else if (next !== undefined) {
      scope.names.set(name, scalar(int(next, spanOf(one))));
      next += 1;
    }
  }
  return enumObject(node.name.text, scope);
}

function enumObject(what: string, scope: Scope): Value {
  return {
    is: 'object',
    what,
    member(context, name, use) {
      const value = scope.names.get(name);
      return value ? respan(value, use) : noMember(context, name, use);
    },
  };
}

/** What compilers make of `enum Kind`: a function, called at once, of `Kind[Kind["Text"] = 0] = "Text"`. */
function compiledEnum(node: Ts.Node, outer: Scope): Value | undefined {
  if (!ts.isCallExpression(node)) return undefined;
  const fn = strip(node.expression);
  if (!isFunction(fn) || !fn.body || !ts.isBlock(fn.body)) return undefined;
  const scope = outer.inner();
  for (const statement of fn.body.statements) {
    if (ts.isReturnStatement(statement)) continue;
    const [, name, value] =
      /^\w+\[\w+\["(\w+)"\] = (-?\d+)\] = "\w+";?$/.exec(statement.getText()) ?? [];
    if (name === undefined) return undefined;
    scope.names.set(name, scalar(int(Number(value), spanOf(statement))));
  }
  return scope.names.size > 0 ? enumObject('the enum', scope) : undefined;
}

/** tsc declares `var Kind;` and fills it in the next statement: `(function (Kind) {...})(Kind || ...)`. */
export function enumOf(variable: Ts.VariableDeclaration, outer: Scope): Value | undefined {
  const statement = variable.parent.parent;
  if (isTyped(variable) || !ts.isVariableStatement(statement)) return undefined;
  if (!ts.isSourceFile(statement.parent) && !ts.isBlock(statement.parent)) return undefined;
  const { statements } = statement.parent;
  const next = statements[statements.indexOf(statement) + 1];
  if (!next || !ts.isExpressionStatement(next) || !ts.isCallExpression(next.expression)) {
    return undefined;
  }
  const fills = next.expression.arguments[0]?.getText().startsWith(`${variable.name.getText()} ||`);
  return fills ? compiledEnum(next.expression, outer) : undefined;
}

/** A constant is shown where it is used, not where it was declared. */
export function respan(value: Value, use: Ts.Node): Value {
  if (value.is === 'scalar') return scalar({ ...value.expression, span: spanOf(use) });
  return value.is === 'unknown' && !value.member ? unknown(value.name) : value;
}
