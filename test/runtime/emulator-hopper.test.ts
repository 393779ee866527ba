// The emulator's copies, barriers and products against models of a few lines each; test/device/compare.ts holds
// a GPU to the same cases.

import { describe, expect, it } from 'vitest';
import { EmulatedMachine } from '../../runtime/emulator/machine.ts';
import { barrierCases } from '../device/primitives/barriers.ts';
import { boxCases } from '../device/primitives/boxes.ts';
import { difference, type PrimitiveCase, runCase } from '../device/primitives/case.ts';
import { productCases } from '../device/primitives/products.ts';
import { warpCases } from '../device/primitives/warps.ts';

const named = (cases: readonly PrimitiveCase[]) => cases.map((one) => [one.name, one] as const);

describe.each([
  ['warps', warpCases],
  ['copies of boxes', boxCases],
  ['barriers', barrierCases],
  ['products', productCases],
])('%s', (_, cases) => {
  it.each(named(cases))('%s', async (_name, one) => {
    for (const seed of [0, 1, 2]) {
      const machine = new EmulatedMachine('sm_90a', { seed });
      expect(difference(await runCase(machine, one), one.outputs)).toBeUndefined();
      await machine.dispose();
    }
  });
});
