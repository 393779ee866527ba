// What a mask asks of a key alone, or of a query alone, is taken out of it, and nothing else is.

import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { splitLoads } from '../../codegen/attention/masks/loads.ts';
import { scalarText } from '../../codegen/expression.ts';
import type { Names } from '../../codegen/names.ts';
import { lifted } from '../../dsl/definition.ts';
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
      ofKey: ['(k % u.step)', '(k % 7)'],
      ofQuery: ['(q % u.step)', '(q % 7)'],
    });
  });

  it('is no remainder of a sum, of a number further on, or that is another number', () => {
    const others = [
      pattern('sum', {}).mask(({ q, k }) => (q + k) % 3 === 0),
      pattern('further', {}).mask(({ q, k }) => (q - k + 1) % 3 === 0),
      pattern('ones', {}).mask(({ q, k }) => (q - k) % 3 === 1),
    ];
    const own = pattern('own', {}).mask(({ q, k }) => (q - k) % Math.max(1, k) === 0);
    expect(split(own)?.mask).toBe('(((q - k) % of_key.value_0) == 0)');
    for (const other of others) expect(split(other), other.definition.name).toBeUndefined();
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
