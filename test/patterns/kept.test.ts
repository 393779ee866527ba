// The built-in patterns under regression, as a user would keep their own: by the matchers we publish.

import '../../runtime/testing/index.ts';
import { describe, expect, it } from 'vitest';
import { patterns } from '../../patterns/index.ts';

/** Patterns whose plan needs nothing but numbers, and numbers small enough to see. */
const numbers: Readonly<Record<string, Record<string, number>>> = {
  causal: {},
  'sliding-window': { window: 100 },
  'a-shape': { sinks: 20, window: 100 },
  'tri-shape': { sinks: 20, window: 100, tail: 40 },
  dilated: { window: 40, step: 3 },
  'prefix-lm': { prefix: 90 },
};

describe.each([...patterns])('%s', (name, pattern) => {
  it('has no findings', () => {
    expect(pattern).toHaveNoFindings();
  });

  it('agrees with the oracle on random calls', async () => {
    await expect(pattern).toAgreeWithOracle({ runs: 8, seed: 20261125 });
  });

  const params = numbers[name];
  if (params) {
    it('visits what it visited', async () => {
      await expect(pattern).toMatchPlan({ qLen: 300, kLen: 400, params });
    });

    it('is covered by its plan', async () => {
      await expect(pattern).toBeCovered({ qLen: 300, kLen: 400, params });
    });
  }
});
