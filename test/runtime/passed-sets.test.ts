// Calls of one shape that are given other sets: what one made ready is not taken for another that needs more room.

import { expect, it } from 'vitest';
import { blockSparse, compile, openDevice, tensor } from '../../index.ts';
import { uploadSets } from '../../runtime/cuda/sets.ts';
import { checkGivenSets, type GivenSets } from '../laws/properties/given-sets.ts';

const call: GivenSets = {
  shape: { batch: 1, heads: 2, kvHeads: 1, qLen: 64, kLen: 320, headDim: 64, valueDim: 64 },
  dtype: 'bf16',
  isAlike: false,
  areRuns: false,
  density: 0,
  run: 64,
  seed: 5,
};

it.each(['cpu', 'emulated:sm_80', 'emulated:sm_90a'])(
  'sets with more and more members on %s, and with fewer again',
  { timeout: 120_000 },
  async (name) => {
    const device = await openDevice(name);
    try {
      for (const density of [0, 0.2, 1, 0.5, 0])
        await checkGivenSets(device, { ...call, density }, 'vertical-slash');
    } finally {
      await device.dispose();
    }
  },
);

it('sets of one device are copied to another, which is given them again and again', async () => {
  const [from, to] = [await openDevice('emulated:sm_80'), await openDevice('emulated:sm_80')];
  if (from.kind === 'cpu' || to.kind === 'cpu') throw new Error('an emulated device is no CPU');
  try {
    const x = tensor.random([1, 1, 300, 16], { dtype: 'bf16' });
    const options = { heads: 1, headDim: 16, dtype: 'bf16' } as const;
    const inputs = { q: x, k: x, v: x };
    const numbers = { blocksPerRow: 2 };
    const there = await compile(blockSparse, { ...options, device: from });
    const chosen = await there.estimate(inputs, numbers);
    const expected = await (await there({ ...inputs, chosen }, numbers)).out.read();
    const copies = await uploadSets(to.machine, chosen);
    const here = await compile(blockSparse, { ...options, device: to });
    for (let i = 0; i < 2; i += 1) {
      const { out } = await here({ ...inputs, chosen: copies }, numbers);
      expect(await out.read()).toEqual(expected);
    }
  } finally {
    await from.dispose();
    await to.dispose();
  }
});
