// Energies of a block of queries that sees no pool yet: with more queries than a tile holds (8 heads of 32 tokens), the
// queries of the second tile were copied over those of the first, which nobody had waited for. A random call of
// flash-prefill at D = 40 found it on the emulated device (pending-copy).

import { expect, it } from 'vitest';
import { compile, flashPrefill, openDevice, tensor } from '../../index.ts';

it.each(['emulated:sm_80', 'emulated:sm_90a'] as const)(
  'queries that see no pool are not copied twice, on %s',
  { timeout: 120_000 },
  async (name) => {
    const device = await openDevice(name);
    try {
      const [heads, kvHeads, headDim, length] = [8, 1, 40, 160];
      const random = (of: number, seed: number) =>
        tensor.random([1, of, length, headDim], { dtype: 'bf16', seed });
      const attend = await compile(flashPrefill, {
        heads,
        kvHeads,
        headDim,
        dtype: 'bf16',
        device,
      });
      const [q, k, v] = [random(heads, 1), random(kvHeads, 2), random(kvHeads, 3)];
      const { blocks } = await attend.estimate({ q, k, v }, { tail: 0 });
      expect(blocks!.units[0]!.has(4, 1)).toBe(true);
    } finally {
      await device.dispose();
    }
  },
);
