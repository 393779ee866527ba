// The language as a grammar of random expressions: one arbitrary per kind of value and depth. It may
// give integers that overflow; bounded.ts mends those.

import fc from 'fast-check';
import type { Declarations } from '../../dsl/declarations.ts';
import * as x from '../../dsl/expression.ts';

type Expression = x.Expression;
type Random = fc.Arbitrary<Expression>;
type Weighted = readonly [weight: number, arbitrary: Random];

/** Expressions with at most so many levels: integers, floats of masks, floats of scores, bools. */
export interface Kinds {
  readonly int: Random;
  readonly float: Random;
  readonly real: Random;
  readonly bool: Random;
}

/** One of them; shrinks towards the first. */
const among = (...choices: readonly Weighted[]): Random =>
  fc.oneof(
    { withCrossShrink: true },
    ...choices.map(([weight, arbitrary]) => ({ weight, arbitrary })),
  );
/** Each of a list that may be empty. */
const each = (weight: number, list: readonly Random[]): Weighted[] =>
  list.map((one) => [weight, one]);
const anyOf = (weight: number, list: readonly Expression[]): Weighted[] =>
  list.length ? [[weight, fc.constantFrom(...list)]] : [];

const unary = (names: readonly x.Unary[], a: Random): Random =>
  fc.tuple(fc.constantFrom(...names), a).map(([name, part]) => x.unary(name, part));
const binary = (names: readonly x.Binary[], a: Random, b: Random): Random =>
  fc
    .tuple(fc.constantFrom(...names), a, b)
    .map(([name, left, right]) => x.binary(name, left, right));
const compare = (names: readonly x.Comparison[], a: Random, b: Random): Random =>
  fc
    .tuple(fc.constantFrom(...names), a, b)
    .map(([name, left, right]) => x.compare(name, left, right));
const select = (c: Random, a: Random, b: Random): Random =>
  fc.tuple(c, a, b).map(([test, yes, no]) => x.select(test, yes, no));

/** At least 1, so that logarithms, roots and powers are defined. */
const positive = (a: Expression) => x.binary('max', a, x.real(1));

const [q, k] = [x.index('q'), x.index('k')];
const distance = x.binary('sub', q, k);
const constants = fc
  .oneof(
    fc.integer({ min: -3, max: 9 }),
    fc.constantFrom(16, 17, 31, 32, 63, 64, 65, 100, 128, -64),
  )
  .map((n) => x.int(n));
/** Divisors and block sizes. */
const sizes = [2, 3, 4, 7, 8, 16, 64, 1];
/** Floats that float32 has. */
const quarters = fc.integer({ min: -32, max: 32 }).map((n) => x.real(n / 4));

