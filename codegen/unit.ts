// What every kernel over masks knows of its unit (one query head of one batch entry): sizes, heads, and
// what the pattern is given. Both its C text and the arguments that it is loaded from.

import type { Declarations } from '../dsl/declarations.ts';
import { scalarText } from './expression.ts';
import type { Names } from './names.ts';
import type { Field } from './struct.ts';
import { logitScale, type Uniform } from './uniforms.ts';

export interface GivenTensor {
  readonly kind: 'int' | 'float';
  readonly rank: number;
}

/** Everything that decides the text of a unit. */
export interface UnitSpec {
  readonly declarations: Declarations;
  readonly names: Names;
  /** Sets that are one per KV head. */
  readonly perGroup: ReadonlySet<string>;
  /** Numbers computed once for a unit. */
  readonly uniforms?: readonly Uniform[];
  /** Do they, or a score, mention the scale of logits? */
  readonly hasScale?: boolean;
  /** Lengths come from cumulative lengths per batch entry: sequences of their own, packed one after another. */
  readonly segments: boolean;
}

/** The arguments that a unit is loaded from. */
export function unitFields({ declarations, names, segments }: UnitSpec): Field[] {
  const fields: Field[] = [
    { name: 'heads', type: 'i32' },
    { name: 'kv_heads', type: 'i32' },
    { name: 'q_len', type: 'i32' },
    { name: 'k_len', type: 'i32' },
    { name: 'head_count', type: 'i32', comment: 'heads of this launch' },
    { name: 'head_list', type: 'address', pointer: 'const int*', comment: 'which; null: all' },
    { name: 'params', type: 'address', pointer: 'const int*', comment: '[heads or 1, parameters]' },
    { name: 'params_stride', type: 'i32', comment: '0: the same for all heads' },
  ];
  if (segments)
    fields.push(
      { name: 'q_starts', type: 'address', pointer: 'const int*', comment: '[batch + 1]' },
      { name: 'k_starts', type: 'address', pointer: 'const int*', comment: '[batch + 1]' },
    );
  for (const set of Object.keys(declarations.sets)) {
    const name = names('set', set);
    fields.push(
      {
        name: `${name}_bits`,
        type: 'address',
        pointer: 'const u32*',
        comment: '[units, rows, stride]',
      },
      { name: `${name}_stride`, type: 'i32' },
      { name: `${name}_row_from`, type: 'i32' },
      { name: `${name}_rows`, type: 'i32' },
      { name: `${name}_columns`, type: 'i32' },
    );
  }
  for (const [tensor, { kind, rank }] of Object.entries(declarations.tensors)) {
    const name = names('tensor', tensor);
    const element = kind === 'int' ? 'int' : 'float';
    fields.push(
      { name: `${name}_data`, type: 'address', pointer: `const ${element}*` },
      { name: `${name}_zones`, type: 'address', pointer: `const ${element}2*` },
    );
    for (let axis = 0; axis < rank; axis += 1)
      fields.push({ name: `${name}_size${axis}`, type: 'i32' });
  }
  return fields;
}

/** No less than the bytes of `Unit` on a device. */
export const unitBytes = ({ declarations, segments, uniforms = [] }: UnitSpec): number => {
  const count = (values: object): number => Object.keys(values).length;
  const words = 6 + (segments ? 2 : 0) + count(declarations.params) + uniforms.length + 1;
  return 8 + 4 * words + 24 * count(declarations.sets) + 48 * count(declarations.tensors);
};

