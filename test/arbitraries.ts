// Random patterns and their data, for laws: shapes, masks and scores as expressions, parameters,
// captured tensors and chosen sets. Everything shrinks; nothing here depends on a device.

import fc from 'fast-check';
import type { Binding } from '../dsl/analysis/binding.ts';
import { Captured } from '../dsl/analysis/zones.ts';
import { BitSet, type SetDomain } from '../dsl/chosen.ts';
import type { Declarations, ParamDeclaration } from '../dsl/declarations.ts';
import * as x from '../dsl/expression.ts';
import { kvHeadOf, type LaunchShape, queryOffset } from '../dsl/shape.ts';
import { bounded, type Limits, most, positive, usualLimits } from './bounded.ts';

type Expression = x.Expression;

/**
 * One declaration of each sort, enough for most laws; `sizesIn` knows the sizes of its tensors and
 * `domainsIn` the domains of its sets.
 */
export const vocabulary = {
  params: {
    window: { kind: 'int', lo: 0, hi: Infinity },
    block: { kind: 'int', lo: 1, hi: 256 },
    level: { kind: 'float', lo: -4, hi: 4 },
  },
  tensors: { doc: { kind: 'int', rank: 2 }, weight: { kind: 'float', rank: 1 } },
  sets: { columns: { arity: 1 }, distances: { arity: 1 }, blocks: { arity: 2 } },
} as const satisfies Declarations;

/** Sizes of the tensors of `vocabulary`: doc [batch, k], weight [head]. */
export const sizesIn = (shape: LaunchShape): Record<string, readonly number[]> => ({
  doc: [shape.batch, shape.kLen],
  weight: [shape.heads],
});

/** Domains of the sets of `vocabulary`: keys, distances 0 .. kLen - 1, and 16 x 16 blocks of (q, k). */
export function domainsIn(shape: LaunchShape): Record<string, SetDomain> {
  const { kLen } = shape;
  const rowFrom = Math.floor(queryOffset(shape) / 16);
  const line: SetDomain = { rowFrom: 0, rows: 1, columns: kLen, arity: 1 };
  const rows = Math.max(1, Math.ceil(kLen / 16) - rowFrom);
  return {
    columns: line,
    distances: line,
    blocks: { rowFrom, rows, columns: Math.ceil(kLen / 16), arity: 2 },
  };
}

/**
 * A mask over these names: a bool of type-correct parts, every word of the mask language among them.
 * Plain atoms (`k <= q`, `q - k < 17`, `columns.has(k)`) are frequent. Divisors are constants or
 * parameters that cannot be zero, shifts are small constants, floats are only loaded, compared,
 * min/max'ed, negated and rounded, and every integer stays within int32 while q, k and the like stay
 * within `limits.position` (4096) and loaded integers within `limits.loaded`.
 */
export function arbitraryMask(
  declarations: Partial<Declarations> = vocabulary,
  { depth = 3, limits = {} }: { depth?: number; limits?: Partial<Limits> } = {},
): fc.Arbitrary<Expression> {
  const full = { ...usualLimits, ...limits };
  return grammar(declarations, depth).bool.map((node) => bounded(node, declarations, full));
}

/**
 * A score over `s`, the indices and these names: a float of every operation of the score language that
 * stays finite and within `limits.score` while |s| <= `limits.logit`: logarithms, roots and powers get
 * arguments that they are defined for, exponents are capped. Its result may be -0.
 */
export function arbitraryScore(
  declarations: Partial<Declarations> = vocabulary,
  { depth = 3, limits = {} }: { depth?: number; limits?: Partial<Limits> } = {},
): fc.Arbitrary<Expression> {
  const full = { ...usualLimits, ...limits };
  return grammar(declarations, depth).score.map((node) => bounded(node, declarations, full));
}

