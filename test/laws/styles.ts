// One mask, written in many ways: names, destructuring, parentheses, comments, line breaks, bodies with
// local constants. For law 12; the plain printer is dsl/print.ts.

import fc from 'fast-check';
import type { Declarations } from '../../dsl/declarations.ts';
import { children, type Expression, indices, walk } from '../../dsl/expression.ts';
import { numbersFrom } from '../arbitraries.ts';

export interface Style {
  readonly seed: number;
  /** How the arrow takes its arguments. */
  readonly takes: 'names' | 'renamed' | 'whole' | 'inside';
  /** An expression, `{ return ...; }`, or that with local constants. */
  readonly body: 'expression' | 'return' | 'locals';
  /** How often an expression gets parentheses, comments and line breaks that it does not need, 0 .. 1. */
  readonly noise: number;
  /** `function (...) { }` in place of an arrow. */
  readonly isFunction: boolean;
}

export const arbitraryStyle: fc.Arbitrary<Style> = fc.record({
  seed: fc.nat(),
  takes: fc.constantFrom('names', 'renamed', 'whole', 'inside'),
  body: fc.constantFrom('expression', 'return', 'locals'),
  noise: fc.constantFrom(0, 0.2, 0.6),
  isFunction: fc.boolean(),
});

const operators: Readonly<Record<string, string>> = {
  add: '+', sub: '-', mul: '*', div: '/', rem: '%', pow: '**', bitand: '&', bitor: '|', bitxor: '^',
  shl: '<<', shr: '>>', ushr: '>>>', lt: '<', le: '<=', eq: '===', ne: '!==', and: '&&', or: '||',
}; // biome-ignore format: a table

/** The mask as a function of this style; every text means the same. */
export function printStyled(
  node: Expression,
  { params, tensors, sets }: Declarations,
  style: Style,
): string {
  const next = numbersFrom(style.seed);
  const noisy = () => next() < style.noise;
  const pairNames = indices.filter((name) => name !== 's');
  const givenNames = [params, tensors, sets].flatMap(Object.keys);
  const [pair, given] = style.takes === 'whole' ? ['pair', 'given'] : ['p', 'g'];
  const suffix = style.takes === 'renamed' || style.takes === 'inside' ? '$1' : '';
  const name = (own: string, of: string) =>
    style.takes === 'whole' ? `${of}.${own}` : own + suffix;
  const space = () => {
    if (!noisy()) return ' ';
    const u = next();
    return u < 0.4 ? '\n      ' : u < 0.7 ? ' /* k <= q && ( */ ' : ' // why not )\n  ';
  };
  const locals: string[] = [];
  const print = (part: Expression): string => {
    const text = bare(part);
    const isLeaf = children(part).length === 0;
    const whole = isLeaf ? text : `(${text})`;
    if (style.body === 'locals' && !isLeaf && part.op !== 'float' && next() < 0.3) {
      locals.push(`const local${locals.length}${space()}= ${whole};`);
      return `local${locals.length - 1}`;
    }
    return noisy() ? `(${space()}${whole}${space()})` : whole;
  };
  const bare = (part: Expression): string => {
    const args = () => children(part).map(print);
    const call = (callee: string) => `${callee}(${args().join(`,${space()}`)})`;
    switch (part.op) {
      case 'const':
        return (part.value as number) < 0 ? `(${part.value})` : String(part.value);
      case 'index':
        return name(part.name, pair!);
      case 'param':
        return name(part.name, given!);
      case 'at':
        return call(`${name(part.tensor, given!)}.at`);
      case 'has':
        return call(`${name(part.set, given!)}.has`);
      case 'float':
        return print(part.args[0]);
      case 'not':
        return `!${print(part.args[0])}`;
      case 'select': {
        const [c, a, b] = args();
        return `${c}${space()}? ${a} :${space()}${b}`;
      }
      case 'unary':
        if (part.name === 'neg') return `- ${print(part.args[0])}`;
        return part.name === 'bitnot' ? `~${print(part.args[0])}` : call(`Math.${part.name}`);
      default: {
        if (part.op === 'binary' && part.name === 'floordiv') {
          const [a, b] = args();
          return `Math.floor(${a}${space()}/ ${b})`;
        }
        const operator =
          operators[part.op === 'binary' || part.op === 'compare' ? part.name : part.op];
        if (!operator) return call(`Math.${(part as { name: string }).name}`);
        const [a, b] = args();
        // Comparisons the other way round are the same comparison. TypeScript takes '<' before a
        // parenthesis for type arguments where a '>' follows: `a < (((b) > (c)) ? d : e)`.
        const isPlain = children(children(part)[1]!).length === 0;
        if ((operator === '<' || operator === '<=') && (!isPlain || next() < 0.5))
          return `${b}${space()}${operator === '<' ? '>' : '>='} ${a}`;
        return `${a}${space()}${operator} ${b}`;
      }
    }
  };
  /** Statements that return the value. */
  const statements = (part: Expression): string => {
    const value = print(part);
    const before = locals.splice(0);
    return [...before, `return ${value};`].join('\n    ');
  };
  const mentioned = new Set<string>();
  for (const part of walk(node)) {
    if (part.op === 'index' || part.op === 'param') mentioned.add(part.name);
    if (part.op === 'at') mentioned.add(part.tensor);
    if (part.op === 'has') mentioned.add(part.set);
  }
  const list = (names: readonly string[]) =>
    `{ ${names
      .filter((own) => mentioned.has(own) || noisy())
      .map((own) => (suffix ? `${own}: ${own}${suffix}` : own))
      .join(', ')} }`;
  const heads =
    style.takes === 'names' || style.takes === 'renamed'
      ? `${list(pairNames)}: any, ${list(givenNames)}: any`
      : `${pair}: any, ${given}: any`;
  const inside =
    style.takes === 'inside'
      ? `const ${list(pairNames)} = ${pair}; const ${list(givenNames)} = ${given};\n    `
      : '';
  const isPlain = style.body === 'expression' && inside === '' && !style.isFunction;
  if (isPlain) return `((${heads}) =>${space().replace(/\/\/.*\n/, '\n')}${print(node)})`;
  const block = `{\n    ${inside}${statements(node)}\n  }`;
  return style.isFunction ? `(function (${heads}) ${block})` : `((${heads}) => ${block})`;
}
