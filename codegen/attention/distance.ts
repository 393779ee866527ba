// A slope times the key less the same slope times the query, as the slope times their distance. The distance is exact
// up to 2^24; each of the two products is rounded as coarsely as it is large, and at a million keys that is more than an
// exponent may be off by.

import {
  binary,
  canonical,
  type Expression,
  type Index,
  index,
  rebuild,
  unary,
  widen,
} from '../../dsl/expression.ts';
import { factorsOf } from '../uniforms.ts';

interface Term {
  readonly sign: 1 | -1;
  readonly node: Expression;
}

/** A term that is a slope times a place. */
interface Slope {
  readonly place: Index;
  /** Of the slope. */
  readonly factors: readonly Expression[];
}

/** Whole numbers whose differences are whole numbers of 32 bits. */
const places: readonly Index[] = ['k', 'q', 'row'];

/** The same value, in which such pairs of terms of a sum are one. An infinite slope has distances, where its products have none. */
export function withDistances(score: Expression): Expression {
  return rebuild(score, (node) => {
    if (!isSum(node)) return node;
    const terms = termsOf(node);
    const joined = joinedTerms(terms);
    return joined.length < terms.length ? sumOf(joined) : node;
  });
}

const isSum = (node: Expression): boolean =>
  node.kind === 'float' && node.op === 'binary' && (node.name === 'add' || node.name === 'sub');

function termsOf(node: Expression, sign: 1 | -1 = 1): Term[] {
  const other = sign > 0 ? -1 : 1;
  if (node.op === 'unary' && node.name === 'neg') return termsOf(node.args[0], other);
  if (node.op !== 'binary' || !isSum(node)) return [{ sign, node }];
  const [a, b] = node.args;
  return [...termsOf(a, sign), ...termsOf(b, node.name === 'add' ? sign : other)];
}

function sumOf([first, ...others]: readonly Term[]): Expression {
  const { sign, node } = first!;
  return others.reduce(
    (sum, term) => binary(term.sign > 0 ? 'add' : 'sub', sum, term.node),
    sign > 0 ? node : unary('neg', node),
  );
}

function joinedTerms(terms: readonly Term[]): Term[] {
  const left = [...terms];
  for (const term of terms) {
    const to = term.sign > 0 ? slopeIn(term) : undefined;
    const other = to && left.find((one) => one.sign < 0 && isAlike(slopeIn(one), to));
    if (!other) continue;
    const distance = widen(binary('sub', index(to.place), index(slopeIn(other)!.place)));
    const node = to.factors.reduce((all, factor) => binary('mul', factor, all), distance);
    left[left.indexOf(term)] = { sign: 1, node };
    left.splice(left.indexOf(other), 1);
  }
  return left;
}

function slopeIn({ node }: Term): Slope | undefined {
  const factors = factorsOf(node);
  for (const [at, factor] of factors.entries()) {
    const place = placeOf(factor);
    if (place) return { place, factors: factors.toSpliced(at, 1) };
  }
  return undefined;
}

function placeOf(node: Expression): Index | undefined {
  const [of] = node.op === 'float' ? node.args : [];
  return of?.op === 'index' ? places.find((place) => place === of.name) : undefined;
}

const isAlike = (one: Slope | undefined, other: Slope): boolean =>
  one !== undefined && one.place !== other.place && textOf(one) === textOf(other);

/** In whatever order the factors stand. */
const textOf = ({ factors }: Slope): string => factors.map(canonical).sort().join('*');