const smallInt = fc.oneof(
  fc.integer({ min: -3, max: 9 }),
  fc.constantFrom(15, 16, 17, 31, 32, 63, 64, 65, 100, 128, -64),
);
/** Floats that float32 has, halves and quarters among them. */
const smallFloat = fc.integer({ min: -32, max: 32 }).map((n) => n / 4);
const divisor = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(2, 3, 4, 7, 8, 16, 64) },
  { weight: 1, arbitrary: fc.constantFrom(1, -1, -3, -16) },
);

const lists = <T>(...parts: readonly (readonly T[])[]): T[] => parts.flat() as T[];

function grammar(declarations: Partial<Declarations>, depth: number) {
  const { params = {}, tensors = {}, sets = {} } = declarations;
  const [q, k] = [x.index('q'), x.index('k')];
  const named = Object.entries(params).map(([name, { kind }]) => x.param(name, kind));
  const intParams = named.filter(({ kind }) => kind === 'int');
  const floatParams = named.filter(({ kind }) => kind === 'float');
  const divisors = Object.entries(params)
    .filter(([, { kind, lo, hi }]) => kind === 'int' && lo >= 1 && hi <= most.divisor)
    .map(([name]) => x.param(name, 'int'));
  const divide = fc.oneof(
    { weight: 3, arbitrary: divisor.map((n) => x.int(n)) },
    ...(divisors.length ? [{ weight: 1, arbitrary: fc.constantFrom(...divisors) }] : []),
  );
  const block = (index: Expression) => divide.map((d) => x.binary('floordiv', index, d));
  const constant = smallInt.map((n) => x.int(n));
  const plainInt = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(q, k, x.binary('sub', q, k)) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        ...(['row', 'head', 'kvHead', 'batch', 'qLen', 'kLen'] as const).map((n) => x.index(n)),
      ),
    },
    { weight: 2, arbitrary: constant },
    ...(intParams.length ? [{ weight: 2, arbitrary: fc.constantFrom(...intParams) }] : []),
  );

  type Tied = { int: Expression; float: Expression; real: Expression; bool: Expression };
  const kept = new Map<number, { [T in keyof Tied]: fc.Arbitrary<Expression> }>();
  /** Expressions of each kind with at most `left` more levels. */
  const at = (left: number): { [T in keyof Tied]: fc.Arbitrary<Expression> } => {
    const known = kept.get(left);
    if (known) return known;
    const below = left > 0 ? at(left - 1) : undefined;
    const made = {
      int: ints(below),
      float: floats(below),
      real: reals(below),
      bool: bools(below),
    };
    kept.set(left, made);
    return made;
  };

  /** `name.at(...)` and `name.has(...)` with the arguments that real masks use, or any integers. */
  const argument = (deeper: fc.Arbitrary<Expression>) =>
    fc.oneof(
      { weight: 3, arbitrary: fc.constantFrom(q, k) },
      { weight: 1, arbitrary: fc.constantFrom(x.index('head'), x.index('batch')) },
      { weight: 1, arbitrary: deeper },
    );
  const loads = (kind: 'int' | 'float', deeper: fc.Arbitrary<Expression>) =>
    Object.entries(tensors)
      .filter(([, tensor]) => tensor.kind === kind)
      .map(([name, { rank }]) =>
        fc.oneof(
          fc
            .constantFrom(q, k)
            .map((last) =>
              x.at(
                name,
                kind,
                Array.from({ length: rank }, (_, i) =>
                  i < rank - 1 ? x.index('batch') : rank === 1 ? x.index('head') : last,
                ),
              ),
            ),
          fc
            .array(argument(deeper), { minLength: rank, maxLength: rank })
            .map((args) => x.at(name, kind, args)),
        ),
      );
  const asks = (deeper: fc.Arbitrary<Expression>) =>
    Object.entries(sets).map(([name, { arity }]) => {
      const grouped = divisor.map((n) => {
        const size = x.int(Math.abs(n));
        const group = x.binary('add', x.binary('floordiv', q, size), x.int(1));
        return x.binary('sub', x.binary('sub', x.binary('mul', group, size), x.int(1)), k);
      });
      const key = fc.oneof(
        { weight: 2, arbitrary: fc.constantFrom(k, x.binary('sub', q, k)) },
        { weight: 1, arbitrary: grouped },
        { weight: 1, arbitrary: block(k) },
        { weight: 1, arbitrary: deeper },
      );
      const row = fc.oneof(
        { weight: 3, arbitrary: fc.oneof(block(q), fc.constant(q)) },
        { weight: 1, arbitrary: deeper },
      );
      return fc.tuple(row, key).map(([r, c]) => x.has(name, arity === 1 ? [c] : [r, c]));
    });

  function ints(below: ReturnType<typeof at> | undefined): fc.Arbitrary<Expression> {
    if (!below) return plainInt;
    const { int, bool } = below;
    const operation = fc.constantFrom<x.Binary>('add', 'sub', 'mul', 'min', 'max');
    const bitwise = fc.constantFrom<x.Binary>('bitand', 'bitor', 'bitxor');
    return fc.oneof(
      { weight: 6, arbitrary: plainInt },
      {
        weight: 4,
        arbitrary: fc.tuple(operation, int, int).map(([name, a, b]) => x.binary(name, a, b)),
      },
      {
        weight: 3,
        arbitrary: fc
          .tuple(fc.constantFrom<x.Binary>('floordiv', 'rem'), int, divide)
          .map(([name, a, b]) => x.binary(name, a, b)),
      },
      {
        weight: 1,
        arbitrary: fc
          .tuple(bitwise, int, fc.oneof(constant, int))
          .map(([name, a, b]) => x.binary(name, a, b)),
      },
      {
        weight: 1,
        arbitrary: fc
          .tuple(fc.constantFrom<x.Binary>('shl', 'shr', 'ushr'), int, fc.integer({ min: 1, max: 5 }))
          .map(([name, a, n]) => x.binary(name, a, x.int(n))),
      },
      {
        weight: 2,
        arbitrary: fc
          .tuple(fc.constantFrom<x.Unary>('neg', 'abs', 'sign', 'bitnot'), int)
          .map(([name, a]) => x.unary(name, a)),
      },
      { weight: 1, arbitrary: fc.tuple(bool, int, int).map(([c, a, b]) => x.select(c, a, b)) },
      ...loads('int', int).map((arbitrary) => ({ weight: 1, arbitrary })),
    );
  }

  /** Floats as masks may have them: every operation is exact. */
  function floats(below: ReturnType<typeof at> | undefined): fc.Arbitrary<Expression> {
    const leaf = fc.oneof(
      smallFloat.map((n) => x.real(n)),
      ...(floatParams.length ? [fc.constantFrom(...floatParams)] : []),
      ...loads('float', plainInt),
    );
    if (!below) return leaf;
    const { float, bool } = below;
    return fc.oneof(
      { weight: 4, arbitrary: leaf },
      {
        weight: 2,
        arbitrary: fc
          .tuple(fc.constantFrom<x.Binary>('min', 'max'), float, float)
          .map(([name, a, b]) => x.binary(name, a, b)),
      },
      {
        weight: 1,
        arbitrary: fc
          .tuple(fc.constantFrom<x.Unary>('neg', 'fround'), float)
          .map(([name, a]) => x.unary(name, a)),
      },
      { weight: 1, arbitrary: fc.tuple(bool, float, float).map(([c, a, b]) => x.select(c, a, b)) },
    );
  }

  /** Floats as scores may have them. */
  function reals(below: ReturnType<typeof at> | undefined): fc.Arbitrary<Expression> {
    const leaf = fc.oneof(
      { weight: 3, arbitrary: fc.constant(x.index('s')) },
      { weight: 1, arbitrary: smallFloat.map((n) => x.real(n)) },
      { weight: 1, arbitrary: plainInt.map(x.widen) },
      ...lists<fc.Arbitrary<Expression>>(
        floatParams.length ? [fc.constantFrom(...floatParams)] : [],
        loads('float', plainInt),
      ).map((arbitrary) => ({ weight: 1, arbitrary })),
    );
    if (!below) return leaf;
    const { real, int, bool } = below;
    const operation = fc.constantFrom<x.Binary>('add', 'sub', 'mul', 'min', 'max');
    const smooth = fc.constantFrom<x.Unary>('neg', 'abs', 'tanh', 'sin', 'cos', 'fround', 'floor');
    return fc.oneof(
      { weight: 4, arbitrary: leaf },
      {
        weight: 5,
        arbitrary: fc.tuple(operation, real, real).map(([name, a, b]) => x.binary(name, a, b)),
      },
      {
        weight: 2,
        arbitrary: fc
          .tuple(real, fc.constantFrom(0.5, 2, 4, 30, -8))
          .map(([a, b]) => x.binary('div', a, x.real(b))),
      },
      { weight: 2, arbitrary: fc.tuple(smooth, real).map(([name, a]) => x.unary(name, a)) },
      {
        weight: 2,
        arbitrary: fc
          .tuple(fc.constantFrom<x.Unary>('log', 'log2', 'sqrt'), real)
          .map(([name, a]) => x.unary(name, positive(a))),
      },
      {
        weight: 1,
        arbitrary: real.map((a) => x.unary('exp', x.binary('min', a, x.real(2)))),
      },
      {
        weight: 1,
        arbitrary: real.map((a) => x.binary('pow', positive(a), x.real(0.5))),
      },
      { weight: 2, arbitrary: int.map(x.widen) },
      { weight: 2, arbitrary: fc.tuple(bool, real, real).map(([c, a, b]) => x.select(c, a, b)) },
    );
  }

  const plainBool = fc.oneof(
    { weight: 3, arbitrary: fc.constant(x.compare('le', k, q)) },
    {
      weight: 2,
      arbitrary: plainInt.map((limit) => x.compare('lt', x.binary('sub', q, k), limit)),
    },
    { weight: 2, arbitrary: plainInt.map((limit) => x.compare('lt', k, limit)) },
    { weight: 1, arbitrary: divide.map((d) => sameBlock(d)) },
    ...asks(plainInt).map((arbitrary) => ({ weight: 1, arbitrary })),
    ...loads('int', plainInt).map((load) => ({
      weight: 1,
      arbitrary: fc.tuple(load, load).map(([a, b]) => x.compare('eq', a, b)),
    })),
  );
  const sameBlock = (d: Expression) =>
    x.compare('eq', x.binary('floordiv', q, d), x.binary('floordiv', k, d));

  function bools(below: ReturnType<typeof at> | undefined): fc.Arbitrary<Expression> {
    if (!below) return plainBool;
    const { int, float, bool } = below;
    const comparison = fc.constantFrom<x.Comparison>(...x.comparisons);
    return fc.oneof(
      { weight: 5, arbitrary: plainBool },
      { weight: 4, arbitrary: fc.tuple(bool, bool).map(([a, b]) => x.and(a, b)) },
      { weight: 4, arbitrary: fc.tuple(bool, bool).map(([a, b]) => x.or(a, b)) },
      { weight: 2, arbitrary: bool.map((a) => x.not(a)) },
      {
        weight: 4,
        arbitrary: fc.tuple(comparison, int, int).map(([name, a, b]) => x.compare(name, a, b)),
      },
      {
        weight: 2,
        arbitrary: fc
          .tuple(comparison, float, fc.oneof(float, plainInt))
          .map(([name, a, b]) => x.compare(name, a, b)),
      },
      {
        weight: 1,
        arbitrary: fc
          .tuple(fc.constantFrom<x.Comparison>('eq', 'ne'), bool, bool)
          .map(([name, a, b]) => x.compare(name, a, b)),
      },
      { weight: 1, arbitrary: fc.tuple(bool, bool, bool).map(([c, a, b]) => x.select(c, a, b)) },
      ...asks(int).map((arbitrary) => ({ weight: 1, arbitrary })),
    );
  }

  const top = at(depth);
  return { bool: top.bool, score: top.real };
}
