// The one check of a call's tensors and numbers: what it lets through, and every finding it makes.

import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { ShapeError } from '../../dsl/diagnostic.ts';
import { count, f32, fixed, i32 } from '../../dsl/given.ts';
import { pattern } from '../../dsl/pattern.ts';
import { checkAllInputs, checkInputs } from '../../runtime/inputs.ts';
import { tensor } from '../../runtime/tensor.ts';

const { definition } = pattern('spec', {
  window: count.default(4),
  share: z.number().min(0).max(1).default(0.5),
  block: fixed(64),
  segments: i32('batch', 'q'),
  weights: f32('n', 'head'),
  others: f32('n'),
}).mask(() => true);

const good = () => ({
  q: tensor.zeros([2, 4, 5, 8]),
  k: tensor.zeros([2, 2, 7, 8]),
  v: tensor.zeros([2, 2, 7, 3]),
  segments: tensor.zeros([2, 5], { dtype: 'i32' }),
  weights: tensor.zeros([6, 4]),
  others: tensor.zeros([6]),
});

/** Code and text of every finding. */
function findings(inputs: Record<string, unknown>, params: Record<string, unknown> = {}): string[] {
  try {
    checkInputs(definition, { ...good(), ...inputs }, params);
  } catch (error) {
    expect(error).toBeInstanceOf(ShapeError);
    return (error as ShapeError).diagnostics.map(({ code, what }) => `${code} ${what}`);
  }
  return [];
}

test('a call that fits gives its sizes, numbers and tensors', () => {
  const inputs = good();
  const checked = checkInputs(definition, inputs, { window: [1, 2, 3, 4], share: 0.1 });
  expect(checked.shape).toEqual({
    batch: 2,
    heads: 4,
    kvHeads: 2,
    qLen: 5,
    kLen: 7,
    headDim: 8,
    valueDim: 3,
  });
  expect(checked.params).toEqual({ window: [1, 2, 3, 4], share: Math.fround(0.1), block: 64 });
  expect(Object.keys(checked.captured)).toEqual(['segments', 'weights', 'others']);
  expect(checked.q).toBe(inputs.q);
});

test('lengths and batches of 0 are legal, and chosen is no tensor', () => {
  const empty = { q: tensor.zeros([0, 4, 0, 8]), k: tensor.zeros([0, 2, 0, 8]) };
  const rest = { v: tensor.zeros([0, 2, 0, 3]), segments: tensor.zeros([0, 0], { dtype: 'i32' }) };
  expect(findings({ ...empty, ...rest, chosen: {} })).toEqual([]);
});

describe('a finding names the tensor, what it has and what is expected:', () => {
  const zeros = tensor.zeros;
  test.each<[string, Record<string, unknown>, string]>([
    ['a rank', { q: zeros([4, 5, 8]) }, "T001 'q' has the shape [4, 5, 8]"],
    ['nothing', { k: undefined }, "T004 'k' is missing"],
    ['an array', { v: [1, 2] }, "T004 'v' is no tensor but of type Array"],
    ['null', { v: null }, "T004 'v' is no tensor but of type null"],
    [
      'a dtype',
      { k: zeros([2, 2, 7, 8], { dtype: 'bf16' }) },
      'T003 q is fp32, k is bf16 and v is fp32',
    ],
    ['a batch', { v: zeros([1, 2, 7, 3]) }, "T002 'v' has batch size 1, expected 2"],
    ['a length', { v: zeros([2, 2, 6, 3]) }, "T002 'v' has length 6, expected 7"],
    ['a head dim', { k: zeros([2, 2, 7, 4]) }, "T002 'k' has head dimension 4, expected 8"],
    ['heads of v', { v: zeros([2, 4, 7, 3]) }, "T007 'v' has a number of heads of 4, expected 2"],
    ['a missing capture', { others: undefined }, "T004 'others' is missing"],
    [
      'a captured rank',
      { others: zeros([6, 1]) },
      "T001 'others' has the shape [6, 1], expected 1 axes",
    ],
    [
      'a captured dtype',
      { segments: zeros([2, 5]) },
      "T003 'segments' has dtype fp32, expected i32",
    ],
    [
      'a captured size',
      { segments: zeros([2, 7], { dtype: 'i32' }) },
      "T002 'segments' has 7 along 'q', expected 5 as the call has",
    ],
    [
      'a shared name',
      { others: zeros([5]) },
      "T002 'others' has 5 along 'n', expected 6 as 'weights' has",
    ],
    ['an unknown tensor', { mask: zeros([1]) }, "T005 'spec' takes no tensor 'mask'"],
    ['a misplaced number', { window: 3 }, "T005 'spec' takes no tensor 'window'"],
  ])('%s', (_name, inputs, finding) => {
    expect(findings(inputs)).toEqual([finding]);
  });

  test('head counts', () => {
    const odd = { q: zeros([2, 3, 5, 8]), weights: zeros([6, 3]) };
    expect(findings(odd)).toEqual(['T007 3 query heads do not divide among 2 KV heads']);
    const none = { q: zeros([2, 4, 5, 0]), k: zeros([2, 2, 7, 0]) };
    expect(findings(none)).toEqual(['T002 the head dimension is 0']);
    const integers = { q: zeros([2, 4, 5, 8], { dtype: 'i32' }) };
    expect(findings(integers)[0]).toBe("T003 'q' has dtype i32");
  });

  test.each<[string, Record<string, unknown>, RegExp]>([
    ['NaN', { share: NaN }, /^T006 parameter 'share' is NaN/],
    ['a negative number', { window: -1 }, /^T006 parameter 'window' is -1/],
    ['a text', { window: '3' }, /^T006 parameter 'window' is "3"/],
    ['a fraction', { window: [1, 2, 3, 0.5] }, /^T006 parameter 'window' is 0.5/],
    ['a short list', { window: [1, 2] }, /^T008 'window' has 2 numbers for 4 heads/],
    ['a list for a constant', { block: [64, 64, 64, 64] }, /^T008 'block' is fixed/],
    ['an unknown name', { windows: 3 }, /^T005 'spec' has no parameter 'windows'/],
    ['an integer past int32', { window: 2 ** 31 }, /^T009 parameter 'window' is 2147483648/],
    ['a tensor', { others: 1 }, /^T005 'others' is a tensor, not a parameter/],
  ])('the parameter is %s', (_name, params, finding) => {
    const found = findings({}, params);
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(finding);
  });

  test('all of them at once', () => {
    const inputs = { q: zeros([5, 8]), others: undefined, extra: zeros([1]) };
    expect(findings(inputs, { share: 2, nope: 1 }).map((text) => text.slice(0, 4))).toEqual([
      'T001',
      'T004',
      'T006',
      'T005',
      'T005',
    ]);
  });
});

test('several patterns share a call: each takes its own names, a name of none is an error', () => {
  const a = pattern('a', { window: count.default(1) }).mask(() => true).definition;
  const b = pattern('b', { share: z.number().default(0) }).mask(() => true).definition;
  const { q, k, v } = good();
  const { given } = checkAllInputs([a, b], { q, k, v }, { window: 3 });
  expect(given.map(({ params }) => params)).toEqual([{ window: 3 }, { share: 0 }]);
  expect(() => checkAllInputs([a, b], { q, k, v }, { nope: 3 })).toThrow(
    /'a', 'b' has no parameter 'nope'/,
  );
});
