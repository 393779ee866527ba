// A call is checked once for all of its kind: no call that would be refused passes for one that fitted, and what is
// kept of a kind holds no tensor.

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { z } from 'zod';
import { count, f32, i32, pattern } from '../../index.ts';
import { type CallInputs, checkAllInputs } from '../../runtime/inputs.ts';
import { CallKinds } from '../../runtime/kinds.ts';
import { tensor } from '../../runtime/tensor.ts';

const near = pattern('near', { window: count.default(3), share: z.number().default(0.5) }).mask(
  ({ q, k }, { window }) => k <= q && q - k < window,
);
const labelled = pattern('labelled', { doc: i32('batch', 'k'), bias: f32('head') }).mask(
  ({ q, k, batch }, { doc }) => k <= q && doc.at(batch, k) > 0,
);
const definitions = [near.definition, labelled.definition];

const size = fc.integer({ min: 1, max: 2 });
const floats = fc.record({
  shape: fc.tuple(size, size, size, size),
  dtype: fc.constantFrom('bf16' as const, 'fp16' as const),
  layout: fc.constantFrom('bhsd' as const, 'bshd' as const),
});
const main = floats.map(({ shape, ...options }) => tensor.zeros(shape, options));
const doc = fc.tuple(size, size).map((shape) => tensor.zeros(shape, { dtype: 'i32' }));
const bias = size.map((heads) => tensor.zeros([heads]));
const number = fc.constantFrom(undefined, 0, -0, 2, 2.5, Number.NaN, '2');
const anyParams = fc.record(
  { window: fc.oneof(number, fc.array(number, { maxLength: 2 })), share: number, other: number },
  { requiredKeys: [] },
);
const goodParams = fc.constantFrom<Record<string, unknown>>(
  {},
  { window: 2 },
  { share: -0 },
  { share: 0 },
);
const params = fc.oneof({ weight: 4, arbitrary: goodParams }, anyParams);
const call = fc.record(
  {
    q: main,
    k: main,
    v: main,
    doc: fc.oneof(doc, fc.constant(undefined)),
    bias,
    chosen: fc.constantFrom(undefined, {}),
    segments: fc.constantFrom(undefined, { q: [0, 1] }),
    more: fc.constantFrom(undefined, 1),
  },
  { requiredKeys: ['q'] },
);
/** Mostly of tensors that fit each other, so that there is something to take for another. */
const fitting = fc.tuple(floats, bias).chain(([{ shape, ...options }, own]) => {
  const [batch, heads, length] = shape;
  const made = () => tensor.zeros(shape, options);
  const parts = { q: made(), k: made(), v: made(), bias: own };
  return fc.constantFrom(batch, batch, 3 - batch).map((rows) => ({
    ...parts,
    bias: tensor.zeros([heads]),
    doc: tensor.zeros([rows, length], { dtype: 'i32' }),
  }));
});

it('a call is what it is when it is checked alone, whatever calls came before', () => {
  let taken = 0;
  fc.assert(
    fc.property(
      fc.array(fc.oneof({ weight: 4, arbitrary: fitting }, call), { minLength: 3, maxLength: 6 }),
      fc.array(fc.tuple(fc.nat(), params), { minLength: 30, maxLength: 60 }),
      (several, order) => {
        const kinds = new CallKinds();
        for (const [at, numbers] of order) {
          const inputs: CallInputs = several[at % several.length]!;
          const check = () => checkAllInputs(definitions, inputs, numbers);
          let asked = false;
          const take = () =>
            kinds.take(inputs, numbers, () => {
              asked = true;
              return check();
            }).call;
          let alone: ReturnType<typeof check> | undefined;
          try {
            alone = check();
          } catch {
            expect(take).toThrow();
          }
          if (!alone) continue;
          const together = take();
          if (!asked) taken += 1;
          for (const name of ['q', 'k', 'v'] as const) expect(together[name]).toBe(inputs[name]);
          expect(together.shape).toEqual(alone.shape);
          expect(together.segments).toEqual(alone.segments);
          for (const [i, { params: bound, captured }] of alone.given.entries()) {
            expect(together.given[i]!.params).toEqual(bound);
            expect(Object.keys(together.given[i]!.captured)).toEqual(Object.keys(captured));
            for (const name of Object.keys(captured))
              expect(together.given[i]!.captured[name]).toBe(captured[name]);
          }
        }
      },
    ),
    { numRuns: 40 },
  );
  expect(taken).toBeGreaterThan(100);
});

it('a list of numbers that is changed in place is another call', () => {
  const kinds = new CallKinds();
  const q = tensor.zeros([1, 2, 1, 1]);
  const window = [1, 2];
  const take = () =>
    kinds.take({ q, k: q, v: q }, { window }, () =>
      checkAllInputs([near.definition], { q, k: q, v: q }, { window }),
    ).call;
  expect(take().given[0]!.params.window).toEqual([1, 2]);
  window[1] = 5;
  expect(take().given[0]!.params.window).toEqual([1, 5]);
});
