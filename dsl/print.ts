// Expressions as readable TypeScript, with the parentheses that JavaScript needs and no others. Reading
// the text back gives the same tree; only casts from int to float vanish, as JavaScript has none.

import type { Declarations } from './declarations.ts';
import {
  type Binary,
  type Comparison,
  type Expression,
  type Index,
  indices,
  walk,
} from './expression.ts';

// How tightly JavaScript binds, loosest first.
const level = {
  conditional: 2,
  or: 3,
  and: 4,
  bitor: 5,
  bitxor: 6,
  bitand: 7,
  equality: 8,
  relation: 9,
  shift: 10,
  sum: 11,
  product: 12,
  power: 13,
  unary: 14,
  call: 15,
} as const;

const operators: Partial<Record<Binary, readonly [string, number]>> = {
  add: ['+', level.sum],
  sub: ['-', level.sum],
  mul: ['*', level.product],
  div: ['/', level.product],
  rem: ['%', level.product],
  bitand: ['&', level.bitand],
  bitor: ['|', level.bitor],
  bitxor: ['^', level.bitxor],
  shl: ['<<', level.shift],
  shr: ['>>', level.shift],
  ushr: ['>>>', level.shift],
};

const comparators: Record<Comparison, readonly [string, number]> = {
  lt: ['<', level.relation],
  le: ['<=', level.relation],
  eq: ['===', level.equality],
  ne: ['!==', level.equality],
};

/** Text, and how tightly its outermost operator binds. */
interface Printed {
  readonly text: string;
  readonly binds: number;
}

type Rename = (name: string) => string;

/** A number as its author wrote it: float parameters are rounded to float32, and 0.1 reads 0.1 again. */
export function printNumber(value: number): string {
  for (let digits = 1; digits < 9; digits += 1) {
    const short = Number(value.toPrecision(digits));
    if (short === value || Math.fround(short) === value) return String(short);
  }
  return String(value);
}

/**
 * The expression as one line of TypeScript: `k <= q && (k < sinks || q - k < window)`. `rename` gives
 * parameters, tensors and sets other names.
 */
export const printExpression = (node: Expression, rename: Rename = (name) => name): string =>
  print(node, rename).text;

/**
 * The expression as a whole arrow, `({ q, k }, { window }) => q - k < window`, that takes a pair and
 * what the pattern is given. It destructures what it mentions and nothing else, given things in the
 * order of `declarations` where they are known. A name that no variable can have gets another one.
 */
export function printArrow(node: Expression, declarations?: Partial<Declarations>): string {
  const pair = new Set<Index>();
  const mentioned = new Set<string>();
  for (const part of walk(node)) {
    if (part.op === 'index') pair.add(part.name);
    if (part.op === 'param') mentioned.add(part.name);
    if (part.op === 'at') mentioned.add(part.tensor);
    if (part.op === 'has') mentioned.add(part.set);
  }
  const { params = {}, tensors = {}, sets = {} } = declarations ?? {};
  const declared = [params, tensors, sets].flatMap(Object.keys);
  const given = [...new Set([...declared.filter((name) => mentioned.has(name)), ...mentioned])];
  const variables = variablesFor(given);
  const first = indices.filter((name) => pair.has(name)).join(', ');
  const second = given.map((name) => {
    const variable = variables.get(name)!;
    if (variable === name) return name;
    return `${isIdentifier(name) ? name : JSON.stringify(name)}: ${variable}`;
  });
  const parameters =
    second.length === 0
      ? first === ''
        ? ''
        : `{ ${first} }`
      : `${first === '' ? '_' : `{ ${first} }`}, { ${second.join(', ')} }`;
  return `(${parameters}) => ${print(node, (name) => variables.get(name)!).text}`;
}

const isIdentifier = (name: string): boolean => /^[A-Za-z_$][\w$]*$/.test(name);

