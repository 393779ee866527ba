// Masks and scores compiled to JavaScript: the fast meaning of an expression, for the pairs of a tile.
// The definition is dsl/evaluate.ts; law 1 holds the two together.

import type { Binding } from '../../dsl/analysis/binding.ts';
import type { SetDomain } from '../../dsl/chosen.ts';
import type { Expression } from '../../dsl/expression.ts';
import { printExpression } from '../../dsl/print.ts';

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

/** A captured tensor as `{ at }`, over `tables[at]`; 0 outside. */
function tensorText(name: string, at: number, shape: readonly number[]): string {
  const args = shape.map((_, axis) => `i${axis}`);
  const inside = args.map((arg, axis) => `${arg} >= 0 && ${arg} < ${shape[axis]}`).join(' && ');
  const offset = args.reduce((text, arg, axis) => `(${text}) * ${shape[axis]} + ${arg}`, '0');
  const value = `${inside || 'true'} ? tables[${at}][${offset}] : 0`;
  return `const ${name} = { at: (${args.join(', ')}) => ${value} };`;
}

/** A chosen set as `{ has }`, over the words `tables[at]`; false outside the domain. */
function setText(name: string, at: number, domain: SetDomain): string {
  const { rowFrom, rows, columns, arity } = domain;
  const stride = (columns + 31) >>> 5;
  const row = arity === 2 ? ` && r >= ${rowFrom} && r < ${rowFrom + rows}` : '';
  const word = arity === 2 ? `(r - ${rowFrom}) * ${stride} + (c >>> 5)` : 'c >>> 5';
  const bit = `((tables[${at}][${word}] >>> (c & 31)) & 1) === 1`;
  const args = arity === 2 ? 'r, c' : 'c';
  return `const ${name} = { has: (${args}) => c >= 0 && c < ${columns}${row} && ${bit} };`;
}

const compiled = new Map<string, (tables: readonly unknown[]) => TileFunction>();

/**
 * Compiles a specialised mask (undefined: all pairs are allowed) and score for one unit. Equal texts
 * are compiled once.
 */
export function compileTile(
  mask: Expression | undefined,
  score: Expression | undefined,
  { captured, sets }: Binding,
): TileFunction {
  const tables: unknown[] = [];
  const declarations: string[] = [];
  const names = new Map<string, string>();
  /** Declares a tensor or set when the text first mentions it; the author's name may clash with ours. */
  const declare = (own: string): string => {
    const known = names.get(own);
    if (known) return known;
    const name = `given${names.size}`;
    names.set(own, name);
    const tensor = captured[own];
    const set = sets[own]!;
    declarations.push(
      tensor
        ? tensorText(name, tables.length, tensor.shape)
        : setText(name, tables.length, set.domain),
    );
    tables.push(tensor ? tensor.data : set.bits);
    return name;
  };
  const maskText = mask && printExpression(mask, declare);
  const scoreText = score && printExpression(score, declare);
  const body = [
    ...declarations,
    'return (scores, stride, q0, rows, k0, count, keyAt) => {',
    '  for (let i = 0; i < rows; i += 1) {',
    '    const q = q0 + i;',
    '    for (let j = 0; j < count; j += 1) {',
    '      const k = keyAt === undefined ? k0 + j : keyAt[j];',
    '      const o = i * stride + j;',
    ...(maskText ? [`      if (!(${maskText})) { scores[o] = -Infinity; continue; }`] : []),
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
