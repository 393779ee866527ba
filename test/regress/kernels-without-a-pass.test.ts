// A mask that allows no pair leaves no pass, and the loops of the portable kernel asked an `allowed` that nobody wrote.
// Laws on an H100 found it (seeds 81000747 and 81000755); on every device such a call gives rows that saw nothing.

import { expect, it } from 'vitest';
import { compile, openDevice, pattern, tensor } from '../../index.ts';

it.each(['cpu', 'emulated:sm_80', 'emulated:sm_90a'] as const)(
  'a mask that allows no pair gives empty rows, on %s',
  { timeout: 120_000 },
  async (name) => {
    const device = await openDevice(name);
    try {
      const [heads, headDim, length] = [2, 32, 40];
      const nothing = pattern('nothing').mask(() => false);
      const attend = await compile(nothing, { heads, headDim, dtype: 'bf16', device });
      const random = (seed: number) =>
        tensor.random([1, heads, length, headDim], { dtype: 'bf16', seed });
      const { out, lse } = await attend({ q: random(1), k: random(2), v: random(3) });
      expect([...(await out.read())].every((value) => value === 0)).toBe(true);
      expect([...(await lse.read())].every((value) => value === -Infinity)).toBe(true);
    } finally {
      await device.dispose();
    }
  },
);
