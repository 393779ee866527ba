// Random calls for laws: whole patterns made of random expressions, with tensors, numbers and chosen sets
// for every head. What one expression and one unit need is in test/arbitraries.ts.

import fc from 'fast-check';
import { z } from 'zod';
import { BitSet, type ChosenSetsData, type SetDomain } from '../../dsl/chosen.ts';
import type { Declarations } from '../../dsl/declarations.ts';
import * as x from '../../dsl/expression.ts';
import { type Expression, mentions } from '../../dsl/expression.ts';
import { count, declareParam, f32, i32 } from '../../dsl/given.ts';
import { liftKey, registerLifted } from '../../dsl/lift/stored.ts';
import { type Pattern, pattern } from '../../dsl/pattern.ts';
import { printArrow } from '../../dsl/print.ts';
import type { Knobs } from '../../dsl/schedule.ts';
import { type LaunchShape, queryOffset } from '../../dsl/shape.ts';
import type { FloatType, Layout } from '../../runtime/dtype.ts';
import { type Tensor, tensor } from '../../runtime/tensor.ts';
import { arbitraryMask, arbitraryScore, arbitraryShape, numbersFrom } from '../arbitraries.ts';

/** The declarations of every random pattern, as schemas; `vocabulary` of test/arbitraries.ts as facts. */
export const given = {
  window: count.default(17),
  block: z.int().min(1).max(256).default(8),
  level: z.number().min(-4).max(4).default(0.5),
  doc: i32('batch', 'k'),
  weight: f32('head'),
} as const;

/** What `given` and the sets come to for lifting. */
export const declarations: Declarations = {
  params: {
    window: declareParam(given.window),
    block: declareParam(given.block),
    level: declareParam(given.level),
  },
  tensors: { doc: { kind: 'int', rank: 2 }, weight: { kind: 'float', rank: 1 } },
  sets: { columns: { arity: 1 }, distances: { arity: 1 }, blocks: { arity: 2 } },
};

/** The author's function of an expression, made from its text. */
export const nativeOf = (node: Expression): ((pair: never, given: never) => unknown) =>
  new Function(`return ${printArrow(node, declarations)};`)() as never;

export interface RandomPattern {
  readonly mask: Expression;
  readonly score: Expression | undefined;
  /** Size of the pools that stand in for what the mask drops. */
  readonly rest: number | undefined;
  readonly knobs: Knobs;
}

/** Random patterns; `lifted: true` lets the lift do its work, else the known form is registered. */
export function patternOf(
  { mask, score, rest, knobs }: RandomPattern,
  options: { readonly lifted?: boolean } = {},
): Pattern {
  const fn = nativeOf(mask);
  const scoreFn = score && nativeOf(score);
  if (!options.lifted) {
    const forms: Record<string, Expression> = {
      [liftKey({ step: 'mask', pattern: 'random', fn, site: undefined, declarations })]: mask,
    };
    if (score && scoreFn) {
      const request = { step: 'score', pattern: 'random', fn: scoreFn, declarations } as const;
      forms[liftKey({ ...request, site: undefined })] = score;
    }
    registerLifted(forms);
  }
  let made = pattern('random', given)
    .estimate(({ q, k }) => {
      const weight = q.dot(k).causal().softmax();
      return {
        columns: weight.sumPerKey().topk(4),
        distances: weight.sumPerDistance().topk(4),
        blocks: q.pool(16).dot(k.pool(16)).causal().topk(2),
      };
    })
    .mask(fn as never);
  if (scoreFn) made = made.score(scoreFn as never);
  if (rest !== undefined)
    made = made.rest(({ k, v }) => ({ keys: k.pool(rest), values: v.pool(rest) }));
  return made.schedule(knobs as never) as unknown as Pattern;
}

const [q, k] = [x.index('q'), x.index('k')];
const small = fc.integer({ min: -9, max: 40 }).map((n) => x.int(n));
const divisor = fc.constantFrom(2, 3, 4, 8, 16, 17).map((n) => x.int(n));
const times = (a: Expression, factor: number): Expression =>
  factor === 1 ? a : factor === -1 ? x.unary('neg', a) : x.binary('mul', x.int(factor), a);
