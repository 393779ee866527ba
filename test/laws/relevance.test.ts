// Rows of chosen sets that are said not to matter do not: whatever is in them, no pair is judged otherwise.

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Binding, pointEnvironment } from '../../dsl/analysis/binding.ts';
import { rowsThatMatter } from '../../dsl/analysis/relevance.ts';
import { BitSet, type RowRange } from '../../dsl/chosen.ts';
import { lifted, traceSets } from '../../dsl/definition.ts';
import { evaluate } from '../../dsl/evaluate.ts';
import type { Expression } from '../../dsl/expression.ts';
import { queryOffset } from '../../dsl/shape.ts';
import { flashPrefill } from '../../patterns/index.ts';
import { rowsNeeded } from '../../runtime/needed-rows.ts';
import { arbitraryCase } from '../arbitraries.ts';
import { law, runs } from './settings.ts';

/** The same set with other members in the rows outside a range. */
function changed(set: BitSet, { from, to }: RowRange): BitSet {
  const { rowFrom, rows, columns } = set.domain;
  const other = new BitSet(set.domain);
  for (let row = rowFrom; row < rowFrom + rows; row += 1) {
    for (let column = 0; column < columns; column += 1)
      if (set.hasIn(row, column) !== (row < from || row >= to)) other.add(row, column);
  }
  return other;
}

function rowsOf(mask: Expression, { shape, params, unit, sets }: Binding) {
  const domains = Object.fromEntries(
    Object.entries(sets).map(([name, { domain }]) => [name, domain]),
  );
  return rowsThatMatter({ mask, domains, shape, params, heads: [unit.head] });
}

describe('rows that do not matter', () => {
  law('may hold anything', () => {
    let left = 0;
    fc.assert(
      fc.property(arbitraryCase({ depth: 3 }), ({ mask, binding }) => {
        const rows = rowsOf(mask, binding);
        const sets = Object.fromEntries(
          Object.entries(binding.sets).map(([name, set]) => [name, changed(set, rows[name]!)]),
        );
        const dropped = Object.entries(binding.sets).reduce(
          (sum, [name, { domain }]) => sum + domain.rows - (rows[name]!.to - rows[name]!.from),
          0,
        );
        left += dropped;
        if (dropped === 0) return;
        const { kLen } = binding.shape;
        const from = queryOffset(binding.shape);
        // All pairs of small calls, some of larger ones.
        const step = Math.max(1, Math.floor(Math.sqrt(((kLen - from) * kLen) / 400)));
        for (let q = from; q < kLen; q += step) {
          for (let k = (q - from) % step; k < kLen; k += step) {
            const [a, b] = [binding, { ...binding, sets }].map((one) =>
              evaluate(mask, pointEnvironment(one, q, k)),
            );
            assert.equal(a, b, `at q ${q}, k ${k}`);
          }
        }
      }),
      runs(300),
    );
    expect(left).toBeGreaterThan(100);
  });
});

describe('of flash-prefill', () => {
  const shape = {
    batch: 1,
    heads: 4,
    kvHeads: 2,
    qLen: 1000,
    kLen: 1000,
    headDim: 16,
    valueDim: 16,
  };
  const numbers = { block: 128, tile: 32, share: 0.1, tail: 256 };
  const rowsAt = (params: Record<string, number | number[]>, sizes = {}) => {
    const all = { ...numbers, ...params };
    const { definition } = flashPrefill;
    const graph = traceSets(definition, numbers);
    return rowsNeeded(definition, graph, all, { ...shape, ...sizes }, [0, 1, 2, 3]).blocks;
  };

  it('are those whose queries are all in the dense tail', () => {
    // Rows 744 .. 999 are dense; the tile 23 (736 .. 767) has rows of both kinds.
    expect(rowsAt({})).toEqual({ from: 0, to: 24 });
    expect(rowsAt({ tail: 0 })).toEqual({ from: 0, to: 32 });
    expect(rowsAt({ tail: 1000 })).toEqual({ from: 0, to: 0 });
    expect(rowsAt({ tail: 231 })).toEqual({ from: 0, to: 25 });
  });

  it('are counted from the first of fewer queries, and for the head with the shortest tail', () => {
    expect(rowsAt({}, { qLen: 300 })).toEqual({ from: 21, to: 24 });
    expect(rowsAt({ tail: [256, 512, 64, 1000] })).toEqual({ from: 0, to: 30 });
  });

  it('is the mask as it was lifted', () => {
    expect(lifted(flashPrefill.definition).mask.op).toBe('and');
  });
});
