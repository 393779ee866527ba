// Expressions as text: precedence by examples, meaning by random expressions read back by V8.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { pointEnvironment } from '../../dsl/analysis/binding.ts';
import { evaluate } from '../../dsl/evaluate.ts';
import * as x from '../../dsl/expression.ts';
import { printArrow, printExpression } from '../../dsl/print.ts';
import {
  arbitraryBinding,
  arbitraryMask,
  arbitraryPair,
  arbitraryScore,
  arbitraryShape,
  vocabulary,
} from '../arbitraries.ts';

const [q, k, s] = [x.index('q'), x.index('k'), x.index('s')];
const [one, two] = [x.int(1), x.int(2)];
const sub = (a: x.Expression, b: x.Expression) => x.binary('sub', a, b);
const add = (a: x.Expression, b: x.Expression) => x.binary('add', a, b);
const neg = (a: x.Expression) => x.unary('neg', a);
const lt = (a: x.Expression, b: x.Expression) => x.compare('lt', a, b);

describe('printExpression', () => {
  test('prints masks as their authors write them', () => {
    const sinks = x.param('sinks', 'int');
    const near = lt(sub(q, k), x.param('window', 'int'));
    expect(printExpression(x.and(x.compare('le', k, q), x.or(lt(k, sinks), near)))).toBe(
      'k <= q && (k < sinks || q - k < window)',
    );
    const doc = (index: x.Expression) => x.at('doc', 'int', [x.index('batch'), index]);
    expect(printExpression(x.compare('eq', doc(q), doc(k)))).toBe(
      'doc.at(batch, q) === doc.at(batch, k)',
    );
    const block = (index: x.Expression) => x.binary('floordiv', index, x.int(64));
    expect(printExpression(x.has('blocks', [block(q), block(k)]))).toBe(
      'blocks.has(Math.floor(q / 64), Math.floor(k / 64))',
    );
  });

  test.each<[string, x.Expression]>([
    ['q - (k - 1)', sub(q, sub(k, one))],
    ['q - k - 1', sub(sub(q, k), one)],
    ['(q + 1) * 2', x.binary('mul', add(q, one), two)],
    ['Math.floor((q + 1) / (2 * k))', x.binary('floordiv', add(q, one), x.binary('mul', two, k))],
    ['q % 2 === 1', x.compare('eq', x.binary('rem', q, two), one)],
    ['(q & 1) === 1', x.compare('eq', x.binary('bitand', q, one), one)],
    ['q & 1 | 2', x.binary('bitor', x.binary('bitand', q, one), two)],
    ['q << 1 + k', x.binary('shl', q, add(one, k))],
    ['-q', neg(q)],
    ['-(-q)', neg(neg(q))],
    ['-(-1)', neg(x.int(-1))],
    ['-(-0)', neg(x.real(-0))],
    ['-~q', neg(x.unary('bitnot', q))],
    ['q - -1', sub(q, x.int(-1))],
    ['-(q + k)', neg(add(q, k))],
    ['!(k < q)', x.not(lt(k, q))],
    ['!!near.has(k)', x.not(x.not(x.has('near', [k])))],
    ['(-2) ** s', x.binary('pow', x.int(-2), s)],
    ['(-s) ** 2', x.binary('pow', neg(s), two)],
    ['-(s ** 2)', neg(x.binary('pow', s, two))],
    ['2 ** -s', x.binary('pow', two, neg(s))],
    ['(s ** 2) ** q', x.binary('pow', x.binary('pow', s, two), q)],
    ['s ** 2 ** q', x.binary('pow', s, x.binary('pow', two, q))],
    ['s / q * 2', x.binary('mul', x.binary('div', s, q), two)],
    ['Math.max(0, k < q ? 1 : 2)', x.binary('max', x.int(0), x.select(lt(k, q), one, two))],
    ['(k < q ? 1 : 2) + k', add(x.select(lt(k, q), one, two), k)],
    ['k < q ? k < 1 ? 1 : 2 : 2', x.select(lt(k, q), x.select(lt(k, one), one, two), two)],
    [
      '(k < q ? k < 1 : k < 2) ? 1 : 2',
      x.select(x.select(lt(k, q), lt(k, one), lt(k, two)), one, two),
    ],
    ['k < q === q < 1', x.compare('eq', lt(k, q), lt(q, one))],
    ['k < 1 || k < q && q < 1', x.or(lt(k, one), x.and(lt(k, q), lt(q, one)))],
    ['1e+21', x.real(1e21)],
    ['s === -Infinity', x.compare('eq', s, x.real(-Infinity))],
    ['Math.tanh(s - q)', x.unary('tanh', sub(s, q))],
  ])('%s', (text, node) => {
    expect(printExpression(node)).toBe(text);
  });
});