/** `struct Unit`, `load_unit`, and the functions that read tensors. Needs `struct Arguments` before it. */
export function unitText(spec: UnitSpec): string {
  const { declarations, names, perGroup, segments, uniforms = [], hasScale = false } = spec;
  const params = Object.entries(declarations.params);
  const sets = Object.keys(declarations.sets);
  const tensors = Object.entries(declarations.tensors);
  const members = [
    '  int batch, head, kv_head;',
    '  int q_len, k_len;',
    '  int offset;  // position of row 0 among the keys',
    ...(segments ? ['  int q_start, k_start;  // rows before those of this sequence'] : []),
    ...params.map(([name, { kind }]) => `  ${kind} ${names('param', name)};`),
    ...(hasScale ? [`  float ${names('param', logitScale.name)};  // of logits`] : []),
    ...uniforms.map(({ name, expression }) => `  ${expression.kind} ${names('param', name)};`),
    ...sets.map((name) => `  SetView ${names('set', name)};`),
    ...tensors.map(([name, { kind }]) => `  ${tensorType(kind)} ${names('tensor', name)};`),
  ];
  const load = [
    '  Unit u;',
    '  u.batch = index / p.head_count;',
    '  u.head = index % p.head_count;',
    '  if (p.head_list) u.head = p.head_list[u.head];',
    '  u.kv_head = u.head / (p.heads / p.kv_heads);',
    ...(segments
      ? [
          '  u.q_start = p.q_starts[u.batch];',
          '  u.k_start = p.k_starts[u.batch];',
          '  u.q_len = p.q_starts[u.batch + 1] - u.q_start;',
          '  u.k_len = p.k_starts[u.batch + 1] - u.k_start;',
        ]
      : ['  u.q_len = p.q_len;', '  u.k_len = p.k_len;']),
    '  u.offset = u.k_len - u.q_len;',
    ...(params.length > 0
      ? ['  const int* params = p.params + (i64)u.head * p.params_stride;']
      : []),
    ...params.map(([name, { kind }], i) => {
      const value = kind === 'int' ? `params[${i}]` : `__int_as_float(params[${i}])`;
      return `  u.${names('param', name)} = ${value};`;
    }),
    ...sets.map((name) => setLoad(names('set', name), perGroup.has(name))),
    ...tensors.map(([name, { rank }]) => tensorLoad(names('tensor', name), rank)),
    ...(hasScale ? [`  u.${names('param', logitScale.name)} = p.scale;`] : []),
    ...uniforms.map(
      ({ name, expression }) => `  u.${names('param', name)} = ${scalarText(expression, names)};`,
    ),
    '  return u;',
  ];
  return [
    `struct Unit {\n${members.join('\n')}\n};`,
    ...tensors.map(([name, { kind, rank }]) => tensorText(names('tensor', name), kind, rank)),
    `WARPLOOM_DEVICE Unit load_unit(const Arguments& p, int index) {\n${load.join('\n')}\n}`,
  ].join('\n\n');
}

const tensorType = (kind: 'int' | 'float'): string =>
  kind === 'int' ? 'IntTensor' : 'FloatTensor';

function setLoad(name: string, perGroup: boolean): string {
  const unit = perGroup ? 'u.batch * p.kv_heads + u.kv_head' : 'u.batch * p.heads + u.head';
  const bits = `p.${name}_bits + (i64)(${unit}) * p.${name}_rows * p.${name}_stride`;
  const rest = ['stride', 'row_from', 'rows', 'columns'].map((part) => `p.${name}_${part}`);
  return `  u.${name} = {${[bits, ...rest].join(', ')}};`;
}

function tensorLoad(name: string, rank: number): string {
  const sizes = Array.from({ length: rank }, (_, axis) => `p.${name}_size${axis}`).reverse();
  return `  u.${name} = {p.${name}_data, p.${name}_zones, {${sizes.join(', ') || '1'}}};`;
}

/** `at_<name>`: one value, 0 outside. `at_bounds_<name>`: bounds of a range; leading indices are mostly known. */
function tensorText(name: string, kind: 'int' | 'float', rank: number): string {
  const indices = Array.from({ length: rank }, (_, axis) => `i${axis}`);
  const [value, bounds, prefix] =
    kind === 'int' ? ['int', 'Bounds', ''] : ['float', 'FloatBounds', 'float_'];
  const arguments_ = (type: string): string =>
    ['const Unit& u', ...indices.map((index) => `${type} ${index}`)].join(', ');
  const inside = (from: readonly string[], to: string): string[] =>
    from.map((index, axis) => `inside(t, ${rank - 1 - axis}, ${index}${to})`);
  const offset = (from: readonly string[], to: string): string =>
    from.reduce(
      (sum, index, axis) =>
        axis === 0
          ? `(i64)${index}${to}`
          : `(${sum}) * t.sizes[${rank - 1 - axis}] + ${index}${to}`,
      '0',
    );
  const view = `  const auto& t = u.${name};`;
  const scalar = [
    `WARPLOOM_DEVICE ${value} at_${name}(${arguments_('int')}) {`,
    view,
    `  return ${[...inside(indices, ''), 'true'].join(' && ')} ? t.data[${offset(indices, '')}] : 0;`,
    '}',
  ];
  const leading = indices.slice(0, -1);
  const last = indices.at(-1);
  const range = [
    `WARPLOOM_DEVICE ${bounds} at_bounds_${name}(${arguments_('Bounds')}) {`,
    view,
    ...leading.map((index) => `  if (!bounds_fixed(${index})) return ${prefix}bounds_any();`),
    ...(leading.length > 0
      ? [`  if (!(${inside(leading, '.lo').join(' && ')})) return ${prefix}bounds_of(0);`]
      : []),
    last
      ? `  return zone_bounds(t, ${offset(leading, '.lo')}, ${last}.lo, ${last}.hi);`
      : `  return ${prefix}bounds_of(t.data[0]);`,
    '}',
  ];
  return [...scalar, ...range].join('\n');
}
