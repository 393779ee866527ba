// A score as the softmax wants it: the exponent of 2, log2(e) times the author's score, as `scale * value`
// where `value` is made of the plain product of a query and a key. What is the same for all pairs is gathered,
// so that a score that only scales the logit costs nothing, and a bias one addition. A relative exponent is less a
// reference that is known before the scores are: what it costs to subtract it goes into a sum that is there anyway.
// A ramp is a bias that is linear in the key: products that have its part of each key make it one number for a tile.

import {
  binary,
  children,
  type Expression,
  index,
  mentions,
  not,
  real,
  unary,
} from '../../dsl/expression.ts';
import { local, logitScale, type Uniforms } from '../uniforms.ts';
import { withDistances } from './distance.ts';
import { slopeOf } from './linear.ts';
import { hasStep, isGentle, type Steep, type Stepped, steppedOf } from './steps.ts';
import { type SmallScore, smallScore } from './tanh.ts';

/** `exponent = scale * value`, or, of a relative one, `exponent - reference = value`; the scale is positive. */
export interface Exponent {
  /** Of `s`, here the plain product; undefined: the product itself. */
  readonly value: Expression | undefined;
  /** The same for all pairs of a unit. */
  readonly scale: Expression;
  /** What the exponent is more; of one that is not relative, and of no value. */
  readonly ramp?: Ramp | undefined;
  /** What units of steep slopes have beside the value; of a ramp, which units are steep and have none. */
  readonly steep?: Steep | Pick<Steep, 'condition'> | undefined;
  /** A relative value where all that `tanh` is taken of is small; undefined where none is taken. */
  readonly small?: SmallScore | undefined;
}

/** A bias that grows by as much from each key to the next: `bias` at key `k` is `scale * slope` less than at the next. */
export interface Ramp {
  /** In units of the product; the same for all pairs of a unit. */
  readonly slope: Expression;
  /** Of query and key, in units of the exponent. */
  readonly bias: Expression;
}

const log2OfE = real(Math.log2(Math.E));
const one = real(1);
const times = (a: Expression, b: Expression): Expression =>
  a === one ? b : b === one ? a : binary('mul', a, b);

/** A node as `factor * core + bias`: factor and bias do not mention the product, and the factor no pair. */
interface Sum {
  readonly factor: Expression;
  readonly core: Expression;
  readonly bias: Expression | undefined;
}

const hasProduct = (node: Expression): boolean => mentions(node, 'index', 's');

function sumOf(node: Expression, uniforms: Uniforms): Sum {
  const scaled = (inner: Expression, by: Expression): Sum => {
    const { factor, core, bias } = sumOf(inner, uniforms);
    return { core, factor: times(factor, by), bias: bias && times(bias, by) };
  };
  const shifted = (inner: Expression, by: Expression): Sum => {
    const { factor, core, bias } = sumOf(inner, uniforms);
    return { factor, core, bias: bias ? binary('add', bias, by) : by };
  };
  const negative = real(-1);
  if (node.op === 'unary' && node.name === 'neg') return scaled(node.args[0], negative);
  if (node.op === 'binary' && node.kind === 'float') {
    const [a, b] = node.args;
    const [left, right] = [hasProduct(a), hasProduct(b)];
    if (node.name === 'mul' && left && uniforms.isUniform(b)) return scaled(a, b);
    if (node.name === 'mul' && right && uniforms.isUniform(a)) return scaled(b, a);
    if (node.name === 'div' && left && uniforms.isUniform(b))
      return scaled(a, binary('div', one, b));
    if (node.name === 'add' && left !== right) return left ? shifted(a, b) : shifted(b, a);
    if (node.name === 'sub' && left && !right) return shifted(a, times(negative, b));
    if (node.name === 'sub' && right && !left) {
      const { factor, core, bias } = scaled(b, negative);
      return { factor, core, bias: bias ? binary('add', a, bias) : a };
    }
  }
  return { factor: one, core: node, bias: undefined };
}

