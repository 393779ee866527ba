import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BitSet, type SetDomain } from '../../dsl/chosen.ts';
import { RunSet } from '../../dsl/run-set.ts';

const number = (from: number, to: number) => fc.integer({ min: from, max: to });

test('a set of one run a row answers as one that stores its members', () => {
  fc.assert(
    fc.property(
      fc.record({ rowFrom: number(0, 3), rows: number(1, 6), columns: number(1, 100) }),
      fc.array(fc.tuple(number(-5, 105), number(-5, 60)), { minLength: 9, maxLength: 9 }),
      fc.array(number(-2, 110), { minLength: 4, maxLength: 4 }),
      ({ rowFrom, rows, columns }, runs, [a, b, c, d]) => {
        const domain: SetDomain = { rowFrom, rows, columns, arity: rows === 1 && !rowFrom ? 1 : 2 };
        const told = new RunSet(domain, (row) => {
          const [from, size] = runs[row]!;
          return { from, to: from + size };
        });
        const stored = new BitSet(domain);
        for (let row = rowFrom; row < rowFrom + rows; row += 1)
          stored.addRange(row, runs[row]![0], runs[row]![0] + runs[row]![1]);
        const [r0, r1] = [Math.min(a!, b!) % 10, Math.max(a!, b!) % 10];
        const [c0, c1] = [Math.min(c!, d!), Math.max(c!, d!)];
        expect(told.hasIn(r0, c0)).toBe(stored.hasIn(r0, c0));
        expect(told.count(r0, c0, c1)).toBe(stored.count(r0, c0, c1));
        expect(told.any(r0, r1, c0, c1)).toBe(stored.any(r0, r1, c0, c1));
        expect(told.all(r0, r1, c0, c1)).toBe(stored.all(r0, r1, c0, c1));
        for (const over of ['any', 'every'] as const)
          expect(told.runs(r0, r1, over)).toEqual(stored.runs(r0, r1, over));
        const members = Array.from({ length: columns }, (_, column) => column).filter((column) =>
          stored.hasIn(r1, column),
        );
        expect([...told.members(r1)]).toEqual(members);
        const part = members.filter((column) => column >= c0 && column < c1);
        for (const set of [told, stored]) expect([...set.members(r1, c0, c1)]).toEqual(part);
      },
    ),
    { numRuns: 2000 },
  );
});
