// The keys of a tile as one key of a lane and steps from it, which are known when a kernel is compiled: then what is
// linear in the key takes one instruction a pair. A slope times a distance becomes the slope times the first distance
// plus the slope times a step. Each of these is rounded as coarsely as it is large, however small their sum is, and of a
// steep slope that is more than an exponent may be off by. For units of such slopes the slopes are 0 there. A pass of
// its own adds the step to the distance, which is exact, multiplies then, and adds that to products or to exponents.

import {
  and,
  binary,
  children,
  compare,
  type Expression,
  mentions,
  not,
  or,
  real,
  select,
  unary,
  walk,
} from '../../dsl/expression.ts';
import { step, type Uniforms } from '../uniforms.ts';
import { signOfKey } from './linear.ts';

/** Exponents of 2 that a key may differ from the next by, for no more than rounding: the slopes of ALiBi are below 1.45. */
export const mostSlope = 1.5;

/** Most keys of a tile, and so of the steps from its first. */
const mostKeys = 256;

/**
 * What a gentle slope is off by in a natural logit, at most, of so many keys: of the exponents up to `mostSlope` times
 * as many that the first key of a tile and a step from it have, each is rounded once; a product of the tensor cores,
 * which hold the steps of a ramp, is cut off, which is twice as much.
 */
export const stepError = (keys: number): number =>
  mostSlope * Math.min(keys, mostKeys) * (2 ** -24 + 2 ** -23) * Math.LN2;

/** What units of steep slopes have apart. */
export interface Steep {
  /** Which units have. */
  readonly condition: Expression;
  /** Of query and key. Of a unit that is not steep the value has it. */
  readonly bias: Expression;
  /** What it is added to: products before they are scores, or what has become of them. */
  readonly place: 'product' | 'value';
}

/** Parts of a sum in steps. */
export interface Stepped {
  readonly parts: readonly Expression[];
  /** Undefined: no slope is multiplied out. */
  readonly steep: Steep | undefined;
}

/** A distance times what is the same for all pairs of a unit. */
interface Slope {
  readonly distance: Expression;
  /** As it stands there. */
  readonly found: Expression;
  /** With the factors of the sum that it is a term of. */
  readonly slope: Expression;
}

/** `scale` makes exponents of 2 of the sum of the parts. */
export function steppedOf(
  parts: readonly Expression[],
  scale: Expression,
  uniforms: Uniforms,
): Stepped {
  if (parts.length === 0) return { parts, steep: undefined };
  const whole = parts.reduce((sum, part) => binary('add', sum, part));
  const found = outermost(whole, scale, uniforms) ?? aroundProduct(whole, scale, uniforms);
  if (!found?.slopes.length)
    return { parts: parts.map((part) => withSteps(part)), steep: undefined };
  const { slopes, place, factor, isApart } = found;
  const size = slopes
    .map(({ slope }) => unary('abs', times(factor, slope)))
    .reduce((sum, one) => binary('add', sum, one));
  const staysIn = isApart ? or(not(isApart), isGentle(size)) : isGentle(size);
  const gentle = (slope: Expression): Expression => uniforms.named(select(staysIn, slope, real(0)));
  const apart = slopes.map(({ slope }) => uniforms.named(select(staysIn, real(0), slope)));
  const terms = slopes.map(({ distance }, i) => binary('mul', withSteps(distance), apart[i]!));
  return {
    parts: parts.map((part) => withSteps(part, gentle)),
    steep: {
      // What the value has is at hand. Without it the other number would be in a register where none is to spare.
      condition: and(
        compare('eq', gentle(slopes[0]!.found), real(0)),
        apart.map((slope) => compare('ne', slope, real(0))).reduce((a, b) => or(a, b)),
      ),
      bias: terms.reduce((sum, term) => binary('add', sum, term)),
      place,
    },
  };
}

/** May a slope of such a size, in exponents of 2, be multiplied out? */
export const isGentle = (size: Expression): Expression => compare('le', size, real(mostSlope));

interface Found {
  readonly slopes: readonly Slope[];
  readonly place: Steep['place'];
  /** What makes exponents of 2 of the place. */
  readonly factor: Expression;
  /** Undefined: always. */
  readonly isApart?: Expression;
}

/** All slopes that are terms of the whole; undefined where others are not. */
function outermost(whole: Expression, factor: Expression, uniforms: Uniforms): Found | undefined {
  const { slopes, others } = termsOf(whole, one, uniforms);
  return others.some(({ node }) => hasSlope(node)) ? undefined : { slopes, place: 'value', factor };
}

/** Functions that differ by no more than their arguments do. */
const contractions = new Set(['neg', 'abs', 'tanh', 'sin', 'cos', 'min', 'max']);