/** The same value with what is linear in the product multiplied out, inside of functions too. */
function normalised(node: Expression, uniforms: Uniforms): Expression {
  if (!hasProduct(node)) return node;
  const { factor, core, bias } = sumOf(node, uniforms);
  const inner = children(core).map((child) => normalised(child, uniforms));
  const own = inner.length === 0 ? core : ({ ...core, args: inner } as Expression);
  const product = times(own, factor);
  return bias ? binary('add', product, bias) : product;
}

/** Is a factor known to be above 0? Its sign decides which score is the highest. */
function isPositive(node: Expression): boolean {
  if (node.op === 'const') return typeof node.value === 'number' && node.value > 0;
  if (node.op === 'param') return node.name === logitScale.name;
  if (node.op === 'binary' && (node.name === 'mul' || node.name === 'div'))
    return node.args.every(isPositive);
  return false;
}

/** What a back-end can make use of: exponents that are less the local `reference`, and ramps. */
export interface ExponentForms {
  readonly relative?: boolean | undefined;
  readonly ramps?: boolean | undefined;
  /** Keys are entries of a list: none is a step from another. */
  readonly listed?: boolean | undefined;
}

/** The exponent of a score of the scaled logit. */
export function exponentOf(
  score: Expression,
  uniforms: Uniforms,
  { relative: isRelative = false, ramps = false, listed = false }: ExponentForms = {},
): Exponent {
  uniforms.hasScale = true;
  const logit = binary('mul', index('s'), logitScale.param);
  const whole = normalised(replaceProduct(withDistances(score), logit), uniforms);
  const { factor, core, bias } = sumOf(whole, uniforms);
  const scale = times(factor, log2OfE);
  const isProduct = core.op === 'index';
  const stepped = (parts: readonly Expression[], by: Expression): Stepped =>
    listed ? { parts, steep: undefined } : steppedOf(parts, by, uniforms);
  if (!bias && isPositive(scale) && (isProduct || !isRelative)) {
    const own = isProduct ? undefined : uniforms.ofScore(core);
    const by = uniforms.ofScore(scale);
    const { parts, steep } = stepped(own ? [own] : [], by);
    return { value: parts[0], scale: by, steep };
  }
  if (ramps && bias && isProduct && isPositive(scale) && mentions(bias, 'index', 'k')) {
    const slope = slopeOf(bias, uniforms);
    if (slope)
      return {
        value: undefined,
        scale: uniforms.ofScore(scale),
        ramp: {
          slope: uniforms.named(binary('div', slope, factor)),
          bias: uniforms.ofScore(times(bias, log2OfE)),
        },
        steep: { condition: not(isGentle(uniforms.named(unary('abs', times(slope, log2OfE))))) },
      };
  }
  const { parts, steep } = stepped(
    [times(core, scale), ...(bias ? [times(bias, log2OfE)] : [])].map((part) =>
      uniforms.ofScore(part),
    ),
    one,
  );
  const [product, added] = parts as [Expression, Expression?];
  if (!isRelative)
    return { value: added ? binary('add', product, added) : product, scale: one, steep };
  const value = added
    ? binary('add', product, lessReference(added))
    : binary('sub', product, reference);
  return { value, scale: one, steep, small: smallScore(value, uniforms) };
}

const reference = local('reference');

/** A sum less the reference, subtracted from what is the same for all keys of a lane. */
function lessReference(node: Expression): Expression {
  if (node.op === 'binary' && (node.name === 'add' || node.name === 'sub')) {
    const [a, b] = node.args;
    const [left, right] = [hasStep(a), hasStep(b)];
    if (!left && right) return binary(node.name, lessReference(a), b);
    if (left && !right && node.name === 'add') return binary('add', a, lessReference(b));
  }
  return binary('sub', node, reference);
}

function replaceProduct(node: Expression, by: Expression): Expression {
  if (node.op === 'index') return node.name === 's' ? by : node;
  const args = children(node);
  return args.length === 0
    ? node
    : ({ ...node, args: args.map((arg) => replaceProduct(arg, by)) } as Expression);
}
