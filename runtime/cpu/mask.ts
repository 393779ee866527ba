// Masks and scores compiled to JavaScript: the fast meaning of an expression, for the pairs of a tile.
// The definition is dsl/evaluate.ts; law 1 holds the two together.

import type { Binding } from '../../dsl/analysis/binding.ts';
import type { Expression } from '../../dsl/expression.ts';

/**
 * Rewrites scores [rows, stride] in place: -Infinity where the mask is false, the transformed logit
 * elsewhere. Row i is query `q0 + i`; column j is key `keyAt[j]`, or `k0 + j` without a list.
 */
export type TileFunction = (
  scores: Float32Array,
  stride: number,
  q0: number,
  rows: number,
  k0: number,
  count: number,
  keyAt: Int32Array | undefined,
) => void;

const operators: Partial<Record<string, string>> = {
  add: '+',
  sub: '-',
  mul: '*',
  div: '/',
  rem: '%',
  pow: '**',
  bitand: '&',
  bitor: '|',
  bitxor: '^',
  shl: '<<',
  shr: '>>',
  ushr: '>>>',
  lt: '<',
  le: '<=',
  eq: '===',
  ne: '!==',
};

/** The text of a specialised expression over the names q, k, s and the tables of `tile`. */
function text(node: Expression, names: Map<string, string>): string {
  const part = (i: number): string =>
    text((node as { args: readonly Expression[] }).args[i]!, names);
  const table = (kind: string, name: string): string => {
    const key = `${kind} ${name}`;
    const known = names.get(key) ?? `${kind}${names.size}`;
    names.set(key, known);
    return known;
  };
  switch (node.op) {
    case 'const':
      return Object.is(node.value, -0) ? '(-0)' : `(${String(node.value)})`;
    case 'index':
      return node.name;
    case 'at':
      return `${table('tensor', node.tensor)}(${node.args.map((_, i) => part(i)).join(', ')})`;
    case 'has':
      return `${table('set', node.set)}(${node.args.map((_, i) => part(i)).join(', ')})`;
    case 'unary':
      if (node.name === 'neg') return `(-${part(0)})`;
      return node.name === 'bitnot' ? `(~${part(0)})` : `Math.${node.name}(${part(0)})`;
    case 'binary':
      if (node.name === 'floordiv') return `Math.floor(${part(0)} / ${part(1)})`;
      if (node.name === 'min' || node.name === 'max')
        return `Math.${node.name}(${part(0)}, ${part(1)})`;
      return `(${part(0)} ${operators[node.name]} ${part(1)})`;
    case 'compare':
      return `(${part(0)} ${operators[node.name]} ${part(1)})`;
    case 'and':
      return `(${part(0)} && ${part(1)})`;
    case 'or':
      return `(${part(0)} || ${part(1)})`;
    case 'not':
      return `(!${part(0)})`;
    case 'float':
      return part(0);
    case 'select':
      return `(${part(0)} ? ${part(1)} : ${part(2)})`;
    case 'param':
      throw new Error(`warploom is at fault: '${node.name}' is not specialised`);
  }
}

/** A captured tensor as a function of its indices; 0 outside. */
function tensorText(name: string, at: number, shape: readonly number[]): string {
  const args = shape.map((_, i) => `i${i}`);
  const inside = args.map((arg, i) => `${arg} >= 0 && ${arg} < ${shape[i]}`).join(' && ');
  const offset = args.reduce(
    (text, arg, i) => (i === 0 ? arg : `(${text}) * ${shape[i]} + ${arg}`),
    '0',
  );
  return `const ${name} = (${args.join(', ')}) => ${inside || 'true'} ? tables[${at}][${offset}] : 0;`;
}

/** A chosen set as a function of its members; false outside the domain. */
function setText(
  name: string,
  at: number,
  {
    rowFrom,
    rows,
    columns,
    arity,
  }: { rowFrom: number; rows: number; columns: number; arity: number },
): string {
  const stride = (columns + 31) >>> 5;
  const inside = `c >= 0 && c < ${columns}${arity === 2 ? ` && r >= ${rowFrom} && r < ${rowFrom + rows}` : ''}`;
  const word = arity === 2 ? `(r - ${rowFrom}) * ${stride} + (c >>> 5)` : 'c >>> 5';
  return `const ${name} = (${arity === 2 ? 'r, c' : 'c'}) => ${inside} && ((tables[${at}][${word}] >>> (c & 31)) & 1) === 1;`;
}

const compiled = new Map<string, (tables: readonly unknown[]) => TileFunction>();

/**
 * Compiles a specialised mask (undefined: all pairs are allowed) and score for one unit. Equal texts
 * are compiled once.
 */
export function compileTile(
  mask: Expression | undefined,
  score: Expression | undefined,
  binding: Binding,
): TileFunction {
  const names = new Map<string, string>();
  const maskText = mask && text(mask, names);
  const scoreText = score && text(score, names);
  const tables: unknown[] = [];
  const declarations: string[] = [];
  for (const [key, name] of names) {
    const own = key.slice(key.indexOf(' ') + 1);
    if (key.startsWith('tensor')) {
      const { data, shape } = binding.captured[own]!;
      declarations.push(tensorText(name, tables.length, shape));
      tables.push(data);
    } else {
      const { bits, domain } = binding.sets[own]!;
      declarations.push(setText(name, tables.length, domain));
      tables.push(bits);
    }
  }
  const body = [
    ...declarations,
    'return (scores, stride, q0, rows, k0, count, keyAt) => {',
    '  for (let i = 0; i < rows; i += 1) {',
    '    const q = q0 + i;',
    '    for (let j = 0; j < count; j += 1) {',
    '      const k = keyAt === undefined ? k0 + j : keyAt[j];',
    '      const o = i * stride + j;',
    ...(maskText ? [`      if (!${maskText}) { scores[o] = -Infinity; continue; }`] : []),
    ...(scoreText ? ['      const s = scores[o];', `      scores[o] = ${scoreText};`] : []),
    '    }',
    '  }',
    '};',
  ].join('\n');
  let factory = compiled.get(body);
  if (!factory) {
    factory = new Function('tables', body) as (tables: readonly unknown[]) => TileFunction;
    if (compiled.size > 512) compiled.clear();
    compiled.set(body, factory);
  }
  return factory(tables);
}
