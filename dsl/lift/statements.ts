// Function bodies: `const`, `if` and `return` become one expression of selects.
// Anything that would change something, or run more than once, is refused here.

import { type Expression, select } from '../expression.ts';
import { member } from './members.ts';
import { isAssignment } from './scope.ts';
import { type FunctionNode, spanOf, strip, type Ts, ts } from './syntax.ts';
import {
  type Context,
  isHole,
  type Scope,
  scalar,
  toScalar,
  unknown,
  type Value,
} from './value.ts';

/** What a function gives when its parameters are bound in `scope`. */
export function lowerBody(context: Context, fn: FunctionNode, scope: Scope): Value {
  const { body } = fn;
  if (!body) return context.fail('L001', 'a function without a body', fn);
  if (fn.asteriskToken) return context.fail('L001', 'a generator has no meaning on a device', fn);
  if (fn.modifiers?.some((one) => one.kind === ts.SyntaxKind.AsyncKeyword)) {
    return context.fail('L001', 'an async function has no meaning on a device', fn, {
      help: 'a mask answers at once: capture what it waits for as a tensor',
    });
  }
  if (!ts.isBlock(body)) return context.value(body, scope);
  const result = runBlock(context, body.statements, scope.inner(), () => undefined);
  return (
    result ??
    context.fail('L016', 'a path through this function returns nothing', fn, {
      help: 'end it with return',
    })
  );
}

/** What comes after a statement; undefined is the end of the function without a `return`. */
type Rest = () => Value | undefined;

/** Both arms of an `if` may go on with the same rest: it is lowered once. */
function once(rest: Rest): Rest {
  let result: { value: Value | undefined } | undefined;
  return () => {
    result ??= { value: rest() };
    return result.value;
  };
}

function runBlock(
  context: Context,
  statements: readonly Ts.Statement[],
  scope: Scope,
  rest: Rest,
): Value | undefined {
  for (const statement of statements) {
    if (ts.isFunctionDeclaration(statement) && statement.name) {
      scope.names.set(statement.name.text, { is: 'function', node: statement, scope });
    }
  }
  const from = (i: number): Value | undefined => {
    const statement = statements[i];
    if (!statement) return rest();
    return run(context, statement, scope, () => from(i + 1));
  };
  return from(0);
}

function run(
  context: Context,
  statement: Ts.Statement,
  scope: Scope,
  rest: Rest,
): Value | undefined {
  if (ts.isReturnStatement(statement)) {
    if (statement.expression) return context.value(statement.expression, scope);
    return context.fail('L016', 'this returns nothing', statement, { help: 'return a value' });
  }
  if (ts.isVariableStatement(statement)) {
    for (const variable of statement.declarationList.declarations) {
      bindVariable(context, variable, scope);
    }
    return rest();
  }
  if (ts.isIfStatement(statement)) return runIf(context, statement, scope, once(rest));
  if (ts.isBlock(statement)) return runBlock(context, statement.statements, scope.inner(), rest);
  if (ts.isExpressionStatement(statement)) effect(context, statement.expression, scope);
  else if (!isSilent(statement)) refuse(context, statement);
  return rest();
}

function runIf(
  context: Context,
  statement: Ts.IfStatement,
  scope: Scope,
  rest: Rest,
): Value | undefined {
  const condition = context.boolean(statement.expression, scope);
  const { thenStatement, elseStatement } = statement;
  const yes = run(context, thenStatement, scope.inner(), rest);
  const no = elseStatement ? run(context, elseStatement, scope.inner(), rest) : rest();
  if (!yes || !no) return undefined;
  // Neither arm returned: the condition decides nothing.
  if (yes === no) return yes;
  const arms = [toScalar(context, yes, thenStatement), toScalar(context, no, statement)] as const;
  return scalar(choose(context, condition, ...arms, statement));
}

/** A select of two values of one kind. */
export function choose(
  context: Context,
  condition: Expression,
  yes: Expression,
  no: Expression,
  node: Ts.Node,
): Expression {
  let [a, b] = [yes, no];
  if ((a.kind === 'bool') !== (b.kind === 'bool')) {
    if (isHole(a)) a = { ...a, kind: b.kind } as Expression;
    else if (isHole(b)) b = { ...b, kind: a.kind } as Expression;
    else {
      context.fail('L016', 'one side is a boolean and the other a number', node, {
        help: 'give both sides the same kind',
      });
      return yes;
    }
  }
  return select(condition, a, b, spanOf(node));
}

