// What a mask asks of a key alone, or of a query alone, is taken out of it, and nothing else is.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { splitLoads } from '../../codegen/attention/masks/loads.ts';
import { scalarText } from '../../codegen/expression.ts';
import type { Names } from '../../codegen/names.ts';
import { lifted } from '../../dsl/definition.ts';
import { binary, compare, index, int } from '../../dsl/expression.ts';
import { f32, pattern } from '../../dsl/index.ts';
import { causal, documents } from '../../patterns/index.ts';

const names: Names = (_, name) => name;

/** The mask that is left, and what is loaded of keys and of queries, as CUDA C. */
function split(made: { readonly definition: Parameters<typeof lifted>[0] }) {
  const found = splitLoads([lifted(made.definition).mask]);
  const text = (loads: NonNullable<typeof found>['ofKey']) =>
    loads.map(({ expression }) => scalarText(expression, names));
  return (
    found && {
      mask: scalarText(found.masks[0]!, names),
      ofKey: text(found.ofKey),
      ofQuery: text(found.ofQuery),
    }
  );
}

describe('what a mask asks of one side alone', () => {
  it('is loaded once: the document of a key, and that of a query', () => {
    expect(split(documents)).toEqual({
      mask: '((k <= q) & (of_query.value_0 == of_key.value_0))',
      ofKey: ['at_doc(u, u.batch, k)'],
      ofQuery: ['at_doc(u, u.batch, q)'],
    });
  });

  it('is nothing where keys and queries are only compared', () => {
    expect(split(causal)).toBeUndefined();
  });

  it('holds divisions, and each of them once', () => {
    const striped = pattern('striped', {}).mask(
      ({ q, k }) => Math.floor(k / 5) % 3 === q % 7 || Math.floor(k / 5) % 3 < q % 7,
    );
    const { ofKey, ofQuery } = split(striped)!;
    expect(ofKey).toEqual(['(floor_div(k, 5) % 3)']);
    expect(ofQuery).toEqual(['(q % 7)']);
  });

  it('is a remainder of each where that of their distance is asked to be 0', () => {
    const strided = pattern('strided', { step: z.int().min(1) }).mask(
      ({ q, k }, { step }) => (q - k) % step === 0 || (k - q) % 7 !== 0,
    );
    expect(split(strided)).toEqual({
      mask: '((of_query.value_0 == of_key.value_0) | (of_query.value_1 != of_key.value_1))',
      ofKey: ['(k % abs(u.step))', '(k % 7)'],
      ofQuery: ['(q - (floor_div(q, abs(u.step)) * abs(u.step)))', '(q - (floor_div(q, 7) * 7))'],
    });
  });

  it('is a remainder of each for any remainder of the distance from a key further on, by a number', () => {
    const further = pattern('further', {}).mask(
      ({ q, k }) => (q - k - 1) % 5 === 0 || (k - q + 3) % 5 !== 0,
    );
    expect(split(further)).toEqual({
      mask: '((of_query.value_0 == of_key.value_0) | (of_query.value_1 != of_key.value_0))',
      ofKey: ['(k % 5)'],
      ofQuery: [
        '(((q - (floor_div(q, 5) * 5)) + 4) % 5)',
        '(((q - (floor_div(q, 5) * 5)) + 2) % 5)',
      ],
    });
    const ones = pattern('ones', {}).mask(
      ({ q, k }) => (q - k + 9) % -7 === 3 || (q - k) % 7 === -1,
    );
    expect(split(ones)).toEqual({
      mask: '(((of_query.value_0 == of_key.value_0) & (0 < ((q - k) + 9))) | ((of_query.value_1 == of_key.value_0) & ((q - k) < 0)))',
      ofKey: ['(k % 7)'],
      ofQuery: [
        '(((q - (floor_div(q, 7) * 7)) + 6) % 7)',
        '(((q - (floor_div(q, 7) * 7)) + 1) % 7)',
      ],
    });
    const others = pattern('others', {}).mask(
      ({ q, k }) => (q - k) % 7 !== -1 && (k - q) % 7 !== 2,
    );
    expect(split(others)?.mask).toBe(
      '(((of_query.value_0 != of_key.value_0) | (0 <= (q - k))) & ((of_query.value_1 != of_key.value_0) | ((k - q) <= 0)))',
    );
  });

  it('is no remainder of a sum, by a number of the call but for no rest, by a large one, or that none has', () => {
    const others = [
      pattern('sum', {}).mask(({ q, k }) => (q + k) % 3 === 0),
      pattern('by', { step: z.int().min(1) }).mask(
        ({ q, k }, { step }) => (q - k + 1) % step === 0,
      ),
      pattern('one', { step: z.int().min(1) }).mask(({ q, k }, { step }) => (q - k) % step === 1),
      pattern('large', {}).mask(({ q, k }) => (q - k + 1) % 1_073_741_825 === 0),
      pattern('none', {}).mask(({ q, k }) => (q - k) % 3 === 3),
    ];
    const own = pattern('own', {}).mask(({ q, k }) => (q - k) % Math.max(1, k) === 0);
    expect(split(own)?.mask).toBe('(((q - k) % of_key.value_0) == 0)');
    for (const other of others) expect(split(other), other.definition.name).toBeUndefined();
  });

  it('says of every pair what the mask says', () => {
    const small = fc.integer({ min: -20, max: 20 });
    const divisor = fc.integer({ min: 1, max: 9 }).chain((n) => fc.constantFrom(n, -n));
    fc.assert(
      fc.property(
        fc.record({ sign: fc.constantFrom(1, -1), further: small, divisor, rest: small }),
        fc.constantFrom('eq' as const, 'ne' as const),
        ({ sign, further, divisor, rest }, name) => {
          const [q, k] = [index('q'), index('k')];
          const distance = sign === 1 ? binary('sub', q, k) : binary('sub', k, q);
          const of = binary('add', distance, int(further));
          const mask = compare(name, binary('rem', of, int(divisor)), int(rest));
          const found = splitLoads([mask]);
          if (!found) return;
          // What is C of whole numbers is JavaScript as well.
          const asFunction = (names: string, body: string) =>
            new Function('floor_div', ...names.split(','), `return ${body}`).bind(
              undefined,
              (a: number, b: number) => Math.floor(a / b),
            ) as (...values: unknown[]) => never;
          const value = (loads: typeof found.ofKey) =>
            asFunction(
              'q,k',
              `({${loads.map((load) => `${load.member}: ${scalarText(load.expression, names)}`)}})`,
            );
          const [ofKey, ofQuery] = [value(found.ofKey), value(found.ofQuery)];
          const left = asFunction('q,k,of_key,of_query', scalarText(found.masks[0]!, names));
          for (let query = -30; query < 30; query += 1)
            for (let key = 0; key < 30; key += 1) {
              const isRest = (sign * (query - key) + further) % divisor === rest;
              const said = left(query, key, ofKey(query, key), ofQuery(query, key));
              expect(Boolean(said)).toBe(isRest === (name === 'eq'));
            }
        },
      ),
      { numRuns: 300 },
    );
  });

  it('is a float where it is loaded: comparisons with integers widen it later', () => {
    const limits = pattern('limits', { limit: f32('kLen') }).mask(
      ({ q, k }, { limit }) => limit.at(k) < q,
    );
    expect(split(limits)).toEqual({
      mask: '(of_key.value_0 < (double)q)',
      ofKey: ['at_limit(u, k)'],
      ofQuery: [],
    });
  });
});