describe('printArrow', () => {
  test('destructures what is mentioned, in the order of the declarations', () => {
    const node = x.and(x.has('columns', [k]), lt(x.param('window', 'int'), q));
    expect(printArrow(node, vocabulary)).toBe(
      '({ q, k }, { window, columns }) => columns.has(k) && window < q',
    );
    expect(printArrow(x.bool(true))).toBe('() => true');
    expect(printArrow(lt(k, q))).toBe('({ q, k }) => k < q');
    expect(printArrow(lt(x.param('a', 'int'), one))).toBe('(_, { a }) => a < 1');
  });

  test('renames what no variable can be called', () => {
    const names = ['k', 'Math', 'my-window', '2nd', 'window_'];
    const sum = names.map((name) => x.param(name, 'int')).reduce(add, k);
    const text = printArrow(lt(sum, q));
    expect(text).toBe(
      '({ q, k }, { k: k_, Math: Math_, "my-window": my_window_, "2nd": _2nd_, window_ }) => k + k_ + Math_ + my_window_ + _2nd_ + window_ < q',
    );
    const given = { k: 1, Math: 2, 'my-window': 3, '2nd': 4, window_: 5 };
    expect(new Function(`return ${text}`)()({ q: 16, k: 0 }, given)).toBe(true);
    expect(new Function(`return ${text}`)()({ q: 15, k: 0 }, given)).toBe(false);
  });

  test.each([
    ['mask', arbitraryMask(vocabulary, { depth: 4 })],
    ['score', arbitraryScore(vocabulary, { depth: 4 })],
  ])('V8 reads a random %s as evaluate does', (_, expressions) => {
    const shapes = arbitraryShape({ least: 1, most: 300 });
    const cases = shapes.chain((shape) =>
      fc.record({
        node: expressions,
        binding: arbitraryBinding(shape),
        pairs: fc.array(arbitraryPair(shape), { minLength: 20, maxLength: 20 }),
        s: fc.double({ min: -64, max: 64, noNaN: true }),
      }),
    );
    fc.assert(
      fc.property(cases, ({ node, binding, pairs, s: logit }) => {
        const arrow = new Function(`return ${printArrow(node, vocabulary)}`)();
        for (const pair of pairs) {
          const env = pointEnvironment(binding, pair.q, pair.k, logit);
          const given = {
            ...binding.params,
            ...Object.fromEntries(
              Object.entries(binding.captured).map(([name, captured]) => [
                name,
                { at: (...indices: number[]) => captured.at(indices) },
              ]),
            ),
            ...binding.sets,
          };
          const value = arrow(env.index, given);
          expect(value).toBe(evaluate(node, env));
          if (typeof value === 'number') expect(Math.abs(value)).toBeLessThanOrEqual(2 ** 16);
        }
      }),
      { numRuns: 500 },
    );
  });
});

test('random integers stay within int32', () => {
  const shapes = arbitraryShape({ least: 1, most: 4096 });
  const cases = shapes.chain((shape) =>
    fc.record({
      node: arbitraryMask(vocabulary, { depth: 5 }),
      binding: arbitraryBinding(shape),
      pair: arbitraryPair(shape),
    }),
  );
  fc.assert(
    fc.property(cases, ({ node, binding, pair }) => {
      const env = pointEnvironment(binding, pair.q, pair.k);
      for (const part of x.walk(node)) {
        if (part.kind !== 'int') continue;
        const value = evaluate(part, env) as number;
        expect(Number.isInteger(value) && Math.abs(value) <= 2 ** 31 - 1).toBe(true);
      }
    }),
    { numRuns: 300 },
  );
});
