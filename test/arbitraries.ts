// Random patterns and their data, for laws: shapes, masks and scores as expressions, parameters,
// captured tensors, chosen sets and points. Everything shrinks; nothing here depends on a device.

import fc from 'fast-check';
import type { Binding } from '../dsl/analysis/binding.ts';
import { Captured } from '../dsl/analysis/zones.ts';
import { BitSet, type SetDomain } from '../dsl/chosen.ts';
import type { Declarations, ParamDeclaration } from '../dsl/declarations.ts';
import type { Expression } from '../dsl/expression.ts';
import { kvHeadOf, type LaunchShape, queryOffset } from '../dsl/shape.ts';
import { bounded, type Limits, usualLimits } from './arbitraries/bounded.ts';
import { grammar } from './arbitraries/grammar.ts';

/** One declaration of each sort, enough for most laws; see `sizesIn` and `domainsIn` for their data. */
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
export const sizesIn = (shape: LaunchShape): Readonly<Record<string, readonly number[]>> => ({
  doc: [shape.batch, shape.kLen],
  weight: [shape.heads],
});

/** Domains of the sets of `vocabulary`: keys, distances 0 .. kLen - 1, and 16 x 16 blocks of (q, k). */
export function domainsIn(shape: LaunchShape): Readonly<Record<string, SetDomain>> {
  const { kLen } = shape;
  const line: SetDomain = { rowFrom: 0, rows: 1, columns: kLen, arity: 1 };
  const rowFrom = Math.floor(queryOffset(shape) / 16);
  const columns = Math.ceil(kLen / 16);
  const blocks: SetDomain = { rowFrom, rows: Math.max(1, columns - rowFrom), columns, arity: 2 };
  return { columns: line, distances: line, blocks };
}

export interface ExpressionOptions {
  /** Levels of operations above the leaves; 3 unless stated. */
  readonly depth?: number;
  /** Magnitudes to build for; see `Limits`. */
  readonly limits?: Partial<Limits>;
}

/**
 * A mask over these names: a bool of type-correct parts, every word of the mask language among them.
 * Plain atoms (`k <= q`, `q - k < 17`, `columns.has(k)`) are frequent. Divisors are constants or
 * parameters that cannot be zero, shifts are small constants; floats are only loaded, passed in,
 * compared, chosen, min/max'ed, negated and rounded. Every integer stays within +-2^30 while positions
 * and open parameters stay within `limits.position` (4096) and loaded values within `limits.loaded`.
 */
export function arbitraryMask(
  declarations: Partial<Declarations> = vocabulary,
  { depth = 3, limits }: ExpressionOptions = {},
): fc.Arbitrary<Expression> {
  const full = { ...usualLimits, ...limits };
  return grammar(declarations, depth).bool.map((node) => bounded(node, declarations, full));
}

/**
 * A score over `s`, the pair and these names: a float of every operation of the score language. It is
 * finite and within `limits.score` (65536) while |s| <= `limits.logit` (64): logarithms, roots and powers
 * get arguments of at least 1, exponents at most 2. It may jump (floor, select), and may be -0.
 */
export function arbitraryScore(
  declarations: Partial<Declarations> = vocabulary,
  { depth = 3, limits }: ExpressionOptions = {},
): fc.Arbitrary<Expression> {
  const full = { ...usualLimits, ...limits };
  return grammar(declarations, depth).real.map((node) => bounded(node, declarations, full));
}

export interface ShapeOptions {
  /** Lengths crowd around multiples of it; 64 unless stated. */
  readonly tile?: number;
  /** The longest sequence; 4 tiles unless stated. */
  readonly most?: number;
  /** 0 or 1: the shortest sequence; 0 unless stated. */
  readonly least?: 0 | 1;
  /** The most query heads; 8 unless stated. */
  readonly heads?: number;
}

/**
 * Sizes of a call: batch 1-2, 1-3 KV heads of 1-8 query heads each, head dims of 8-256 in eights and
 * mostly small, lengths of 0, 1, one less and more than a tile, two tiles and a bit, or anything; as many
 * queries as keys in half of them, more or fewer in the others.
 */
export function arbitraryShape({
  tile = 64,
  most = 4 * tile,
  least = 0,
  heads = 8,
}: ShapeOptions = {}): fc.Arbitrary<LaunchShape> {
  const special = [least, 1, tile - 1, tile, tile + 1, 2 * tile + 3].filter(
    (n) => n >= least && n <= most,
  );
  const length = fc.oneof(fc.constantFrom(...special), fc.integer({ min: least, max: most }));
  const dim = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(8, 16, 24) },
    { weight: 1, arbitrary: fc.integer({ min: 1, max: 32 }).map((n) => 8 * n) },
  );
  return fc
    .record({
      batch: fc.integer({ min: 1, max: 2 }),
      kvHeads: fc.integer({ min: 1, max: Math.min(3, heads) }),
      groups: fc.integer({ min: 1, max: Math.min(8, heads) }),
      kLen: length,
      ownQLen: fc.option(length),
      headDim: dim,
      ownValueDim: fc.option(dim, { freq: 4 }),
    })
    .map(({ batch, kvHeads, groups, kLen, ownQLen, headDim, ownValueDim }) => ({
      batch,
      heads: kvHeads * Math.max(1, Math.min(groups, Math.floor(heads / kvHeads))),
      kvHeads,
      qLen: ownQLen ?? kLen,
      kLen,
      headDim,
      valueDim: ownValueDim ?? headDim,
    }));
}

