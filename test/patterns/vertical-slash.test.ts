// Vertical-slash against exact lines and against the conversion of the reference implementation.

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { pointEnvironment } from '../../dsl/analysis/binding.ts';
import { BitSet } from '../../dsl/chosen.ts';
import { lifted, nativeMask } from '../../dsl/definition.ts';
import { evaluate } from '../../dsl/evaluate.ts';
import { verticalSlash } from '../../patterns/index.ts';
import { law, runs } from '../laws/settings.ts';
import { admits, convert, tileSize } from './conversion.ts';
import cases from './fixtures/conversion.json' with { type: 'json' };

test('the conversion of the tests is that of the reference', () => {
  for (const { N, V, S, upstream_like: expected } of cases) {
    const blocks = convert(N, V, S).map(({ tiles, columns }) => [tiles, columns]);
    expect(blocks).toEqual(expected);
  }
});

/** The mask of vertical-slash on given columns and (undilated) distances, as a table [q][k]. */
function maskTable(length: number, columns: readonly number[], distances: readonly number[]) {
  const own = new BitSet({ rowFrom: 0, rows: 1, columns: length, arity: 1 });
  for (const c of columns) own.add(0, c);
  const spread = new BitSet({ rowFrom: 0, rows: 1, columns: length + tileSize, arity: 1 });
  for (const d of distances) spread.addRange(0, d, d + tileSize);
  const sets = { columns: own, distances: spread };
  const shape = {
    ...{ batch: 1, heads: 1, kvHeads: 1, headDim: 8, valueDim: 8 },
    ...{ qLen: length, kLen: length },
  };
  const unit = { batch: 0, head: 0, kvHead: 0 };
  const params = { verticals: 0, slashes: 0, probe: tileSize, grain: tileSize };
  const binding = { shape, unit, params, captured: {}, sets };
  const native = nativeMask(verticalSlash.definition.mask) as (...args: object[]) => unknown;
  const { mask } = lifted(verticalSlash.definition);
  const given = { ...params, ...sets };
  const pair = { ...unit, q: 0, k: 0, row: 0, qLen: length, kLen: length };
  return (q: number, k: number): boolean => {
    [pair.q, pair.k, pair.row] = [q, k, q];
    const value = native(pair, given);
    // The lifted form at some of the pairs: that it means the same is law 1.
    if ((q * 31 + k) % 13 === 0)
      assert.equal(evaluate(mask, pointEnvironment(binding, q, k)), value);
    return value === true;
  };
}

const problems = fc
  .oneof(fc.integer({ min: 1, max: 600 }), fc.integer({ min: 1, max: 200 }))
  .chain((length) =>
    fc.record({
      length: fc.constant(length),
      columns: fc
        .uniqueArray(fc.nat(length - 1), { maxLength: 20 })
        .map((list) => list.sort((a, b) => a - b)),
      slashes: fc
        .uniqueArray(fc.nat(length + 70), { maxLength: 12 })
        .map((list) => [...new Set([0, ...list])]),
    }),
  );

law(
  'vertical-slash admits every pair of the lines, and no pair that the reference does not compute',
  () => {
    fc.assert(
      fc.property(problems, ({ length, columns, slashes }) => {
        const isAllowed = maskTable(length, columns, slashes);
        const blocks = convert(length, columns, slashes);
        const [lines, diagonals] = [new Set(columns), new Set(slashes)];
        for (let q = 0; q < length; q += 1) {
          for (let k = 0; k <= q; k += 1) {
            const allowed = isAllowed(q, k);
            const isOnLine = lines.has(k) || diagonals.has(q - k);
            if (isOnLine && !allowed) assert.fail(`(${q}, ${k}) is on a line and refused`);
            if (allowed && !admits(blocks, q, k)) assert.fail(`(${q}, ${k}) is not computed`);
          }
          for (let k = q + 1; k < Math.min(length, q + 3); k += 1) assert.ok(!isAllowed(q, k));
        }
      }),
      runs(20),
    );
  },
);

law(
  'tiles of the reference are disjoint, its columns lie outside of them and before the block',
  () => {
    fc.assert(
      fc.property(problems, ({ length, columns, slashes }) => {
        for (const [block, { tiles, columns: own }] of convert(
          length,
          columns,
          slashes,
        ).entries()) {
          for (const [i, from] of tiles.entries())
            if (i > 0) expect(from).toBeGreaterThanOrEqual(tiles[i - 1]! + tileSize);
          for (const c of own) {
            expect(c).toBeLessThan(block * tileSize);
            expect(tiles.some((from) => c >= from && c < from + tileSize)).toBe(false);
          }
        }
      }),
      runs(50),
    );
  },
);
