// Expressions as CUDA C over a box of pairs: integers become Bounds, floats FloatBounds, conditions a
// Truth (device/bounds.cuh). What it says is always true; where it cannot know, it says "maybe".

import type { Binary, Comparison, Expression } from '../dsl/expression.ts';
import { literal, scalarText } from './expression.ts';
import type { Names } from './names.ts';

const intCalls: Partial<Record<Binary, string>> = {
  add: 'bounds_add',
  sub: 'bounds_sub',
  mul: 'bounds_mul',
  floordiv: 'bounds_floor_div',
  rem: 'bounds_rem',
  min: 'bounds_min',
  max: 'bounds_max',
  shr: 'bounds_shift_right',
  bitand: 'bounds_bitand',
};
const compares: Record<Comparison, string> = {
  lt: 'truth_lt',
  le: 'truth_le',
  eq: 'truth_eq',
  ne: 'truth_ne',
};

/** Text over the Bounds `q` and `k` and the unit `u`. */
export function boundsText(node: Expression, names: Names): string {
  const text = (part: Expression): string => boundsText(part, names);
  const call = (name: string, args: readonly Expression[]): string =>
    `${name}(${args.map(text).join(', ')})`;
  const any = node.kind === 'int' ? 'bounds_any()' : 'float_bounds_any()';
  const float = node.kind === 'float' ? 'float_' : '';
  switch (node.op) {
    case 'const':
      if (typeof node.value === 'boolean') return `truth_of(${node.value})`;
      return node.kind === 'int'
        ? `bounds_of(${literal(node.value, 'int')})`
        : `float_bounds_of(${literal(node.value, 'double')})`;
    case 'index':
      if (node.name === 'q' || node.name === 'k') return node.name;
      if (node.name === 'row') return 'bounds_sub(q, bounds_of(u.offset))';
      if (node.name === 's') return 'float_bounds_any()';
      return `bounds_of(${scalarText(node, names)})`;
    case 'param':
      return `${float}bounds_of(${scalarText(node, names)})`;
    case 'at':
      return `at_bounds_${names('tensor', node.tensor)}(${['u', ...node.args.map(text)].join(', ')})`;
    case 'has': {
      const row = node.args.length === 1 ? 'bounds_of(0)' : text(node.args[0]!);
      return `set_truth(u.${names('set', node.set)}, ${row}, ${text(node.args.at(-1)!)})`;
    }
    case 'unary':
      if (node.name === 'neg') return call(`${float}bounds_neg`, node.args);
      if (node.name === 'fround') return call('float_bounds_round', node.args);
      if (node.kind === 'int' && (node.name === 'abs' || node.name === 'sign'))
        return call(`bounds_${node.name}`, node.args);
      return any;
    case 'binary': {
      const { name, args, kind } = node;
      if (kind === 'int') return intCalls[name] ? call(intCalls[name], args) : any;
      return name === 'min' || name === 'max' ? call(`float_bounds_${name}`, args) : any;
    }
    case 'compare': {
      const [a] = node.args;
      if (a.kind === 'bool') {
        const same = call('truth_same', node.args);
        return node.name === 'ne' ? `truth_not(${same})` : same;
      }
      return call(`${a.kind === 'float' ? 'float_' : ''}${compares[node.name]}`, node.args);
    }
    case 'and':
    case 'or':
      return call(`truth_${node.op}`, node.args);
    case 'not':
      return call('truth_not', node.args);
    case 'float':
      return call('float_bounds_int', node.args);
    case 'select':
      return call(node.kind === 'bool' ? 'truth_select' : `${float}bounds_select`, node.args);
  }
}
