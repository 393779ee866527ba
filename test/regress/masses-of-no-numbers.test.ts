// A row of weights that are no numbers had a mass all the same where its kernel counted it, and none where it looked for
// it: it went on with what nobody had written, in shared memory, and the emulator said so before E004 could.

import { describe, expect, it } from 'vitest';
import { compile, openDevice, tensor } from '../../index.ts';
import { patterns } from '../../patterns/index.ts';

const [heads, length, dim] = [2, 600, 64] as const;

describe.each(['x-attention', 'flex-prefill'])('%s', (name) => {
  it.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
    'says E004 of a query of %d',
    { timeout: 120_000 },
    async (bad) => {
      const device = await openDevice('emulated:sm_80');
      try {
        const random = (seed: number) => tensor.random([1, heads, length, dim], { seed, dtype: 'fp16' });
        const q = Float32Array.from(await random(1).read());
        q.fill(bad, (heads * length - 3) * dim, (heads * length - 2) * dim);
        const own = { q: tensor(q, { shape: [1, heads, length, dim], dtype: 'fp16' }), k: random(2), v: random(3) };
        const attend = await compile(patterns.get(name)!, { heads, headDim: dim, dtype: 'fp16', device });
        await expect(attend.estimate(own as never)).rejects.toThrow(/E004.*head 1 of batch 0/);
      } finally {
        await device.dispose();
      }
    },
  );
}); // biome-ignore format: long lines