/** A value for every parameter, inside what it declares and within +-`position`; floats in quarters. */
export function arbitraryParams(
  params: Readonly<Record<string, ParamDeclaration>> = vocabulary.params,
  position: number = usualLimits.position,
): fc.Arbitrary<Record<string, number>> {
  const value = ({ kind, lo, hi }: ParamDeclaration): fc.Arbitrary<number> => {
    const [min, max] = [Math.max(lo, -position), Math.min(hi, position)];
    if (kind === 'float')
      return fc
        .integer({ min: Math.ceil(min * 4), max: Math.floor(max * 4) })
        .map((quarters) => quarters / 4);
    const usual = [0, 1, 2, 16, 63, 64, 65, 100].filter((n) => n >= min && n <= max);
    const anything = fc.integer({ min, max });
    return usual.length ? fc.oneof(fc.constantFrom(...usual), anything) : anything;
  };
  return fc.record(Object.fromEntries(Object.entries(params).map(([n, d]) => [n, value(d)])));
}

/** Numbers in [0, 1) from a seed (mulberry32): bulk data that fast-check would draw one by one. */
export function numbersFrom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * A captured tensor: one value, document numbers that rise along the last axis, or noise of few or many
 * values; |value| <= 1000, floats in eighths, without NaN.
 */
export function arbitraryCaptured(
  kind: 'int' | 'float',
  sizes: readonly number[],
): fc.Arbitrary<Captured> {
  const style = fc.constantFrom('one', 'rising', 'few', 'many');
  return fc.tuple(style, fc.integer()).map(([how, seed]) => {
    const next = numbersFrom(seed);
    const total = sizes.reduce((a, b) => a * b, 1);
    const last = Math.max(1, sizes.at(-1) ?? 1);
    const data = kind === 'int' ? new Int32Array(total) : new Float32Array(total);
    const chance = 1 / (2 + 60 * next());
    const one = Math.floor(next() * 20) - 5;
    for (let i = 0, document = 0; i < total; i += 1) {
      if (i % last === 0) document = 0;
      else if (next() < chance) document += 1;
      const few = Math.floor(next() * 5) - 2;
      const many = Math.floor((next() - 0.5) * 16_000) / (kind === 'int' ? 16 : 8);
      const value = how === 'one' ? one : how === 'rising' ? document : how === 'few' ? few : many;
      data[i] = kind === 'int' ? Math.trunc(value) : value;
    }
    return new Captured(kind, sizes, data);
  });
}

/** A chosen set of one head: empty, full, a few members, half of them, or runs of members. */
export function arbitrarySet(domain: SetDomain): fc.Arbitrary<BitSet> {
  const style = fc.constantFrom('empty', 'full', 'few', 'half', 'runs');
  return fc.tuple(style, fc.integer()).map(([how, seed]) => {
    const next = numbersFrom(seed);
    const set = new BitSet(domain);
    for (let row = domain.rowFrom; row < domain.rowFrom + domain.rows; row += 1) {
      let inside = how === 'full';
      for (let column = 0; column < domain.columns; column += 1) {
        const u = next();
        if (how === 'few') inside = u < 0.05;
        if (how === 'half') inside = u < 0.5;
        if (how === 'runs' && u < 0.08) inside = !inside;
        if (inside) set.add(row, column);
      }
    }
    return set;
  });
}

export interface Names extends Partial<Declarations> {
  /** Sizes of every tensor; those of `vocabulary` unless stated. */
  readonly sizes?: (shape: LaunchShape) => Readonly<Record<string, readonly number[]>>;
  /** Domains of every set; those of `vocabulary` unless stated. */
  readonly domains?: (shape: LaunchShape) => Readonly<Record<string, SetDomain>>;
}

/** One unit of a call of this shape with everything bound that `names` declares. */
export function arbitraryBinding(
  shape: LaunchShape,
  names: Names = vocabulary,
): fc.Arbitrary<Binding> {
  const { params = {}, tensors = {}, sets = {}, sizes = sizesIn, domains = domainsIn } = names;
  const captured = Object.entries(tensors).map(
    ([name, { kind }]) => [name, arbitraryCaptured(kind, sizes(shape)[name]!)] as const,
  );
  const chosen = Object.keys(sets).map(
    (name) => [name, arbitrarySet(domains(shape)[name]!)] as const,
  );
  return fc
    .record({
      batch: fc.integer({ min: 0, max: shape.batch - 1 }),
      head: fc.integer({ min: 0, max: shape.heads - 1 }),
      params: arbitraryParams(params),
      captured: fc.record(Object.fromEntries(captured)),
      sets: fc.record(Object.fromEntries(chosen)),
    })
    .map(({ batch, head, ...data }) => ({
      shape,
      unit: { batch, head, kvHead: kvHeadOf(shape, head) },
      ...data,
    }));
}

/** A pair inside the shape: position of the query, which is negative for early rows when qLen > kLen, and of the key. */
export const arbitraryPair = (shape: LaunchShape): fc.Arbitrary<{ q: number; k: number }> =>
  fc.record({
    q: fc.integer({ min: queryOffset(shape), max: Math.max(queryOffset(shape), shape.kLen - 1) }),
    k: fc.integer({ min: 0, max: Math.max(0, shape.kLen - 1) }),
  });

/** A mask, a shape that has queries and keys, and a unit with all its data: what a law of masks starts from. */
export function arbitraryCase(
  options: ExpressionOptions & ShapeOptions = {},
): fc.Arbitrary<{ mask: Expression; binding: Binding }> {
  return arbitraryShape({ ...options, least: 1 }).chain((shape) =>
    fc.record({ mask: arbitraryMask(vocabulary, options), binding: arbitraryBinding(shape) }),
  );
}
