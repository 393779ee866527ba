// A score that adds a position to the logit is rounded as coarsely as the position is large, and the bound knew only of
// the logit's own rounding. Law 6 found it on an H100 (seed 41000475): a log-sum of one key, 5.6e-6 off.

import { expect, test } from 'vitest';
import { compile, openDevice, pattern, tensor } from '../../index.ts';
import { compareWithOracle, showDisagreements } from '../../runtime/testing/agree.ts';

test('a wave over logits and positions agrees with its oracle', { timeout: 120_000 }, async () => {
  const waves = pattern('waves', {})
    .mask(({ q, k }) => k === q)
    .score(({ s, q }) => Math.cos(q + s));
  const length = 400;
  const device = await openDevice('emulated:sm_80');
  try {
    const attend = await compile(waves, { heads: 1, headDim: 16, dtype: 'bf16', device });
    const random = (seed: number) => tensor.random([1, 1, length, 16], { seed, dtype: 'bf16' });
    const inputs = { q: random(1), k: random(2), v: random(3) };
    const result = await attend(inputs, {});
    const { disagreements, oracle } = await compareWithOracle(waves, inputs, {}, result);
    expect(showDisagreements(disagreements)).toBe('');
    // What made the law fail: rounding of a sum of hundreds, far beyond that of a cosine.
    const found = await result.lse.read();
    const errors = Array.from(found, (value, row) => Math.abs(value - oracle.lse[row]!));
    expect(Math.max(...errors)).toBeGreaterThan(8e-6);
  } finally {
    await device.dispose();
  }
});
