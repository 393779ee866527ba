// The names that every file has: Math, Number, Infinity, and the ones that a mask cannot use.
// What the functions of Math compute is in calls.ts.

import { real } from '../expression.ts';
import { spanOf, type Ts } from './syntax.ts';
import { type Context, scalar, type Value } from './value.ts';

const constants: Readonly<Record<string, number>> = {
  E: Math.E, LN2: Math.LN2, LN10: Math.LN10, LOG2E: Math.LOG2E, LOG10E: Math.LOG10E,
  PI: Math.PI, SQRT1_2: Math.SQRT1_2, SQRT2: Math.SQRT2,
}; // biome-ignore format: a table

const numbers: Readonly<Record<string, number>> = {
  MAX_SAFE_INTEGER: Number.MAX_SAFE_INTEGER,
  MIN_SAFE_INTEGER: Number.MIN_SAFE_INTEGER,
  POSITIVE_INFINITY: Infinity,
  NEGATIVE_INFINITY: -Infinity,
};

/** Their answers change from call to call, or calling them changes something. */
const impure = new Set([
  'console', 'Date', 'performance', 'crypto', 'process', 'globalThis', 'window', 'fetch',
  'setTimeout', 'queueMicrotask', 'require', 'Atomics', 'Intl',
]); // biome-ignore format: a table

/** The value of a global name, or undefined where there is no such name for masks. */
export function globalValue(context: Context, name: string, use: Ts.Node): Value | undefined {
  if (name === 'Infinity') return scalar(real(Infinity, spanOf(use)));
  if (name === 'Math') return { is: 'object', what: 'Math', member: mathMember };
  if (name === 'Number') return { is: 'object', what: 'Number', member: numberMember };
  if (name === 'undefined' || name === 'NaN') {
    return context.fail('L001', `'${name}' has no meaning on a device`, use, {
      help:
        name === 'NaN' ? 'write -Infinity to drop a key in a score' : 'give a number or boolean',
    });
  }
  if (!impure.has(name)) return undefined;
  const help =
    name === 'console'
      ? 'remove it; to look at pairs, run the arrow yourself or set a breakpoint in it'
      : 'a mask must be pure: capture the value as a parameter or a tensor';
  return context.fail('L006', `'${name}' is not pure`, use, { help });
}

function mathMember(context: Context, name: string, use: Ts.Node): Value {
  const value = constants[name];
  if (value !== undefined) return scalar(real(value, spanOf(use)));
  if (name !== 'random') return { is: 'math', name };
  return context.fail('L006', "'Math.random' is not pure", use, {
    help: `capture a tensor of random numbers: pattern('${context.pattern}', { noise: f32('batch', 'k') })`,
  });
}

function numberMember(context: Context, name: string, use: Ts.Node): Value {
  const value = numbers[name];
  if (value !== undefined) return scalar(real(value, spanOf(use)));
  return context.fail('L001', `'Number.${name}' has no meaning on a device`, use, {
    help: `of Number there are ${Object.keys(numbers).join(', ')}`,
  });
}
