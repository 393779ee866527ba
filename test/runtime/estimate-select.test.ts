// Picking the members of one row, exactly: weights that are whole numbers leave no rounding to excuse.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { forcedOfRow, forcedOfSums, line } from '../../dsl/estimate/axes.ts';
import type { Leaf } from '../../dsl/estimate/demand.ts';
import { mostMembers } from '../../dsl/estimate/most.ts';
import { jensenShannon } from '../../runtime/cpu/estimate/combine.ts';
import { expOfNegative } from '../../runtime/cpu/estimate/exponential.ts';
import { Selection } from '../../runtime/cpu/estimate/select.ts';
import { choose, membersOf } from '../../runtime/reference/choose.ts';

const scores = {
  op: 'dot',
  left: { op: 'input', of: 'q' },
  right: { op: 'input', of: 'k' },
} as const;
const of = { op: 'sumPerKey', of: { op: 'softmax', of: scores } } as const;

const leaves: fc.Arbitrary<Leaf> = fc
  .record({
    op: fc.constantFrom('topk' as const, 'above' as const, 'cover' as const),
    count: fc.nat(40),
    share: fc.constantFrom(0, 0.25, 0.5, 1),
    mass: fc.constantFrom(0, 0.25, 0.5, 0.75, 1),
    reference: fc.constantFrom('max' as const, 'sum' as const),
    always: fc.record({ first: fc.nat(4), last: fc.nat(4) }),
    capacity: fc.constantFrom(Infinity, Infinity, 0, 5, 12),
  })
  .map(({ op, count, share, mass, reference, always, capacity }): Leaf => {
    if (op === 'topk') return { op, of, count, always };
    if (op === 'above') return { op, of, share, reference, always, capacity };
    return { op, of, mass, always, capacity };
  });

const weights = fc.array(fc.oneof(fc.constantFrom(0, -0, 1), fc.nat(6), fc.nat(1000)), {
  maxLength: 50,
});

describe('one row', () => {
  test('has no more members than lists of it are made for', () => {
    fc.assert(
      fc.property(leaves, weights, fc.integer({ min: 1, max: 9 }), (leaf, numbers, size) => {
        const columns = numbers.length;
        const values = Float64Array.from(numbers);
        const row = { row: 0, values, visible: numbers.map(() => true), blocks: undefined };
        const { set, dense } = choose(leaf, { arity: 1, rowFrom: 0, columns, rows: [row] });
        const members = dense ? numbers.map((_, c) => c) : [...set.members(0)];
        const most = mostMembers(leaf, columns);
        expect(members.length).toBeLessThanOrEqual(most);
        if (leaf.op === 'topk') expect(members.length).toBe(most);
        const wide = new Set(members.flatMap((m) => Array.from({ length: size }, (_, i) => m + i)));
        const dilated = { op: 'dilate', of: leaf, size } as const;
        expect(wide.size).toBeLessThanOrEqual(mostMembers(dilated, columns + size - 1));
        const either = { op: 'where', verdict: undefined as never, yes: leaf, no: 'none' } as const;
        expect(mostMembers(either, columns)).toBe(most);
      }),
      { numRuns: 1000 },
    );
  });

  test('of sums is chosen exactly as by sorting', () => {
    fc.assert(
      fc.property(leaves, weights, (leaf, numbers) => {
        const columns = numbers.length;
        const domain = { rowFrom: 0, rows: 1, columns, arity: 1 } as const;
        const selection = new Selection(leaf, domain);
        const forced = forcedOfSums(columns, leaf.always);
        selection.row(0, Float32Array.from(numbers), 0, columns, forced);
        if (selection.dense) selection.fill(0, 0, columns, forced);
        const values = Float64Array.from(numbers);
        const row = { row: 0, values, visible: numbers.map(() => true), blocks: undefined };
        const expected = choose(leaf, { arity: 1, rowFrom: 0, columns, rows: [row] });
        expect(selection.dense).toBe(expected.dense);
        expect([...selection.set.members(0)]).toEqual([...expected.set.members(0)]);
      }),
      { numRuns: 3000 },
    );
  });

  test('that sees a part of the columns is chosen exactly as by sorting', () => {
    const places = fc.record({
      from: fc.nat(10),
      position: fc.nat(60),
      size: fc.integer({ min: 1, max: 9 }),
    });
    fc.assert(
      fc.property(leaves, weights, places, (leaf, numbers, { from, position, size }) => {
        const columns = from + numbers.length + 3;
        const rows = line(1, 0, columns * size);
        const q = position % (columns * size);
        const selection = new Selection(leaf, { rowFrom: q, rows: 1, columns, arity: 2 });
        const forced = forcedOfRow(rows, line(size, 0, columns * size), q, leaf.always);
        selection.row(q, Float32Array.from(numbers), from, columns - 3, forced);
        const values = new Float64Array(columns);
        values.set(numbers, from);
        const visible = Array.from(values, (_, c) => c >= from && c < columns - 3);
        const row = { row: q, values, visible, blocks: [Math.floor(q / size)] };
        const expected = membersOf(leaf, row).sort((a, b) => a - b);
        const isDense = leaf.op !== 'topk' && expected.length > leaf.capacity;
        expect(selection.dense).toBe(isDense);
        if (!isDense) expect([...selection.set.members(q)]).toEqual(expected);
      }),
      { numRuns: 3000 },
    );
  });
});

test('mass 1 takes every positive weight, however small beside the sum', () => {
  const leaf = {
    op: 'cover',
    of,
    mass: 1,
    always: { first: 0, last: 0 },
    capacity: Infinity,
  } as const;
  const selection = new Selection(leaf, { rowFrom: 0, rows: 1, columns: 3, arity: 1 });
  const numbers = [1e-9, 1e8, 0];
  selection.row(0, Float32Array.from(numbers), 0, 3, forcedOfSums(3, leaf.always));
  expect([...selection.set.members()]).toEqual([0, 1]);
  const values = Float64Array.from(numbers);
  const row = { row: 0, values, visible: [true, true, true], blocks: undefined };
  expect(membersOf(leaf, row).sort()).toEqual([0, 1]);
});

test('the exponential is exact to fp32', () => {
  for (let x = 0; x > -750; x -= 0.0371) {
    const error = Math.abs(expOfNegative(x) - Math.exp(x));
    expect(error).toBeLessThanOrEqual(2e-8 * Math.exp(x) + 1e-300);
  }
  expect(expOfNegative(0)).toBe(1);
  expect(expOfNegative(-Infinity)).toBe(0);
});

test('the divergence of any two vectors is a number from 0 to sqrt(ln 2)', () => {
  expect(jensenShannon([1, 0], [0, 3])).toBeCloseTo(Math.sqrt(Math.LN2), 12);
  expect(jensenShannon([1, 2], [2, 4])).toBe(0);
  expect(jensenShannon([0, 0], [0, 0])).toBe(0);
  expect(jensenShannon([0, 0], [1, 1])).toBe(0);
  expect(jensenShannon([], [])).toBe(0);
});