const factors = fc.constantFrom(1, -1, 2, -2, 3, -5);

/** A term of q alone: multiples, groups, remainders, distances from an end. */
const termOfQ: fc.Arbitrary<Expression> = fc.oneof(
  fc.constantFrom(q, x.index('row'), x.int(0)),
  factors.map((factor) => times(q, factor)),
  divisor.map((n) => x.binary('mul', x.binary('floordiv', q, n), n)),
  divisor.map((n) => x.binary('rem', q, n)),
  fc.constant(x.binary('sub', x.index('kLen'), q)),
);

/** `c * k + (a term of q) + constant`, for keys that plans look for in sets and bounds. */
const affine = (ofK: fc.Arbitrary<number>): fc.Arbitrary<Expression> =>
  fc.tuple(ofK, termOfQ, small, fc.boolean()).map(([factor, term, constant, first]) => {
    const key = times(k, factor);
    const sum = first ? x.binary('add', key, term) : x.binary('sub', term, times(k, -factor));
    return x.binary('add', sum, constant);
  });

/** `(q - k + constant) % n` beside a number, which kernels ask of keys and queries apart. */
const remainder: fc.Arbitrary<Expression> = fc
  .tuple(fc.constantFrom(...x.comparisons), fc.boolean(), small, divisor, fc.boolean(), small)
  .map(([name, isBack, shift, n, isNegative, rest]) => {
    const distance = isBack ? x.binary('sub', q, k) : x.binary('sub', k, q);
    const by = isNegative ? x.int(-(n as { value: number }).value) : n;
    return x.compare(name, x.binary('rem', x.binary('add', distance, shift), by), rest);
  });

/** Linear comparisons with coefficients, remainders of distances, sets asked at shifted keys, and what is split into those. */
const planned: fc.Arbitrary<Expression> = fc.oneof(
  remainder,
  fc
    .tuple(fc.constantFrom(...x.comparisons), affine(factors), small)
    .map(([name, a, b]) => x.compare(name, a, b)),
  fc
    .tuple(
      fc.constantFrom(...x.comparisons),
      factors,
      fc.constantFrom(q, k, x.binary('sub', q, k)),
      small,
    )
    .map(([name, factor, part, b]) => x.compare(name, times(part, factor), b)),
  fc
    .tuple(fc.constantFrom('columns', 'distances'), affine(fc.constantFrom(1, -1, -1)))
    .map(([set, at]) => x.has(set, [at])),
  fc
    .tuple(fc.constantFrom('columns', 'distances'), divisor, small)
    .map(([set, n, shift]) => x.has(set, [x.binary('floordiv', x.binary('add', k, shift), n)])),
  fc
    .tuple(divisor, affine(fc.constantFrom(1, -1)), small)
    .map(([n, at, shift]) =>
      x.has('blocks', [
        x.binary('floordiv', x.binary('add', q, shift), n),
        x.binary('floordiv', at, n),
      ]),
    ),
  fc
    .tuple(divisor, small)
    .map(([n, shift]) =>
      x.has('blocks', [
        x.binary('floordiv', q, n),
        x.binary('floordiv', x.binary('add', k, shift), n),
      ]),
    ),
  fc
    .tuple(fc.constantFrom('min' as const, 'max' as const), affine(factors), affine(factors), small)
    .map(([name, a, b, c]) => x.compare('le', x.binary(name, a, b), c)),
  fc
    .tuple(affine(factors), small, fc.boolean())
    .map(([a, c, isLeft]) =>
      isLeft ? x.compare('lt', x.unary('abs', a), c) : x.compare('lt', c, x.unary('abs', a)),
    ),
);

/** Masks of one to four atoms that plans have forms for. */
export const arbitraryPlannedMask: fc.Arbitrary<Expression> = fc
  .array(
    fc.tuple(planned, fc.boolean(), fc.constantFrom('and' as const, 'and' as const, 'or' as const)),
    { minLength: 1, maxLength: 4 },
  )
  .map(
    (atoms) =>
      atoms
        .map(([atom, isNegated, op]) => [isNegated ? x.not(atom) : atom, op] as const)
        .reduce<Expression | undefined>(
          (all, [atom, op]) =>
            all === undefined ? atom : op === 'and' ? x.and(all, atom) : x.or(all, atom),
          undefined,
        )!,
  );

