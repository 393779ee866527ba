// From how many members on a head costs as much as dense attention: held against whole plans of that many, and how long
// it takes to say so at any length.

import { describe, expect, it } from 'vitest';
import { BitSet } from '../../dsl/chosen.ts';
import { lifted, restSize } from '../../dsl/definition.ts';
import { domainOf } from '../../dsl/estimate/domain.ts';
import { parametersOf } from '../../dsl/given.ts';
import type { AnyPattern } from '../../dsl/pattern.ts';
import { summarise } from '../../dsl/plan/summary.ts';
import { planUnit } from '../../dsl/plan/unit.ts';
import { tileSizes } from '../../dsl/schedule.ts';
import { patterns } from '../../index.ts';
import { fallbackLimits } from '../../runtime/fallback.ts';
import { graphsPerHead } from '../../runtime/inputs.ts';
import { checkCall } from '../../runtime/plans.ts';
import { lookupStep } from '../../runtime/predicted.ts';
import { limitsOf, openPatterns } from '../laws/properties/fallback.ts';

const shapeOf = (length: number) => {
  const sizes = { batch: 1, heads: 2, kvHeads: 1, headDim: 128, valueDim: 128 };
  return { ...sizes, qLen: length, kLen: length };
};

/** What a head costs beside dense attention with `members` in one set and nothing in the others: all tiles are walked. */
function costOf(one: AnyPattern, length: number, name: string, members: number): number {
  const shape = shapeOf(length);
  const { parts, inputs } = checkCall(one, { shape }, {});
  const { definition } = parts[0]!;
  const { params } = inputs.given[0]!;
  const graph = graphsPerHead(definition, params, shape)[0]!;
  const sets = Object.fromEntries(
    Object.entries(graph).map(([own, node]) => [own, new BitSet(domainOf(node, shape))]),
  );
  const set = sets[name]!;
  const { rowFrom, rows, columns, arity } = set.domain;
  // As many a row, the last of those that it sees.
  const share = (row: number) => ((row + 1) * columns) / rows;
  let left = members;
  if (arity === 1) set.addRange(0, 0, members);
  else
    for (let back = 1; back <= columns && left > 0; back += 1)
      for (let row = rowFrom; row < rowFrom + rows; row += 1) {
        const column = Math.ceil(share(row)) - back;
        if (column < 0 || left === 0) continue;
        set.add(row, column);
        left -= 1;
      }
  const { mask, score } = lifted(definition);
  const numbers = parametersOf(params, 0);
  const plan = planUnit({
    mask,
    score,
    ...tileSizes(definition.knobs),
    gather: definition.knobs.gather,
    restSize: restSize(definition, numbers),
    binding: { shape, unit: { batch: 0, head: 0, kvHead: 0 }, params: numbers, captured: {}, sets },
  });
  return summarise(plan).cost.share * lookupStep;
}

describe.each(openPatterns)('the limits of %s', (name) => {
  const one = patterns.get(name)!;

  it.each([16_384, 20_000])('cost as much as dense attention at %s tokens', (length) => {
    const limits = limitsOf(one, shapeOf(length), {})!.heads.get(0)!;
    expect(Object.keys(limits).length).toBeGreaterThan(0);
    for (const [set, members] of Object.entries(limits)) {
      expect(costOf(one, length, set, members), set).toBeGreaterThan(0.96);
      expect(costOf(one, length, set, members), set).toBeLessThan(1.04);
    }
  });

  it.each([2 ** 17, 2 ** 20, 2 ** 22])('are found in under 200 ms at %s tokens', (length) => {
    // 20 to 50 ms, and the machine that runs the tests does other things too: seconds are what this is against.
    const times = Array.from({ length: 5 }, () => {
      const { parts, inputs } = checkCall(one, { shape: shapeOf(length) }, {});
      const start = performance.now();
      fallbackLimits(parts[0]!, inputs.given[0]!, shapeOf(length));
      return performance.now() - start;
    });
    expect(Math.min(...times)).toBeLessThan(200);
  });
});
