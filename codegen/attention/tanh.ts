// Scores whose `tanh` is taken of small numbers, as soft-capped scores nearly always are: there a polynomial is as
// accurate, and has neither an exponential nor a division, of which a multiprocessor has few.

import {
  and,
  binary,
  children,
  compare,
  type Expression,
  mentions,
  real,
  select,
  unary,
  walk,
} from '../../dsl/expression.ts';
import { local, type Uniforms } from '../uniforms.ts';

/** A score with `of_<name> * per_<name>`, two locals, as each `tanh` of the product. */
export interface SmallScore {
  /** None is taken of another: what all are taken of is known before. */
  readonly tanhs: readonly SmallTanh[];
  readonly value: Expression;
}

/** A tanh as it was found: factor * tanh(inner * of); a term is added to what else the exponent is. */
interface Found {
  readonly name: string;
  readonly of: Expression;
  readonly inner: Expression;
  readonly factor: Expression;
  readonly isTerm: boolean;
}

/** `of` times a polynomial of its square; `ranges` as `smallRanges`, or `termRanges`. */
export interface SmallTanh {
  readonly name: string;
  readonly of: Expression;
  /** Right where `of^2 < limit`. The lowest coefficient is the first; all are the same for a unit. */
  readonly ranges: readonly {
    readonly coefficients: readonly Expression[];
    readonly limit: Expression;
  }[];
}

/** A polynomial of so many coefficients for numbers that are small enough for it. */
export interface SmallRange {
  /** tanh(x) = x * (c0 + c1 * x^2 + c2 * x^4 + ...) for |x| < `below`. */
  readonly below: number;
  /** Relative, in float32. */
  readonly error: number;
  /** As much of an exponent as it may be off by: undefined where that is no more than of any function. */
  readonly mostError?: number;
  /** The lowest is the first. */
  readonly coefficients: readonly number[];
}

/**
 * Minimax polynomials of tanh(sqrt(w)) / sqrt(w), by Remez' exchange in 40 digits, are off by 4.0e-7 and 5.5e-7, roundings
 * add less than 1e-7. Because of the pole at i * pi / 2 a bound twice as large costs one coefficient.
 */
export const smallRanges: readonly SmallRange[] = [
  { below: 1 / 4, error: 5.1e-7, coefficients: [0.9999996043445013, -0.333219082250449, 0.1284161343104726] },
  { below: 1 / 2, error: 6.3e-7, coefficients: [0.9999994557710956, -0.33326317935370586, 0.131902965938156, -0.044402225844017075] },
]; // biome-ignore format: a table

/** Weights are then off by 2^-12.8 of themselves: less than what rounding them to fp16 costs, or a 14th of bf16. */
const mostError = 2e-4;

/**
 * The same for what is a term of an exponent: as long as that is off by no more than `mostError`. A coefficient less is a
 * product and a sum less for each pair, and each of these takes a cycle from the tensor cores (an H100, measured).
 */
export const termRanges: readonly SmallRange[] = [
  { below: 0.18, error: 1.8e-5, mostError, coefficients: [0.9999827507164497, -0.32906357664948316] },
  { below: 0.4, error: 6.4e-6, mostError, coefficients: [0.9999937531374675, -0.3326257948194, 0.12127786695482724] },
  { below: 0.9, error: 3.1e-6, mostError, coefficients: [0.9999971800681582, -0.3331563364752709, 0.13151300254765763, -0.04715688693970678, 0.0105086783416683] },
]; // biome-ignore format: a table

/** How far a tanh of small numbers may move a score, whatever it is taken of. */
export const coarseError = mostError * Math.LN2;

/**
 * The score of small numbers, or undefined where it takes no `tanh` of the product, one of another, or other functions that
 * the hardware has not: the text has it for each range several times, and compilers take long for as many of these.
 */