function bindVariable(context: Context, variable: Ts.VariableDeclaration, scope: Scope): void {
  if (!variable.initializer) {
    context.fail('L008', 'a variable that gets its value later', variable, {
      help: 'give it its value here: const x = c ? a : b',
    });
    bind(context, variable.name, unknown(''), scope);
    return;
  }
  bind(context, variable.name, context.value(variable.initializer, scope), scope);
}

/** Gives a value to a name, or its fields to the names of `{ q: row, k }`. */
export function bind(context: Context, name: Ts.BindingName, value: Value, scope: Scope): void {
  if (ts.isIdentifier(name)) {
    scope.names.set(name.text, value);
    return;
  }
  if (ts.isArrayBindingPattern(name)) {
    context.fail('L001', 'an array has no meaning on a device', name, {
      help: 'name the fields: ({ q, k }) => ...',
    });
    for (const element of name.elements) {
      if (ts.isBindingElement(element)) bind(context, element.name, unknown(''), scope);
    }
    return;
  }
  for (const element of name.elements) bindElement(context, element, value, scope);
}

function bindElement(
  context: Context,
  element: Ts.BindingElement,
  value: Value,
  scope: Scope,
): void {
  const field = element.propertyName ?? element.name;
  const isPlain = ts.isIdentifier(field) || ts.isStringLiteral(field);
  if (element.dotDotDotToken || element.initializer || !isPlain) {
    const what = element.dotDotDotToken ? "'...'" : element.initializer ? 'a default' : 'this form';
    context.fail('L001', `${what} has no meaning in these names`, element, {
      help: 'name each field: ({ q, k }, { window }) => ...; defaults belong to the declarations',
    });
    bind(context, element.name, unknown(''), scope);
    return;
  }
  bind(context, element.name, member(context, value, field.text, field), scope);
}

/** An expression for its effect: there is none that a device could have. */
function effect(context: Context, expression: Ts.Expression, scope: Scope): void {
  const inner = strip(expression);
  if (ts.isStringLiteral(inner) || isCounter(inner)) return;
  if (ts.isBinaryExpression(inner) && isAssignment(inner.operatorToken.kind)) {
    context.value(inner, scope); // says that it is an assignment
    return;
  }
  const before = context.findings.length;
  context.value(inner, scope);
  if (context.findings.length > before) return;
  context.fail('L008', 'a statement that does nothing for the result', expression, {
    help: 'remove it: a mask is one expression, with const and if around it',
  });
}

/** A counter that istanbul writes into functions for coverage: `cov_1a2b().s[0]++`. */
export const isCounter = (node: Ts.Expression): boolean =>
  ts.isPostfixUnaryExpression(node) && /^cov_\w+\(\)\./.test(node.getText());

/** Statements that say nothing at run time. */
const isSilent = (statement: Ts.Statement): boolean =>
  ts.isFunctionDeclaration(statement) ||
  ts.isTypeAliasDeclaration(statement) ||
  ts.isInterfaceDeclaration(statement) ||
  ts.isEmptyStatement(statement);

function refuse(context: Context, statement: Ts.Statement): void {
  if (ts.isIterationStatement(statement, false)) {
    context.fail('L001', 'a loop has no meaning on a device', statement, {
      help: 'say what holds for one pair, with && and ||; a choice among many is a set: blocks.has(...)',
    });
  } else if (ts.isSwitchStatement(statement)) {
    context.fail('L001', "'switch' has no meaning on a device", statement, {
      help: 'write if (...) return ...',
    });
  } else if (ts.isThrowStatement(statement) || ts.isTryStatement(statement)) {
    context.fail('L001', 'a device has no exceptions', statement, {
      help: 'check values where they are declared: z.int().min(1)',
    });
  } else {
    context.fail('L001', 'this statement has no meaning on a device', statement, {
      help: 'a mask is one expression, with const, if and return around it',
    });
  }
}