/** Any mask, and often one that plans have forms for. */
export const masksFor = (depth?: number): fc.Arbitrary<Expression> =>
  fc.oneof(
    { weight: 3, arbitrary: arbitraryMask(declarations, depth === undefined ? {} : { depth }) },
    { weight: 2, arbitrary: arbitraryPlannedMask },
  );

/** Tile sizes that small shapes cross often. */
export const arbitraryKnobs: fc.Arbitrary<Knobs> = fc.record(
  {
    qTile: fc.constantFrom(16, 8, 32, 64, 3, 1, 17),
    kTile: fc.constantFrom(16, 8, 32, 64, 5, 1, 31),
    order: fc.constantFrom('ascending' as const, 'descending' as const),
    gather: fc.constant('columns'),
  },
  { requiredKeys: ['qTile', 'kTile'] },
);

export interface PatternOptions {
  readonly depth?: number;
  readonly score?: boolean;
  readonly rest?: boolean;
}

/** A random pattern with a mask, in a third of cases a score, in a tenth stand-ins. */
export function arbitraryPattern({
  depth = 3,
  score = true,
  rest = true,
}: PatternOptions = {}): fc.Arbitrary<RandomPattern> {
  const none = fc.constant(undefined);
  return fc
    .record({
      mask: masksFor(depth),
      score: score
        ? fc.oneof(
            { weight: 2, arbitrary: none },
            { weight: 1, arbitrary: arbitraryScore(declarations, { depth }) },
          )
        : none,
      rest: rest
        ? fc.oneof(
            { weight: 9, arbitrary: none },
            { weight: 1, arbitrary: fc.integer({ min: 1, max: 20 }) },
          )
        : none,
      knobs: arbitraryKnobs,
    })
    .map((one) => {
      // A stand-in has no positions for a score to ask about (E009).
      const asks =
        one.score &&
        (['k', 'q', 'row'] as const).some((name) => mentions(one.score!, 'index', name));
      return asks && one.rest !== undefined ? { ...one, score: undefined } : one;
    });
}

/** The numbers behind the tensors of a call: all that is drawn; `inputsOf` makes them. */
export interface CallData {
  readonly shape: LaunchShape;
  readonly dtype: FloatType;
  readonly layouts: readonly [Layout, Layout, Layout];
  readonly seed: number;
  readonly scale: number;
}

const layout = fc.constantFrom<Layout[]>('bhsd', 'bshd');

/** Tensors of any shape, dtype and layouts. */
export const arbitraryCallData = (
  shape: fc.Arbitrary<LaunchShape> = arbitraryShape({ tile: 16, most: 36 }),
): fc.Arbitrary<CallData> =>
  fc.record({
    shape,
    dtype: fc.constantFrom<FloatType[]>('fp32', 'fp16', 'bf16'),
    layouts: fc.tuple(layout, layout, layout),
    seed: fc.nat(1_000_000),
    scale: fc.constantFrom(1, 0, 0.25, 2),
  });

/** The tensors q, k and v. */
export function tensorsOf({ shape, dtype, layouts, seed, scale }: CallData): {
  q: Tensor;
  k: Tensor;
  v: Tensor;
} {
  const { batch, heads, kvHeads, qLen, kLen, headDim, valueDim } = shape;
  const [a, b, c] = layouts;
  return {
    q: tensor.random([batch, heads, qLen, headDim], { dtype, layout: a, seed, scale }),
    k: tensor.random([batch, kvHeads, kLen, headDim], { dtype, layout: b, seed: seed + 1, scale }),
    v: tensor.random([batch, kvHeads, kLen, valueDim], { dtype, layout: c, seed: seed + 2 }),
  };
}

