import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BitSet } from '../../../dsl/chosen.ts';
import { NeededKeys } from '../../../dsl/plan/needed-keys.ts';
import { unite } from '../../../dsl/plan/spans.ts';

test('needed keys are the members in the spans', () => {
  const key = fc.integer({ min: 0, max: 200 });
  fc.assert(
    fc.property(
      fc.array(key),
      fc.array(fc.tuple(key, key), { maxLength: 6 }),
      fc.tuple(key, key, key),
      (packed, pairs, [probe, a, b]) => {
        const set = new BitSet({ rowFrom: 0, rows: 1, columns: 201, arity: 1 });
        for (const column of packed) set.add(0, column);
        const spans = unite(pairs.map(([x, y]) => [Math.min(x, y), Math.max(x, y)]));
        const within = (column: number) =>
          spans.some((from, i) => i % 2 === 0 && column >= from && column < spans[i + 1]!);
        const wanted = [...set.members()].filter(within);
        const needed = new NeededKeys(set, spans);
        expect(needed.length).toBe(wanted.length);
        expect(needed.before(probe)).toBe(wanted.filter((column) => column < probe).length);
        const places = [a % (wanted.length + 1), b % (wanted.length + 1)];
        const [from, to] = [Math.min(...places), Math.max(...places)];
        expect([...needed.slice(from, to)]).toEqual(wanted.slice(from, to));
      },
    ),
    { numRuns: 1000 },
  );
});
