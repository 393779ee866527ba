import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { planUnit, workspaceOf } from '../../../dsl/plan/unit.ts';
import { visitsOf } from '../../../dsl/plan/walk.ts';
import { millionMasks, millionRequest } from '../../million.ts';

// Collected first, so that what earlier tests left does not shrink the count in between.
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Best of a few: the machine that runs the tests does other things too. */
function quickest(name: string): number {
  const times = Array.from({ length: 5 }, () => {
    const request = millionRequest(name);
    const start = performance.now();
    const plan = planUnit(request);
    visitsOf(plan, 0);
    visitsOf(plan, plan.tiles - 1);
    return performance.now() - start;
  });
  return Math.min(...times);
}

describe('1M x 1M tokens', () => {
  it.each(millionMasks)('%s is planned quickly', (name) => {
    // Of bit operations every one of 16,384 tiles of a query tile is judged by itself.
    expect(quickest(name), 'ms').toBeLessThan(name === 'bits' ? 250 : 50);
  });

  it.each(millionMasks)('the plan of %s keeps the memory that explain states', (name) => {
    // The test runner allocates and frees buffers of its own meanwhile: the quietest of a few counts.
    const off = Array.from({ length: 5 }, () => {
      const request = millionRequest(name);
      collect();
      const before = process.memoryUsage().arrayBuffers;
      const plan = planUnit(request);
      visitsOf(plan, plan.tiles - 1);
      const { 'set bits': bits = 0, ...made } = workspaceOf(plan, 0);
      collect();
      const grown = process.memoryUsage().arrayBuffers - before;
      const stated = Object.values(made).reduce((sum, bytes) => sum + bytes, 0);
      const { sets } = request.binding;
      expect(bits).toBe(Object.values(sets).reduce((sum, set) => sum + set.bits.byteLength, 0));
      // Used again here, so that the collector cannot have taken the plan already.
      expect(plan.tiles).toBeGreaterThan(0);
      return Math.abs(grown - stated);
    });
    expect(Math.min(...off)).toBeLessThan(64 * 1024);
  });
});
