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
  /** In an order in which each mentions only those before. */
  readonly tanhs: readonly SmallTanh[];
  readonly value: Expression;
}

/** `of` times a polynomial of its square; `ranges` as `smallRanges`. */
export interface SmallTanh {
  readonly name: string;
  readonly of: Expression;
  /** Right where `of^2 < limit`. The lowest coefficient is the first; all are the same for a unit. */
  readonly ranges: readonly {
    readonly coefficients: readonly Expression[];
    readonly limit: Expression;
  }[];
}

/**
 * tanh(x) = x * (c0 + c1 * x^2 + c2 * x^4 + ...) for |x| < `below`, with a relative error of at most `error`, in float32
 * too: the minimax polynomials of tanh(sqrt(w)) / sqrt(w), by Remez' exchange in 40 digits, are off by 4.0e-7 and
 * 5.5e-7, roundings add less than 1e-7. Because of the pole at i * pi / 2 a bound twice as large costs one coefficient.
 */
export const smallRanges = [
  { below: 1 / 4, error: 5.1e-7, coefficients: [0.9999996043445013, -0.333219082250449, 0.1284161343104726] },
  { below: 1 / 2, error: 6.3e-7, coefficients: [0.9999994557710956, -0.33326317935370586, 0.131902965938156, -0.044402225844017075] },
] as const; // biome-ignore format: a table

/**
 * The score of small numbers, or undefined where it takes no `tanh` of the product, or other functions that the hardware
 * has not: the text has it for each range twice, and compilers take long for as many of these.
 */
export function smallScore(score: Expression, uniforms: Uniforms): SmallScore | undefined {
  const tanhs: SmallTanh[] = [];
  /** factor * tanh(argument) */
  const polynomial = (argument: Expression, factor: Expression): Expression => {
    const { node, factor: inner } = factorOf(visit(argument), uniforms);
    const name = `tanh_${tanhs.length}`;
    tanhs.push({ name, of: node, ranges: rangesOf(inner, factor, uniforms) });
    return binary('mul', local(`of_${name}`), local(`per_${name}`));
  };
  const visit = (node: Expression): Expression => {
    const { node: core, factor } = factorOf(node, uniforms);
    if (core.op === 'unary' && core.name === 'tanh' && mentions(core, 'index', 's'))
      return polynomial(core.args[0], factor);
    const args = children(node);
    return args.length === 0 ? node : ({ ...node, args: args.map(visit) } as Expression);
  };
  const value = visit(score);
  const parts = [value, ...tanhs.map(({ of }) => of)].flatMap((part) => [...walk(part)]);
  const isLong = parts.some(
    (part) => (part.op === 'unary' || part.op === 'binary') && functions.has(part.name),
  );
  return tanhs.length === 0 || isLong ? undefined : { tanhs, value };
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

/** The polynomials of factor * tanh(inner * x) in x. None may leave the range of floats where tanh does not. */
function rangesOf(inner: Expression, factor: Expression, uniforms: Uniforms): SmallTanh['ranges'] {
  const named = (node: Expression): Expression =>
    node.op === 'const' || node.op === 'param' ? node : uniforms.named(node);
  const square = inner === one ? one : named(times(inner, inner));
  return smallRanges.map(({ below, coefficients }) => {
    let power = times(inner, factor);
    const all = coefficients.map((coefficient, i) => {
      if (i > 0) power = times(power, square);
      return named(times(real(coefficient), power));
    });
    if (inner === one) return { coefficients: all, limit: real(below ** 2) };
    const last = unary('abs', all.at(-1)!);
    const isNormal = and(compare('lt', real(1e-30), last), compare('lt', last, real(1e30)));
    const limit = named(select(isNormal, binary('div', real(below ** 2), square), real(0)));
    return { coefficients: all, limit };
  });
}
