// What is linear in the key: how much more the next key of a row has.

import { binary, type Expression, mentions, real } from '../../dsl/expression.ts';
import type { Uniforms } from '../uniforms.ts';

/** Of a sum that holds the key once; undefined for anything else. */
export function signOfKey(node: Expression): 1 | -1 | undefined {
  if (node.op === 'index') return node.name === 'k' ? 1 : undefined;
  if (node.op === 'unary' && node.name === 'neg') return opposite(signOfKey(node.args[0]));
  if (node.op !== 'binary' || (node.name !== 'add' && node.name !== 'sub')) return undefined;
  const [a, b] = node.args;
  const [left, right] = [mentions(a, 'index', 'k'), mentions(b, 'index', 'k')];
  if (left === right) return undefined;
  if (left) return signOfKey(a);
  return node.name === 'add' ? signOfKey(b) : opposite(signOfKey(b));
}

const opposite = (sign: 1 | -1 | undefined): 1 | -1 | undefined =>
  sign === undefined ? undefined : sign > 0 ? -1 : 1;

/** What a float gains from a key to the next, the same for all pairs of a unit; undefined where that is not so. */
export function slopeOf(node: Expression, uniforms: Uniforms): Expression | undefined {
  if (!mentions(node, 'index', 'k')) return real(0);
  const scaled = (by: 'mul' | 'div', inner: Expression, factor: Expression) => {
    const slope = uniforms.isUniform(factor) ? slopeOf(inner, uniforms) : undefined;
    return slope && binary(by, slope, factor);
  };
  if (node.op === 'float') {
    const sign = signOfKey(node.args[0]);
    return sign === undefined ? undefined : real(sign);
  }
  if (node.op === 'unary' && node.name === 'neg') return scaled('mul', node.args[0], real(-1));
  if (node.op !== 'binary') return undefined;
  const [a, b] = node.args;
  if (node.name === 'mul') return scaled('mul', a, b) ?? scaled('mul', b, a);
  if (node.name === 'div') return scaled('div', a, b);
  if (node.name !== 'add' && node.name !== 'sub') return undefined;
  const [left, right] = [slopeOf(a, uniforms), slopeOf(b, uniforms)];
  return left && right && binary(node.name, left, right);
}
