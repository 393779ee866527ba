// Integers of a mask are proved for the keys that there are, and columns of a tile beyond the last one have none: a product
// that fits for every key overflows for the next. The emulator found it in masks whose loads are made once a key, and in
// those that ask what a walk by boxes left.

import { describe, expect, it } from 'vitest';
import { compile, openDevice, pattern, tensor } from '../../index.ts';
import { compareWithOracle, showDisagreements } from '../../runtime/testing/agree.ts';

const length = 95;
/** Its product with the last key fits. */
const factor = Math.floor((2 ** 31 - 1) / (length - 1));

const loaded = pattern('loaded', {}).mask(({ k }) => (k * 22845570) % 7 !== 3);
const left = pattern('left', {})
  .estimate(({ q, k }) => ({
    distances: q.last(64).dot(k).causal().softmax().sumPerDistance().topk(40),
  }))
  .mask(
    ({ q, k }, { distances }) =>
      (k * 22845570) % 7 !== 3 && k <= q && distances.has((Math.floor(q / 64) + 1) * 64 - 1 - k),
  )
  .schedule({ boxes: 2 });

describe.each(['emulated:sm_80', 'emulated:sm_90a'])(
  'on %s no key after the last is asked',
  (name) => {
    it.each([
      ['for what it loads', loaded],
      ['for what a walk left', left],
    ] as const)('%s', { timeout: 120_000 }, async (_, mask) => {
      expect(factor).toBe(22845570);
      const device = await openDevice(name);
      try {
        const attend = await compile(mask, { heads: 1, headDim: 64, dtype: 'bf16', device });
        const random = (seed: number) => tensor.random([1, 1, length, 64], { seed, dtype: 'bf16' });
        const inputs = { q: random(1), k: random(2), v: random(3) };
        const { disagreements } = await compareWithOracle(
          mask,
          inputs,
          {},
          await attend(inputs, {}),
        );
        expect(showDisagreements(disagreements)).toBe('');
      } finally {
        await device.dispose();
      }
    });
  },
);
