// How far outputs may be off where values are as small as the numbers of their dtype get.

import { afterAll, expect, test } from 'vitest';
import { causal, compile, errorBound, openDevice, reference, tensor } from '../../index.ts';

const device = await openDevice('cpu', { threads: 0 });
afterAll(() => device.dispose());

test.each(['fp16', 'bf16', 'fp32'] as const)(
  'values of any size are within it: %s',
  async (dtype) => {
    const attend = await compile(causal, { heads: 2, headDim: 16, dtype, device });
    for (const scale of [1, 1e-3, 1e-5, 1e-6, 1e-7, 0]) {
      const [q, k] = [1, 2].map((seed) => tensor.random([1, 2, 100, 16], { dtype, seed }));
      const v = tensor.random([1, 2, 100, 16], { dtype, seed: 3, scale });
      const { out } = await attend({ q: q!, k: k!, v });
      const right = reference(causal, { q: q!, k: k!, v });
      const own = await out.read();
      const value = Math.max(...[...(await v.read())].map((x) => Math.abs(Number(x))));
      const bound = errorBound(dtype, 100, 16, { value });
      const off = Math.max(...[...own].map((x, i) => Math.abs(Number(x) - right.out[i]!)));
      expect(off).toBeLessThanOrEqual(bound.out);
      // It is no larger than the smallest numbers make it.
      expect(bound.out).toBeLessThan(value / 50 + 2 ** -23);
    }
  },
);
