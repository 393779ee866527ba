// The fields of values: of the pair, of the declared names, of constant objects.
// How fields are written (`.x`, `{ x }`, `['x']`) is the matter of expressions.ts and statements.ts.

import { at, has, type Index, index, indices, param } from '../expression.ts';
import { spanOf, type Ts } from './syntax.ts';
import { type Context, describe, type Scope, scalar, unknown, type Value } from './value.ts';

/** The field `name` of a value. */
export function member(context: Context, value: Value, name: string, use: Ts.Node): Value {
  switch (value.is) {
    case 'pair':
      return pairField(context, name, use);
    case 'given':
      return declaredField(context, name, use);
    case 'object':
      return value.member(context, name, use);
    case 'unknown':
      return value.member?.(context, name, use) ?? unknown(value.name && `${value.name}.${name}`);
    case 'tensor':
      return context.fail('L001', `a tensor has only .at, not '.${name}'`, use, {
        help: `write ${value.name}.at(...), one index per dimension`,
      });
    case 'set':
      return context.fail('L001', `a chosen set has only .has, not '.${name}'`, use, {
        help: `write ${value.name}.has(...)`,
      });
    default:
      return context.fail('L001', `${describe(value)} has no '.${name}' on a device`, use, {
        help: 'use operators and Math on numbers',
      });
  }
}

/** Fields of the pair in this step: only a score sees the logit `s`. */
const pairFields = (context: Context): readonly Index[] =>
  context.step === 'score' ? indices : indices.filter((name) => name !== 's');

function pairField(context: Context, name: string, use: Ts.Node): Value {
  const fields = pairFields(context);
  const field = fields.find((one) => one === name);
  if (field) return scalar(index(field, spanOf(use)));
  const help =
    name === 's'
      ? 'only .score sees the logit s'
      : isDeclared(context, name)
        ? `it is declared: take it from the second argument, (pair, { ${name} })`
        : `the pair has ${fields.join(', ')}`;
  return context.fail('L017', `the pair has no '${name}'`, use, { help });
}

const isDeclared = ({ declarations }: Context, name: string): boolean =>
  name in declarations.params || name in declarations.tensors || name in declarations.sets;

function declaredField(context: Context, name: string, use: Ts.Node): Value {
  const { params, tensors, sets } = context.declarations;
  if (Object.hasOwn(params, name)) return scalar(param(name, params[name]!.kind, spanOf(use)));
  if (Object.hasOwn(tensors, name)) return { is: 'tensor', name };
  if (Object.hasOwn(sets, name)) return { is: 'set', name };
  const help = pairFields(context).some((one) => one === name)
    ? `it belongs to the pair: take it from the first argument, ({ ${name} })`
    : `declare it: pattern('${context.pattern}', { ${name}: count })`;
  return context.fail('L017', `'${context.pattern}' does not declare '${name}'`, use, { help });
}

/** What to write for a name that is known, but was not taken from its argument. */
export function hintFor(context: Context, name: string): string | undefined {
  if (pairFields(context).some((one) => one === name))
    return `take it from the pair: ({ ${name} }) => ...`;
  if (isDeclared(context, name))
    return `take it from the second argument: (pair, { ${name} }) => ...`;
  return undefined;
}

/** `doc.at(...)` or `blocks.has(...)`: every index an integer, as many as declared. */
export function lowerLoad(
  context: Context,
  value: Value & { is: 'tensor' | 'set' },
  node: Ts.CallExpression,
  scope: Scope,
): Value {
  const { name, is } = value;
  const wanted =
    is === 'tensor'
      ? context.declarations.tensors[name]!.rank
      : context.declarations.sets[name]!.arity;
  const use = `an index of '${name}'`;
  const args = node.arguments.map((arg) => context.int(arg, scope, use));
  if (args.length !== wanted) {
    return context.fail('L020', `'${name}' takes ${count(wanted)}, not ${args.length}`, node, {
      help: is === 'tensor' ? 'give one index per dimension' : 'give the coordinates of the set',
    });
  }
  const span = spanOf(node);
  if (is === 'set') return scalar(has(name, args, span));
  return scalar(at(name, context.declarations.tensors[name]!.kind, args, span));
}

const count = (n: number): string => (n === 1 ? 'one index' : `${n} indices`);
