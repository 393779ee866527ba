// Expressions as CUDA C, for one (query, key) pair. Integers are int (proved to fit at launch). Floats
// are float; a comparison that widens an integer is done in double, where both sides are exact.

import type { Binary, Comparison, Expression, Unary } from '../dsl/expression.ts';
import { walk } from '../dsl/expression.ts';
import type { Names } from './names.ts';
import { localName, step } from './uniforms.ts';

export type FloatKind = 'float' | 'double';

/** In what floats are computed; of a score, in float with the functions that the hardware has (device/functions.cuh). */
export type Arithmetic = FloatKind | 'score';

const comparators: Record<Comparison, string> = { lt: '<', le: '<=', eq: '==', ne: '!=' };

const infix: Partial<Record<Binary, string>> = {
  add: '+',
  sub: '-',
  mul: '*',
  bitand: '&',
  bitor: '|',
  bitxor: '^',
};

const intCalls: Partial<Record<Binary, string>> = {
  floordiv: 'floor_div',
  min: 'min',
  max: 'max',
  shl: 'shift_left',
  shr: 'shift_right',
  ushr: 'shift_right_unsigned',
};

/** Functions of one float; the float32 versions are accurate to a few ulp. */
const floatCalls: Partial<Record<Unary, string>> = {
  abs: 'fabsf',
  sign: 'sign_of_float',
  floor: 'floorf',
  ceil: 'ceilf',
  trunc: 'truncf',
  exp: 'expf',
  log: 'logf',
  log2: 'log2f',
  sqrt: 'sqrtf',
  tanh: 'tanhf',
  sin: 'sinf',
  cos: 'cosf',
};

/** CUDA's own branch; for as many pairs as a kernel has in its registers they are long, and take minutes to compile. */
const scoreCalls: Partial<Record<Unary, string>> = { log2: 'log2_fast', sqrt: 'root_fast' };

/** A number as a C literal of the kind. */
export function literal(value: number, kind: 'int' | FloatKind): string {
  if (kind === 'int') return value === -(2 ** 31) ? '(-2147483647 - 1)' : String(value);
  if (Number.isNaN(value)) return '__int_as_float(0x7fffffff)';
  if (!Number.isFinite(value)) return value > 0 ? 'POSITIVE_INFINITY' : 'NEGATIVE_INFINITY';
  const digits = kind === 'float' ? String(Math.fround(value)) : String(value);
  const text = Object.is(value, -0) ? '-0.0' : /[.e]/.test(digits) ? digits : `${digits}.0`;
  return kind === 'float' ? `${text}f` : text;
}

/** How sets are asked: early where many are before the first answer is needed (device/sets.cuh). */
export type Asking = 'set_has' | 'set_has_early';