/** All slopes that are terms of the sum that the product is a term of, within functions; undefined where others are not. */
function aroundProduct(
  whole: Expression,
  scale: Expression,
  uniforms: Uniforms,
): Found | undefined {
  if ([...walk(whole)].filter(isProduct).length !== 1) return undefined;
  let [node, factor] = [whole, scale];
  while (true) {
    const { slopes, others } = termsOf(node, one, uniforms);
    const own = others.find((term) => [...walk(term.node)].some(isProduct));
    if (!own || others.some((term) => term !== own && hasSlope(term.node))) return undefined;
    factor = times(factor, own.factor);
    if (isProduct(own.node)) {
      // Products are of no use to a bias where they are multiplied by nothing.
      const size = unary('abs', own.factor);
      return {
        slopes: slopes.map((term) => ({ ...term, slope: binary('div', term.slope, own.factor) })),
        place: 'product',
        factor,
        isApart: and(compare('lt', real(1e-30), size), compare('lt', size, real(1e30))),
      };
    }
    const isKnown =
      (own.node.op === 'unary' || own.node.op === 'binary') && contractions.has(own.node.name);
    if (slopes.length > 0 || !isKnown) return undefined;
    const inner = children(own.node).filter((arg) => [...walk(arg)].some(isProduct));
    if (children(own.node).some((arg) => arg !== inner[0] && hasSlope(arg))) return undefined;
    node = inner[0]!;
  }
}

const isProduct = (node: Expression): boolean => node.op === 'index' && node.name === 's';

/** A sum as its slopes and its other terms, each with its factor. */
function termsOf(
  node: Expression,
  factor: Expression,
  uniforms: Uniforms,
): {
  readonly slopes: readonly Slope[];
  readonly others: readonly { node: Expression; factor: Expression }[];
} {
  const found = slopeOfProduct(node);
  if (found) {
    const slope = { distance: children(node)[0]!, found, slope: times(factor, found) };
    return { slopes: [slope], others: [] };
  }
  const [a, b] = children(node);
  const minus = () => times(factor, real(-1));
  const inner: [Expression, Expression][] = [];
  if (node.op === 'unary' && node.name === 'neg') inner.push([a!, minus()]);
  else if (node.op === 'binary' && node.kind === 'float') {
    if (node.name === 'add') inner.push([a!, factor], [b!, factor]);
    if (node.name === 'sub') inner.push([a!, factor], [b!, minus()]);
    if (node.name === 'mul' && uniforms.isUniform(b!)) inner.push([a!, times(factor, b!)]);
    else if (node.name === 'mul' && uniforms.isUniform(a!)) inner.push([b!, times(factor, a!)]);
  }
  if (inner.length === 0) return { slopes: [], others: [{ node, factor }] };
  const all = inner.map(([part, own]) => termsOf(part, own, uniforms));
  return {
    slopes: all.flatMap(({ slopes }) => slopes),
    others: all.flatMap(({ others }) => others),
  };
}

/** Does it differ from key to key of a lane? */
export const hasStep = (node: Expression): boolean =>
  mentions(node, 'param', step.int.name) || mentions(node, 'param', step.float.name);

/** A float that is linear in the key, with what the next key has more: its sign. */
const keySign = (node: Expression): 1 | -1 | undefined =>
  node.op === 'float' ? signOfKey(node.args[0]) : undefined;

/** The slope of a distance, or of a key, that can be multiplied out. */
function slopeOfProduct(node: Expression): Expression | undefined {
  if (node.op !== 'binary' || node.name !== 'mul') return undefined;
  const [distance, slope] = node.args;
  return keySign(distance) !== undefined && slope.op === 'param' ? slope : undefined;
}

const hasSlope = (node: Expression): boolean =>
  [...walk(node)].some((part) => slopeOfProduct(part));

/**
 * Keys as `k + step`. Floats of differences with a key become a float for the tile and a constant: exact below 2^24. So
 * do products with slopes, where a slope may be multiplied out as `gentle` has it.
 */
function withSteps(node: Expression, gentle?: (slope: Expression) => Expression): Expression {
  if (node.op === 'index') return node.name === 'k' ? binary('add', node, step.int.param) : node;
  const sign = keySign(node);
  if (sign !== undefined) return binary(sign > 0 ? 'add' : 'sub', node, step.float.param);
  const slope = gentle && slopeOfProduct(node);
  if (slope) {
    // Only the constant differs from key to key: one instruction.
    const [distance, own] = [children(node)[0]!, gentle(slope)];
    const [first, more] = [binary('mul', distance, own), binary('mul', step.float.param, own)];
    return binary(keySign(distance)! > 0 ? 'add' : 'sub', first, more);
  }
  const args = children(node);
  return args.length === 0
    ? node
    : ({ ...node, args: args.map((arg) => withSteps(arg, gentle)) } as Expression);
}

const one = real(1);
const times = (a: Expression, b: Expression): Expression =>
  a.op === 'const' && a.value === 1 ? b : binary('mul', a, b);