export function grammar(declarations: Partial<Declarations>, depth: number): Kinds {
  const { params = {}, tensors = {}, sets = {} } = declarations;
  const named = Object.entries(params).map(([name, { kind }]) => x.param(name, kind));
  const intParams = named.filter(({ kind }) => kind === 'int');
  const floatParams = named.filter(({ kind }) => kind === 'float');
  const divisors = Object.entries(params)
    .filter(([, { kind, lo }]) => kind === 'int' && lo >= 1)
    .map(([name]) => x.param(name, 'int'));
  const size = among([4, fc.constantFrom(...sizes).map((n) => x.int(n))], ...anyOf(1, divisors));
  const divisor = among([6, size], [1, fc.constantFrom(-1, -3, -16).map((n) => x.int(n))]);
  const block = (index: Expression): Random => size.map((n) => x.binary('floordiv', index, n));

  const plainInt = among(
    [4, fc.constantFrom(q, k, distance)],
    [
      1,
      fc
        .constantFrom('row', 'head', 'kvHead', 'batch', 'qLen', 'kLen' as const)
        .map((name) => x.index(name as x.Index)),
    ],
    [2, constants],
    ...anyOf(2, intParams),
  );

  /** `name.at(...)`: the position last, as real tensors have it, or any integers. */
  const loads = (kind: 'int' | 'float', deeper: Random): Random[] =>
    Object.entries(tensors)
      .filter(([, tensor]) => tensor.kind === kind)
      .map(([name, { rank }]) => {
        const leading = Array.from({ length: rank - 1 }, () => x.index('batch'));
        const last = fc.constantFrom(q, k, ...(rank === 1 ? [x.index('head')] : []));
        const usual = last.map((index) => x.at(name, kind, rank ? [...leading, index] : []));
        const anything = fc
          .array(deeper, { minLength: rank, maxLength: rank })
          .map((args) => x.at(name, kind, args));
        return among([3, usual], [1, anything]);
      });

  /** The distance from the end of q's group, `(floor(q / n) + 1) * n - 1 - k`. */
  const fromGroupEnd = size.map((n) => {
    const group = x.binary('add', x.binary('floordiv', q, n), x.int(1));
    return x.binary('sub', x.binary('sub', x.binary('mul', group, n), x.int(1)), k);
  });
  /** `name.has(...)` with the arguments that plans understand, or any integers. */
  const asks = (deeper: Random): Random[] =>
    Object.entries(sets).map(([name, { arity }]) => {
      const key = among(
        [3, fc.constantFrom(k, distance)],
        [1, fromGroupEnd],
        [1, block(k)],
        [1, deeper],
      );
      const row = among([2, fc.constant(q)], [2, block(q)], [1, deeper]);
      return fc.tuple(row, key).map(([r, c]) => x.has(name, arity === 1 ? [c] : [r, c]));
    });

  const sameBlock = size.map((n) =>
    x.compare('eq', x.binary('floordiv', q, n), x.binary('floordiv', k, n)),
  );
  const plainBool = among(
    [3, fc.constant(x.compare('le', k, q))],
    [2, compare(['lt'], fc.constant(distance), plainInt)],
    [2, compare(['lt'], fc.constant(k), plainInt)],
    [1, sameBlock],
    ...each(1, asks(plainInt)),
    ...each(
      1,
      loads('int', plainInt).map((load) => compare(['eq'], load, load)),
    ),
  );

  const ints = ({ int, bool }: Kinds): Random =>
    among(
      [6, plainInt],
      [4, binary(['add', 'sub', 'mul', 'min', 'max'], int, int)],
      [3, binary(['floordiv', 'rem'], int, divisor)],
      [2, unary(['neg', 'abs', 'sign', 'bitnot'], int)],
      [1, binary(['bitand', 'bitor', 'bitxor'], int, among([1, constants], [1, int]))],
      [
        1,
        binary(
          ['shl', 'shr', 'ushr'],
          int,
          fc.integer({ min: 1, max: 5 }).map((n) => x.int(n)),
        ),
      ],
      [1, select(bool, int, int)],
      ...each(1, loads('int', int)),
    );

  const plainFloat = among(
    [2, quarters],
    ...anyOf(2, floatParams),
    ...each(1, loads('float', plainInt)),
  );
  /** Floats as masks may have them: every operation is exact. */
  const floats = ({ float, bool }: Kinds): Random =>
    among(
      [4, plainFloat],
      [2, binary(['min', 'max'], float, float)],
      [1, unary(['neg', 'fround'], float)],
      [1, select(bool, float, float)],
    );

  const plainReal = among(
    [3, fc.constant(x.index('s'))],
    [1, plainFloat],
    [1, plainInt.map(x.widen)],
  );
  /** Floats as scores may have them. */
  const reals = ({ real, int, bool }: Kinds): Random =>
    among(
      [4, plainReal],
      [5, binary(['add', 'sub', 'mul', 'min', 'max'], real, real)],
      [
        2,
        binary(
          ['div'],
          real,
          fc.constantFrom(0.5, 2, 4, 30, -8).map((n) => x.real(n)),
        ),
      ],
      [2, unary(['neg', 'abs', 'tanh', 'sin', 'cos', 'fround', 'floor'], real)],
      [2, unary(['log', 'log2', 'sqrt'], real.map(positive))],
      [1, real.map((a) => x.unary('exp', x.binary('min', a, x.real(2))))],
      [1, real.map((a) => x.binary('pow', positive(a), x.real(0.5)))],
      [2, int.map(x.widen)],
      [2, select(bool, real, real)],
    );

  const bools = ({ int, float, bool }: Kinds): Random =>
    among(
      [5, plainBool],
      [4, fc.tuple(bool, bool).map(([a, b]) => x.and(a, b))],
      [4, fc.tuple(bool, bool).map(([a, b]) => x.or(a, b))],
      [2, bool.map((a) => x.not(a))],
      [4, compare(x.comparisons, int, int)],
      [2, compare(x.comparisons, float, among([1, float], [1, plainInt]))],
      [1, compare(['eq', 'ne'], bool, bool)],
      [1, select(bool, bool, bool)],
      ...each(1, asks(int)),
    );

  let kinds: Kinds = { int: plainInt, float: plainFloat, real: plainReal, bool: plainBool };
  for (let level = 0; level < depth; level += 1) {
    const below = kinds;
    kinds = { int: ints(below), float: floats(below), real: reals(below), bool: bools(below) };
  }
  return kinds;
}