// A given thing may be called like a number of the pair, a global that the text needs, or a keyword.
const taken = new Set<string>([
  ...indices,
  ...['_', 'Math', 'Infinity', 'NaN', 'undefined', 'eval', 'arguments', 'await', 'async', 'yield'],
  ...['let', 'static', 'enum', 'implements', 'interface', 'package', 'private', 'protected'],
  ...['public', 'break', 'case', 'catch', 'class', 'const', 'continue', 'debugger', 'default'],
  ...['delete', 'do', 'else', 'export', 'extends', 'false', 'finally', 'for', 'function', 'if'],
  ...['import', 'in', 'instanceof', 'new', 'null', 'return', 'super', 'switch', 'this', 'throw'],
  ...['true', 'try', 'typeof', 'var', 'void', 'while', 'with'],
]);

function variablesFor(given: readonly string[]): ReadonlyMap<string, string> {
  const used = new Set([...taken, ...given]);
  const variables = new Map<string, string>();
  for (const name of given) {
    let variable = name;
    if (taken.has(name) || !isIdentifier(name)) {
      variable = `${name.replace(/[^\w$]/g, '_').replace(/^(?=\d|$)/, '_')}_`;
      while (used.has(variable)) variable += '_';
      used.add(variable);
    }
    variables.set(name, variable);
  }
  return variables;
}

function print(node: Expression, rename: Rename): Printed {
  /** A child where the syntax asks for something that binds at least so tightly. */
  const child = (part: Expression, atLeast: number): string => {
    const { text, binds } = print(part, rename);
    return binds < atLeast ? `(${text})` : text;
  };
  const call = (callee: string, args: readonly Expression[]): Printed => ({
    text: `${callee}(${args.map((arg) => child(arg, level.conditional)).join(', ')})`,
    binds: level.call,
  });
  /** Operators group to the left: the right side has to bind more tightly. */
  const infix = (
    [a, b]: readonly [Expression, Expression],
    operator: string,
    binds: number,
  ): Printed => ({ text: `${child(a, binds)} ${operator} ${child(b, binds + 1)}`, binds });
  const prefix = (operator: string, part: Expression): Printed => {
    const text = child(part, level.unary);
    // `--x` would be a decrement.
    const joined = operator === '-' && text.startsWith('-') ? `-(${text})` : operator + text;
    return { text: joined, binds: level.unary };
  };

  switch (node.op) {
    case 'const':
      return constant(node.value);
    case 'index':
      return { text: node.name, binds: level.call };
    case 'param':
      return { text: rename(node.name), binds: level.call };
    case 'at':
      return call(`${rename(node.tensor)}.at`, node.args);
    case 'has':
      return call(`${rename(node.set)}.has`, node.args);
    case 'unary':
      if (node.name === 'neg') return prefix('-', node.args[0]);
      if (node.name === 'bitnot') return prefix('~', node.args[0]);
      return call(`Math.${node.name}`, node.args);
    case 'binary': {
      const { name, args } = node;
      if (name === 'floordiv') {
        return { text: `Math.floor(${infix(args, '/', level.product).text})`, binds: level.call };
      }
      if (name === 'pow') {
        // Groups to the right, and JavaScript refuses a unary operator on the left: (-x) ** 2.
        const text = `${child(args[0], level.call)} ** ${child(args[1], level.power)}`;
        return { text, binds: level.power };
      }
      const operator = operators[name];
      return operator ? infix(args, ...operator) : call(`Math.${name}`, args);
    }
    case 'compare':
      return infix(node.args, ...comparators[node.name]);
    case 'and':
      return infix(node.args, '&&', level.and);
    case 'or':
      return infix(node.args, '||', level.or);
    case 'not':
      return prefix('!', node.args[0]);
    case 'float':
      return print(node.args[0], rename);
    case 'select': {
      const [condition, yes, no] = node.args;
      const arms = `${child(yes, level.conditional)} : ${child(no, level.conditional)}`;
      return { text: `${child(condition, level.or)} ? ${arms}`, binds: level.conditional };
    }
  }
}

function constant(value: number | boolean): Printed {
  if (Object.is(value, -0)) return { text: '-0', binds: level.unary };
  const text = String(value);
  return { text, binds: text.startsWith('-') ? level.unary : level.call };
}
