// The meaning of an expression on intervals: bounds that hold for every point of a box. It is sound for
// every expression (law 2) and exact when all inputs are single values.

import { applyBinary, applyUnary } from '../evaluate.ts';
import type { Binary, Comparison, Expression, Index, Unary } from '../expression.ts';
import { linearOf } from './linear.ts';

/** Every value lies in `[lo, hi]`, or is NaN where `nan` says so; `lo > hi` when only NaN is left. */
export interface Bounds {
  readonly lo: number;
  readonly hi: number;
  readonly nan: boolean;
}

/** Which truth values occur: 1 false, 2 true, 3 both. */
export type Truth = 1 | 2 | 3;
export const never: Truth = 1;
export const always: Truth = 2;
export const maybe: Truth = 3;

/** Bounds of everything that an expression may mention. */
export interface IntervalEnvironment {
  index(name: Index): Bounds;
  /** Bounds of q - k, tighter than those of q and k apart. */
  readonly difference: Bounds;
  param(name: string): Bounds;
  at(tensor: string, lo: readonly number[], hi: readonly number[]): Bounds;
  has(set: string, lo: readonly number[], hi: readonly number[]): Truth;
}

export const bounds = (lo: number, hi: number = lo): Bounds => ({ lo, hi, nan: false });
const everything: Bounds = { lo: -Infinity, hi: Infinity, nan: true };
const onlyNaN: Bounds = { lo: Infinity, hi: -Infinity, nan: true };
const int32: Bounds = bounds(-(2 ** 31), 2 ** 31 - 1);
const point = (value: number): Bounds => (Number.isNaN(value) ? onlyNaN : bounds(value));
const isPoint = (a: Bounds): boolean => a.lo === a.hi && !a.nan;
const hull = (a: Bounds, b: Bounds): Bounds => ({
  lo: Math.min(a.lo, b.lo),
  hi: Math.max(a.hi, b.hi),
  nan: a.nan || b.nan,
});

/** Bounds of a number. */
export function intervalOf(node: Expression, env: IntervalEnvironment): Bounds {
  switch (node.op) {
    case 'const':
      return point(node.value as number);
    case 'index':
      return env.index(node.name);
    case 'param':
      return env.param(node.name);
    case 'at': {
      const args = node.args.map((arg) => intervalOf(arg, env));
      return env.at(
        node.tensor,
        args.map(({ lo }) => lo),
        args.map(({ hi }) => hi),
      );
    }
    case 'float':
      return intervalOf(node.args[0], env);
    case 'select': {
      const truth = truthOf(node.args[0], env);
      if (truth === always) return intervalOf(node.args[1], env);
      if (truth === never) return intervalOf(node.args[2], env);
      return hull(intervalOf(node.args[1], env), intervalOf(node.args[2], env));
    }
    case 'unary':
      return linear(node, env) ?? unaryOf(node.name, intervalOf(node.args[0], env), node.kind);
    case 'binary':
      return (
        linear(node, env) ??
        binaryOf(node.name, intervalOf(node.args[0], env), intervalOf(node.args[1], env), node.kind)
      );
    default:
      throw new Error(`warploom is at fault: '${node.op}' is no number`);
  }
}

/** Truth values of a bool. */
export function truthOf(node: Expression, env: IntervalEnvironment): Truth {
  switch (node.op) {
    case 'const':
      return node.value ? always : never;
    case 'has': {
      const args = node.args.map((arg) => intervalOf(arg, env));
      return env.has(
        node.set,
        args.map(({ lo }) => lo),
        args.map(({ hi }) => hi),
      );
    }
    case 'compare': {
      const [left, right] = node.args;
      if (left.kind === 'bool')
        return compareTruths(node.name, truthOf(left, env), truthOf(right, env));
      return compareOf(node.name, intervalOf(left, env), intervalOf(right, env));
    }
    case 'and': {
      const a = truthOf(node.args[0], env);
      if (a === never) return never;
      const b = truthOf(node.args[1], env);
      return b === never ? never : a === always && b === always ? always : maybe;
    }
    case 'or': {
      const a = truthOf(node.args[0], env);
      if (a === always) return always;
      const b = truthOf(node.args[1], env);
      return b === always ? always : a === never && b === never ? never : maybe;
    }
    case 'not':
      return negate(truthOf(node.args[0], env));
    case 'select': {
      const c = truthOf(node.args[0], env);
      if (c === always) return truthOf(node.args[1], env);
      if (c === never) return truthOf(node.args[2], env);
      return (truthOf(node.args[1], env) | truthOf(node.args[2], env)) as Truth;
    }
    default:
      throw new Error(`warploom is at fault: '${node.op}' is no truth value`);
  }
}

const negate = (a: Truth): Truth => (a === maybe ? maybe : a === always ? never : always);

