// A pool that only some rows of a warp may attend to was lost where rows share a part of the mask: its bit was not
// among those that the rows were asked for. Law 13 found it on an H100 (seed 41000387).

import { expect, it } from 'vitest';
import { openDevice } from '../../index.ts';
import { laws } from '../device/laws.ts';

it('stand-ins of some rows of a warp are kept', { timeout: 120_000 }, async () => {
  const device = await openDevice('emulated:sm_90a');
  try {
    const law = laws.find(({ name }) => name === '13 single pools');
    expect(await law?.trial(device, 41000387)).toBeGreaterThan(0);
  } finally {
    await device.dispose();
  }
});