/** The captured tensors of `given`. */
export function capturedOf({ shape, seed }: CallData): { doc: Tensor; weight: Tensor } {
  const { batch, heads, kLen } = shape;
  const next = numbersFrom(seed + 3);
  const doc = new Int32Array(batch * kLen);
  const chance = next() < 0.3 ? 1 : 0.02 + 0.2 * next();
  for (let i = 0, document = 0; i < doc.length; i += 1) {
    if (i % kLen === 0) document = 0;
    else if (next() < chance) document += 1;
    doc[i] = chance === 1 ? Math.floor(next() * 40) - 10 : document;
  }
  const weight = Float32Array.from({ length: heads }, () => Math.floor(next() * 80 - 40) / 8);
  return {
    doc: tensor(doc, { shape: [batch, kLen], dtype: 'i32' }),
    weight: tensor(weight, { shape: [heads], dtype: 'fp32' }),
  };
}

const styles = ['few', 'half', 'runs', 'empty', 'full'] as const;

/** Fills a set in one of five ways. */
export function fillSet(set: BitSet, next: () => number): BitSet {
  const how = styles[Math.floor(next() * styles.length)]!;
  const { rowFrom, rows, columns } = set.domain;
  if (how === 'empty') return set;
  for (let row = rowFrom; row < rowFrom + rows; row += 1) {
    if (how === 'full') set.addRange(row, 0, columns);
    let inside = false;
    for (let column = 0; column < columns && how !== 'full'; column += 1) {
      const u = next();
      inside = how === 'runs' ? (u < 0.15 ? !inside : inside) : u < (how === 'few' ? 0.08 : 0.5);
      if (inside) set.add(row, column);
    }
  }
  return set;
}

/** Random members of every set of a random pattern, for every head. */
export function chosenOf({ shape, seed }: CallData): ChosenSetsData {
  const { batch, heads, qLen, kLen } = shape;
  const next = numbersFrom(seed + 4);
  const columns = Math.ceil(kLen / 16);
  const isEmpty = qLen === 0 || kLen === 0;
  const rowFrom = kLen === 0 ? 0 : Math.floor(queryOffset(shape) / 16);
  const domains: Record<string, SetDomain> = {
    columns: { rowFrom: 0, rows: 1, columns: kLen, arity: 1 },
    distances: { rowFrom: 0, rows: 1, columns: kLen, arity: 1 },
    // As the estimate has them: no rows without queries or keys.
    blocks: { rowFrom, rows: isEmpty ? 0 : columns - rowFrom, columns, arity: 2 },
  };
  const axes: Record<string, ChosenSetsData[string]['axes']> = {
    columns: [{ axis: 'k', size: 1 }],
    distances: [{ axis: 'distance', size: 1 }],
    blocks: [
      { axis: 'qBlock', size: 16 },
      { axis: 'kBlock', size: 16 },
    ],
  };
  return Object.fromEntries(
    Object.entries(domains).map(([name, domain]) => {
      const units = Array.from({ length: batch * heads }, () => fillSet(new BitSet(domain), next));
      return [name, { axes: axes[name]!, perGroup: false, units, dense: units.map(() => false) }];
    }),
  );
}

/** The numbers of `given`, each one for all heads or one per head. */
export function paramsOf({ shape, seed }: CallData): Record<string, number | number[]> {
  const next = numbersFrom(seed + 5);
  const pick = (list: readonly number[]) => list[Math.floor(next() * list.length)]!;
  const value: Record<string, () => number> = {
    window: () => pick([0, 1, 2, 5, 15, 16, 17, 40, 63, 64, 65, 1000]),
    block: () => pick([1, 2, 3, 7, 8, 16, 17, 64, 256]),
    level: () => Math.floor(next() * 32 - 16) / 4,
  };
  return Object.fromEntries(
    Object.entries(value).map(([name, draw]) => [
      name,
      next() < 0.5 ? draw() : Array.from({ length: shape.heads }, draw),
    ]),
  );
}

export interface RandomCall {
  readonly pattern: RandomPattern;
  readonly data: CallData;
}

/** A random pattern and a call of it. */
export const arbitraryCall = (
  options: PatternOptions = {},
  shape?: fc.Arbitrary<LaunchShape>,
): fc.Arbitrary<RandomCall> =>
  fc.record({ pattern: arbitraryPattern(options), data: arbitraryCallData(shape) });

/** Everything that a call of a random pattern passes. */
export const inputsOf = (data: CallData) => ({
  ...tensorsOf(data),
  ...capturedOf(data),
  chosen: chosenOf(data),
});