/** Integer sums keep q - k together: `2q - k` is bounded by q and q - k, not by q and k apart. */
function linear(node: Expression, env: IntervalEnvironment): Bounds | undefined {
  if (node.kind !== 'int') return undefined;
  const form = linearOf(node);
  if (!form) return undefined;
  const shared =
    form.q * form.k < 0 ? Math.sign(form.q) * Math.min(Math.abs(form.q), Math.abs(form.k)) : 0;
  let sum = bounds(form.constant);
  if (shared !== 0) sum = plusTimes(sum, shared, env.difference);
  if (form.q !== shared) sum = plusTimes(sum, form.q - shared, env.index('q'));
  if (form.k !== -shared) sum = plusTimes(sum, form.k + shared, env.index('k'));
  for (const [coefficient, part] of form.others)
    sum = plusTimes(sum, coefficient, intervalOf(part, env));
  return sum;
}

/** `sum + coefficient * b`, of finite integers; the coefficient is not 0. */
const plusTimes = (sum: Bounds, coefficient: number, b: Bounds): Bounds =>
  coefficient > 0
    ? bounds(sum.lo + coefficient * b.lo, sum.hi + coefficient * b.hi)
    : bounds(sum.lo + coefficient * b.hi, sum.hi + coefficient * b.lo);

export function compareOf(name: Comparison, a: Bounds, b: Bounds): Truth {
  const nan = a.nan || b.nan;
  let truth: number = 0;
  if (a.lo <= a.hi && b.lo <= b.hi) {
    if (name === 'lt') truth = (a.lo < b.hi ? 2 : 0) | (a.hi >= b.lo ? 1 : 0);
    if (name === 'le') truth = (a.lo <= b.hi ? 2 : 0) | (a.hi > b.lo ? 1 : 0);
    const meet = a.lo <= b.hi && b.lo <= a.hi;
    const same = a.lo === a.hi && b.lo === b.hi && a.lo === b.lo;
    if (name === 'eq') truth = (meet ? 2 : 0) | (same ? 0 : 1);
    if (name === 'ne') truth = (same ? 0 : 2) | (meet ? 1 : 0);
  }
  if (nan) truth |= name === 'ne' ? 2 : 1;
  return truth as Truth;
}

function compareTruths(name: Comparison, a: Truth, b: Truth): Truth {
  const equal = a === maybe || b === maybe ? maybe : a === b ? always : never;
  return name === 'eq' ? equal : negate(equal);
}

// V8's transcendental functions are close to monotone, not exactly: a few units in the last place.
const loosen = (a: Bounds): Bounds => {
  const slack = (x: number) => (Number.isFinite(x) ? Math.abs(x) * 1e-14 + 1e-300 : 0);
  return { lo: a.lo - slack(a.lo), hi: a.hi + slack(a.hi), nan: a.nan };
};

function unaryOf(name: Unary, a: Bounds, kind: string): Bounds {
  if (a.lo > a.hi) return name === 'bitnot' ? bounds(-1) : a;
  if (isPoint(a)) return point(applyUnary(name, a.lo));
  const rising = (b: Bounds): Bounds => ({
    lo: applyUnary(name, b.lo),
    hi: applyUnary(name, b.hi),
    nan: b.nan,
  });
  switch (name) {
    case 'neg':
      return { lo: -a.hi, hi: -a.lo, nan: a.nan };
    case 'bitnot':
      return a.lo >= int32.lo && a.hi <= int32.hi ? bounds(~a.hi, ~a.lo) : int32;
    case 'abs': {
      const low = a.lo <= 0 && a.hi >= 0 ? 0 : Math.min(Math.abs(a.lo), Math.abs(a.hi));
      return { lo: low, hi: Math.max(Math.abs(a.lo), Math.abs(a.hi)), nan: a.nan };
    }
    case 'sqrt':
    case 'log':
    case 'log2': {
      if (a.hi < 0) return onlyNaN;
      return { ...loosen(rising({ ...a, lo: Math.max(0, a.lo) })), nan: a.nan || a.lo < 0 };
    }
    case 'sin':
    case 'cos':
      return { lo: -1, hi: 1, nan: a.nan || !Number.isFinite(a.lo) || !Number.isFinite(a.hi) };
    case 'exp':
    case 'tanh':
      return loosen(rising(a));
    default:
      return kind === 'int' && (name === 'floor' || name === 'ceil' || name === 'trunc')
        ? a
        : rising(a);
  }
}