export function smallScore(score: Expression, uniforms: Uniforms): SmallScore | undefined {
  const found: Found[] = [];
  let isNested = false;
  /** factor * tanh(argument) */
  const polynomial = (argument: Expression, factor: Expression, isTerm: boolean): Expression => {
    const before = found.length;
    const { node, factor: inner } = factorOf(visit(argument, false), uniforms);
    isNested ||= found.length > before;
    const name = `tanh_${found.length}`;
    found.push({ name, of: node, inner, factor, isTerm });
    return binary('mul', local(`of_${name}`), local(`per_${name}`));
  };
  const visit = (node: Expression, isTerm: boolean): Expression => {
    const { node: core, factor } = factorOf(node, uniforms);
    if (core.op === 'unary' && core.name === 'tanh' && mentions(core, 'index', 's'))
      return polynomial(core.args[0], factor, isTerm);
    const args = children(node);
    const isSum = node.op === 'binary' && (node.name === 'add' || node.name === 'sub');
    return args.length === 0
      ? node
      : ({ ...node, args: args.map((arg) => visit(arg, isTerm && isSum)) } as Expression);
  };
  const value = visit(score, true);
  const table = found.every(({ isTerm }) => isTerm) ? termRanges : smallRanges;
  const tanhs = found.map(
    (one): SmallTanh => ({
      name: one.name,
      of: one.of,
      ranges: table.map((range, i) => rangeOf(range, i, one, uniforms)),
    }),
  );
  const parts = [value, ...tanhs.map(({ of }) => of)].flatMap((part) => [...walk(part)]);
  const isLong = parts.some(
    (part) => (part.op === 'unary' || part.op === 'binary') && functions.has(part.name),
  );
  return tanhs.length === 0 || isNested || isLong ? undefined : { tanhs, value };
}

const functions = new Set(['exp', 'tanh', 'sin', 'cos', 'rem']);

const one = real(1);
const times = (a: Expression, b: Expression): Expression =>
  a === one ? b : b === one ? a : binary('mul', a, b);

/** `factor * node` where the factor is the same for a unit. */
function factorOf(node: Expression, uniforms: Uniforms): { node: Expression; factor: Expression } {
  if (node.op === 'binary' && node.name === 'mul' && node.kind === 'float') {
    const [a, b] = node.args;
    if (uniforms.isUniform(b)) return { node: a, factor: b };
    if (uniforms.isUniform(a)) return { node: b, factor: a };
  }
  return { node, factor: one };
}

/**
 * The polynomial of factor * tanh(inner * x) in x. None may leave the range of floats where tanh does not. A unit has the
 * coefficients of the first range, of others the last one, and the rest are made where they are needed: the warp that loads
 * units has few registers.
 */
function rangeOf(
  { below, error, mostError, coefficients }: SmallRange,
  range: number,
  { inner, factor }: Found,
  uniforms: Uniforms,
): SmallTanh['ranges'][number] {
  const named = (node: Expression): Expression =>
    node.op === 'const' || node.op === 'param' ? node : uniforms.named(node);
  const inverse = (node: Expression): Expression => named(binary('div', one, node));
  const square = inner === one ? one : named(times(inner, inner));
  let power = times(inner, factor);
  const all = coefficients.map((coefficient, i) => {
    if (i > 0) power = times(power, square);
    const own = times(real(coefficient), power);
    return range === 0 || i === coefficients.length - 1 ? named(own) : own;
  });
  // Of the square of inner * x: a factor that is 0 bounds nothing.
  const most =
    mostError === undefined
      ? real(below ** 2)
      : binary(
          'min',
          real(below ** 2),
          times(real((mostError / error) ** 2), inverse(times(factor, factor))),
        );
  if (inner === one) return { coefficients: all, limit: named(most) };
  const last = unary('abs', all.at(-1)!);
  const isNormal = and(compare('lt', real(1e-30), last), compare('lt', last, real(1e30)));
  const limit = named(select(isNormal, times(most, inverse(square)), real(0)));
  return { coefficients: all, limit };
}
