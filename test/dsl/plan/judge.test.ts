// Judging by pairs first is judging by intervals alone, without their searches.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Binding } from '../../../dsl/analysis/binding.ts';
import { boxOf } from '../../../dsl/analysis/box.ts';
import { possible } from '../../../dsl/analysis/possible.ts';
import { Captured } from '../../../dsl/analysis/zones.ts';
import * as x from '../../../dsl/expression.ts';
import { Judge, type TileClass } from '../../../dsl/plan/judge.ts';
import { boxOfTile, type Pass, planUnit, type UnitPlan } from '../../../dsl/plan/unit.ts';
import { stretchesOf, visitsOf } from '../../../dsl/plan/walk.ts';
import { arbitraryCase } from '../../arbitraries.ts';

const [q, k] = [x.index('q'), x.index('k')];

const bindingOf = (length: number, captured: Binding['captured'] = {}): Binding => ({
  shape: { batch: 1, heads: 1, kvHeads: 1, headDim: 64, valueDim: 64, qLen: length, kLen: length },
  unit: { batch: 0, head: 0, kvHead: 0 },
  params: {},
  captured,
  sets: {},
});

/** The straightforward way: both questions, asked of the intervals, with nothing known. */
function byIntervals(
  plan: UnitPlan,
  pass: Pass,
  tile: number,
  [from, to, brief]: readonly [number, number, boolean],
): TileClass {
  const { q0, q1 } = boxOfTile(plan, tile);
  const ask = (formula: Pass['formula']) =>
    possible(formula, boxOf(q0, q1, from, to - 1), plan.binding, brief ? 8 : undefined).is;
  if (ask(pass.formula) === 'no') return 'skip';
  return ask(pass.negation) === 'no' ? 'full' : 'partial';
}

/** Masks of which single pairs in a tile are allowed, or none, for reasons that intervals do not see. */
const hardMask = fc
  .record({
    name: fc.constantFrom('bitxor' as const, 'bitand' as const, 'bitor' as const, 'add' as const),
    shift: fc.constantFrom(0, 1, 4),
    modulus: fc.constantFrom(1, 2, 3, 7, 100, 1000),
    rest: fc.integer({ min: 0, max: 7 }),
    isCausal: fc.boolean(),
    isNegated: fc.boolean(),
  })
  .map(({ name, shift, modulus, rest, isCausal, isNegated }) => {
    const shifted = (one: x.Expression) => x.binary('shr', one, x.int(shift));
    const mixed = x.binary(name, shifted(q), shifted(k));
    const hard = x.compare('eq', x.binary('rem', mixed, x.int(modulus)), x.int(rest));
    const mask = isNegated ? x.not(hard) : hard;
    return isCausal ? x.and(x.compare('le', k, q), mask) : mask;
  });

const cases = arbitraryCase({ tile: 32, most: 160 }).chain(({ mask, binding }) =>
  fc.record({
    mask: fc.oneof(fc.constant(mask), hardMask),
    binding: fc.constant(binding),
    tiles: fc.constantFrom([16, 16] as const, [64, 32] as const, [1, 8] as const),
    restSize: fc.option(fc.integer({ min: 1, max: 20 }), { nil: undefined }),
    questions: fc.array(
      fc.tuple(fc.nat(), fc.nat(), fc.integer({ min: 1, max: 64 }), fc.boolean()),
      {
        minLength: 1,
        maxLength: 12,
      },
    ),
  }),
);

describe('a tile of a mask that only intervals can judge', () => {
  it('is judged as by intervals alone, whatever was asked before', () => {
    fc.assert(
      fc.property(cases, ({ mask, binding, tiles: [qTile, kTile], restSize, questions }) => {
        const request = { binding, mask, qTile, kTile, restSize, forms: 'test' as const };
        const plan = planUnit(request);
        const { kLen } = binding.shape;
        for (const pass of plan.passes) {
          const tile = questions[0]![0] % plan.tiles;
          const judge = new Judge(plan, pass, boxOfTile(plan, tile));
          for (const [, start, length, brief] of questions) {
            const from = start % kLen;
            const asked = [from, Math.min(kLen, from + length), brief] as const;
            expect(judge.classOf(...asked)).toBe(byIntervals(plan, pass, tile, asked));
          }
        }
      }),
      { numRuns: 400 },
    );
  });

  it('is partial where no pair is allowed and intervals cannot prove it', () => {
    const mixed = x.binary('rem', x.binary('bitxor', q, k), x.int(1000));
    const mask = x.compare('eq', mixed, x.int(5));
    const plan = planUnit({ binding: bindingOf(128), mask, qTile: 64, kTile: 64 });
    const judge = new Judge(plan, plan.passes[0]!, boxOfTile(plan, 1));
    expect(judge.classOf(0, 64)).toBe('partial');
    expect(byIntervals(plan, plan.passes[0]!, 1, [0, 64, false])).toBe('partial');
  });

  it('asks nothing of the intervals where a few pairs show the answer', () => {
    let asked = 0;
    class Counted extends Captured {
      override range(lo: readonly number[], hi: readonly number[]): readonly [number, number] {
        asked += 1;
        return super.range(lo, hi);
      }
    }
    const length = 4096;
    const noise = Int32Array.from({ length }, (_, i) => (i * 7919) % 1000);
    const binding = bindingOf(length, { noise: new Counted('int', [length], noise) });
    const mixed = x.binary('bitxor', q, x.at('noise', 'int', [k]));
    const mask = x.compare('eq', x.binary('rem', mixed, x.int(3)), x.int(0));
    const plan = planUnit({ binding, mask, qTile: 64, kTile: 64 });
    const visits = visitsOf(plan, plan.tiles - 1);
    expect(visits.filter(({ full }) => !full)).toHaveLength(length / 64);
    expect(asked).toBeLessThan(visits.length);
    expect(stretchesOf(plan, plan.tiles - 1)).toHaveLength(1);
  });
});