/** Text over the variables `q`, `k`, `s` and the unit `u`, in parentheses where it is no single term. */
export function scalarText(
  node: Expression,
  names: Names,
  arithmetic: Arithmetic = 'float',
  asking: Asking = 'set_has',
): string {
  const floats = arithmetic === 'double' ? 'double' : 'float';
  const text = (part: Expression, kind: Arithmetic = arithmetic): string =>
    scalarText(part, names, kind, asking);
  const call = (name: string, args: readonly Expression[]): string =>
    `${name}(${args.map((arg) => text(arg)).join(', ')})`;
  switch (node.op) {
    case 'const':
      if (typeof node.value === 'boolean') return String(node.value);
      return literal(node.value, node.kind === 'int' ? 'int' : floats);
    case 'index':
      return indexText(node.name);
    case 'param':
      return paramText(node.name, names);
    case 'at':
      return `at_${names('tensor', node.tensor)}(${['u', ...node.args.map((arg) => text(arg))].join(', ')})`;
    case 'has': {
      const args = node.args.length === 1 ? ['0'] : [text(node.args[0]!)];
      return `${asking}(u.${names('set', node.set)}, ${[...args, text(node.args.at(-1)!)].join(', ')})`;
    }
    case 'unary':
      return unaryText(node.name, node.kind, text(node.args[0]), arithmetic);
    case 'binary': {
      const { name, args, kind } = node;
      const operator = infix[name];
      if (operator) return `(${text(args[0])} ${operator} ${text(args[1])})`;
      if (kind === 'int')
        return name === 'rem'
          ? `(${text(args[0])} % ${text(args[1])})`
          : call(intCalls[name]!, args);
      const ofScore = arithmetic === 'score';
      if (name === 'div')
        return ofScore ? call('quotient_fast', args) : `(${text(args[0])} / ${text(args[1])})`;
      if (name === 'min' || name === 'max') return call(`${name}_of<${floats}>`, args);
      if (name === 'rem') return call('fmodf', args);
      return call(ofScore ? 'power_fast' : 'powf', args);
    }
    case 'compare': {
      const kind = node.args.some(widensInteger) ? 'double' : 'float';
      const [a, b] = node.args.map((arg) => text(arg, kind));
      return `(${a} ${comparators[node.name]} ${b})`;
    }
    case 'and':
    case 'or': {
      // A branch costs more than a comparison, and less than a load.
      const operator = node.op === 'and' ? '&' : '|';
      const joined = node.args.every(isQuick) ? operator : operator + operator;
      return `(${node.args.map((arg) => text(arg)).join(` ${joined} `)})`;
    }
    case 'not':
      return `!${text(node.args[0])}`;
    case 'float':
      return `(${floats})${text(node.args[0])}`;
    case 'select': {
      const [condition, yes, no] = node.args.map((arg) => text(arg));
      return `(${condition} ? ${yes} : ${no})`;
    }
  }
}

/** Numbers that are at hand, added and compared. */
export function isQuick(node: Expression): boolean {
  switch (node.op) {
    case 'const':
    case 'index':
    case 'param':
      return true;
    case 'binary':
      // A product of what is the same for a unit is made once.
      if (node.name === 'mul') return node.args.every(({ op }) => op === 'const' || op === 'param');
      return (node.name === 'add' || node.name === 'sub') && node.args.every(isQuick);
    case 'compare':
    case 'and':
    case 'or':
    case 'not':
      return node.args.every(isQuick);
    default:
      return false;
  }
}

function paramText(name: string, names: Names): string {
  if (name === step.float.name) return '(float)step';
  return localName(name) ?? `u.${names('param', name)}`;
}

function indexText(name: string): string {
  switch (name) {
    case 'row':
      return '(q - u.offset)';
    case 'kvHead':
      return 'u.kv_head';
    case 'qLen':
      return 'u.q_len';
    case 'kLen':
      return 'u.k_len';
    case 'head':
    case 'batch':
      return `u.${name}`;
    default:
      return name;
  }
}

function unaryText(
  name: Unary,
  kind: 'int' | 'float',
  value: string,
  arithmetic: Arithmetic,
): string {
  if (name === 'neg') return `(-${value})`;
  if (name === 'bitnot') return `(~${value})`;
  if (kind === 'int') return name === 'abs' ? `abs(${value})` : `sign_of(${value})`;
  if (name === 'fround') return arithmetic === 'double' ? `(double)(float)${value}` : value;
  if (arithmetic !== 'score') return `${floatCalls[name]!}(${value})`;
  if (name === 'log') return `(${literal(Math.LN2, 'float')} * log2_fast(${value}))`;
  return `${scoreCalls[name] ?? floatCalls[name]!}(${value})`;
}

/** Does the value come from an integer that float32 may not hold? */
function widensInteger(node: Expression): boolean {
  for (const part of walk(node)) {
    if (part.op === 'float' && part.args[0].op !== 'const') return true;
    if (part.op === 'const' && typeof part.value === 'number' && isRounded(part.value)) return true;
  }
  return false;
}

const isRounded = (value: number): boolean => !Object.is(Math.fround(value), value);
