// Calls of one shape that are given other sets: what one made ready is not taken for another that needs more room.

import { it } from 'vitest';
import { openDevice } from '../../index.ts';
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