function binaryOf(name: Binary, a: Bounds, b: Bounds, kind: string): Bounds {
  if (isPoint(a) && isPoint(b)) return point(applyBinary(name, a.lo, b.lo));
  const nan = a.nan || b.nan;
  if (a.lo > a.hi || b.lo > b.hi) return onlyNaN;
  switch (name) {
    case 'add':
      return sum(a, b, nan);
    case 'sub':
      return sum(a, { lo: -b.hi, hi: -b.lo, nan: b.nan }, nan);
    case 'mul':
      return corners(name, a, b, nan);
    case 'div':
    case 'floordiv':
      if (b.lo <= 0 && b.hi >= 0) return everything;
      return corners(name, a, b, nan);
    case 'rem':
      return remainder(a, b, kind, nan);
    case 'min':
      return { lo: Math.min(a.lo, b.lo), hi: Math.min(a.hi, b.hi), nan };
    case 'max':
      return { lo: Math.max(a.lo, b.lo), hi: Math.max(a.hi, b.hi), nan };
    case 'pow':
      // A base of 0 may be -0, and (-0) ** -1 is -Infinity.
      return a.lo > 0 ? loosen(corners(name, a, b, nan)) : everything;
    default:
      return bits(name, a, b);
  }
}

function sum(a: Bounds, b: Bounds, nan: boolean): Bounds {
  const [lo, hi] = [a.lo + b.lo, a.hi + b.hi];
  const opposite =
    (a.lo === -Infinity && b.hi === Infinity) || (a.hi === Infinity && b.lo === -Infinity);
  if (Number.isNaN(lo) || Number.isNaN(hi)) return everything;
  return { lo, hi, nan: nan || opposite };
}

/** Extremes at the corners: exact for operations monotone in each argument over the box. */
function corners(name: Binary, a: Bounds, b: Bounds, nan: boolean): Bounds {
  const values = [a.lo, a.hi].flatMap((x) => [
    applyBinary(name, x, b.lo),
    applyBinary(name, x, b.hi),
  ]);
  if (values.some(Number.isNaN)) return everything;
  const infinite = !(
    Number.isFinite(a.lo) &&
    Number.isFinite(a.hi) &&
    Number.isFinite(b.lo) &&
    Number.isFinite(b.hi)
  );
  // 0 * Infinity and Infinity / Infinity hide between the corners.
  return { lo: Math.min(...values), hi: Math.max(...values), nan: nan || infinite };
}

/** JavaScript's and C's remainder: the sign of the dividend. */
function remainder(a: Bounds, b: Bounds, kind: string, nan: boolean): Bounds {
  const zeroDivisor = b.lo <= 0 && b.hi >= 0;
  const largest = Math.max(Math.abs(b.lo), Math.abs(b.hi));
  if (isPoint(b) && !zeroDivisor && kind === 'int') {
    // Within one period the remainder only rises.
    const m = Math.abs(b.lo);
    const period = Math.trunc(a.lo / m);
    const sameSign = a.lo >= 0 || a.hi <= 0;
    if (sameSign && period === Math.trunc(a.hi / m)) return bounds(a.lo % m, a.hi % m);
  }
  const most = kind === 'int' ? largest - 1 : largest;
  return {
    lo: a.lo >= 0 ? 0 : Math.max(-most, a.lo),
    hi: a.hi <= 0 ? 0 : Math.min(most, a.hi),
    nan:
      nan ||
      (kind === 'float' && (zeroDivisor || !Number.isFinite(a.lo) || !Number.isFinite(a.hi))),
  };
}

const isWord = (a: Bounds): boolean => a.lo >= int32.lo && a.hi <= int32.hi;
/** The least number of ones in binary that is not below a positive number. */
const covering = (a: number): number => 2 ** (32 - Math.clz32(a)) - 1;

/** Operations on 32-bit words. Exact where the sign is known, all of int32 elsewhere. */
function bits(name: Binary, a: Bounds, b: Bounds): Bounds {
  if (!isWord(a) || !isWord(b)) return name === 'ushr' ? bounds(0, 2 ** 32 - 1) : int32;
  const positive = a.lo >= 0 && b.lo >= 0;
  switch (name) {
    case 'bitand':
      if (positive) return bounds(0, Math.min(a.hi, b.hi));
      if (a.lo >= 0) return bounds(0, a.hi);
      return b.lo >= 0 ? bounds(0, b.hi) : int32;
    case 'bitor':
      return positive ? bounds(Math.max(a.lo, b.lo), covering(a.hi | b.hi)) : int32;
    case 'bitxor':
      return positive ? bounds(0, covering(a.hi | b.hi)) : int32;
    default:
      break;
  }
  const shift = isPoint(b) && b.lo >= 0 && b.lo <= 31;
  if (!shift) return name === 'ushr' ? bounds(0, 2 ** 32 - 1) : int32;
  if (name === 'shl') {
    const [lo, hi] = [a.lo * 2 ** b.lo, a.hi * 2 ** b.lo];
    return lo >= int32.lo && hi <= int32.hi ? bounds(lo, hi) : int32;
  }
  if (name === 'shr') return bounds(a.lo >> b.lo, a.hi >> b.lo);
  return a.lo >= 0 ? bounds(a.lo >>> b.lo, a.hi >>> b.lo) : bounds(0, 2 ** 32 - 1);
}
