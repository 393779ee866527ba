// An expression for one unit of one launch: lengths, heads and parameters become numbers and fold, so
// that what is left depends on q and k alone (and s, in a score).

import { applyBinary, applyComparison, applyUnary } from '../evaluate.ts';
import { binary, bool, type Expression, index, int, real, rebuild } from '../expression.ts';
import { type LaunchShape, queryOffset, type Unit } from '../shape.ts';

/** Replaces what is constant for the unit and folds; the meaning at every (q, k) stays. */
export function specialise(
  node: Expression,
  shape: LaunchShape,
  unit: Unit,
  params: Readonly<Record<string, number>>,
): Expression {
  const offset = queryOffset(shape);
  return rebuild(node, (part) => {
    if (part.op === 'param') return constant(part.kind, params[part.name]!, part);
    if (part.op === 'index') {
      if (part.name === 'row')
        return fold(binary('sub', index('q', part.span), int(offset), part.span));
      if (part.name === 'qLen' || part.name === 'kLen') return int(shape[part.name], part.span);
      if (part.name === 'head' || part.name === 'kvHead' || part.name === 'batch')
        return int(unit[part.name], part.span);
      return part;
    }
    return fold(part);
  });
}

const constant = (
  kind: 'int' | 'float' | 'bool',
  value: number | boolean,
  from: Expression,
): Expression => {
  if (typeof value === 'boolean') return bool(value, from.span);
  return kind === 'int' ? int(value, from.span) : real(value, from.span);
};

/** One step of folding; the children are folded already. */
export function fold(node: Expression): Expression {
  const value = (part: Expression): number | boolean | undefined =>
    part.op === 'const' ? part.value : undefined;
  switch (node.op) {
    case 'unary': {
      const a = value(node.args[0]);
      return a === undefined ? node : constant(node.kind, applyUnary(node.name, a as number), node);
    }
    case 'binary': {
      const [a, b] = [value(node.args[0]), value(node.args[1])];
      if (a !== undefined && b !== undefined)
        return constant(node.kind, applyBinary(node.name, a as number, b as number), node);
      if (node.kind !== 'int') return node;
      // Not `x + 0`: that is 0 where x is -0, and a score may divide by it.
      if (b === 0 && node.name === 'sub') return node.args[0];
      if (b === 1 && (node.name === 'mul' || node.name === 'floordiv')) return node.args[0];
      if (a === 1 && node.name === 'mul') return node.args[1];
      return node;
    }
    case 'compare': {
      const [a, b] = [value(node.args[0]), value(node.args[1])];
      if (a === undefined || b === undefined) return node;
      return bool(applyComparison(node.name, a as number, b as number), node.span);
    }
    case 'and': {
      const [a, b] = [value(node.args[0]), value(node.args[1])];
      if (a === false || b === true) return node.args[0];
      return a === true || b === false ? node.args[1] : node;
    }
    case 'or': {
      const [a, b] = [value(node.args[0]), value(node.args[1])];
      if (a === true || b === false) return node.args[0];
      return a === false || b === true ? node.args[1] : node;
    }
    case 'not': {
      const a = value(node.args[0]);
      return a === undefined ? node : bool(!a, node.span);
    }
    case 'float': {
      const a = value(node.args[0]);
      return a === undefined ? node : real(a as number, node.span);
    }
    case 'select': {
      const c = value(node.args[0]);
      return c === undefined ? node : node.args[c ? 1 : 2];
    }
    default:
      return node;
  }
}
