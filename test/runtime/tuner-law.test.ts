// Law 5 for what a tuner may choose: legal choices change the output within rounding only. On the emulator, which
// runs the kernels as they are.

import fc from 'fast-check';
import { afterAll, test } from 'vitest';
import type { GpuDevice } from '../../runtime/cuda/device.ts';
import { openDevice } from '../../runtime/device.ts';
import { arbitraryShape } from '../arbitraries.ts';
import { arbitraryCallData, arbitraryPattern } from '../laws/arbitraries.ts';
import { checkChoices } from '../laws/properties/tuning.ts';

const device = (await openDevice('emulated:sm_80')) as GpuDevice;
afterAll(() => device.dispose());

const dims = fc.constantFrom([16, 16], [64, 64], [24, 40]);
const calls = fc
  .tuple(arbitraryCallData(arbitraryShape({ tile: 32, most: 150, heads: 2 })), dims)
  .map(([data, [headDim = 0, valueDim = 0]]) => ({
    ...{ ...data, dtype: 'bf16' as const },
    shape: { ...data.shape, headDim, valueDim },
  }));

test(
  'legal choices change the output within rounding only',
  () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({ pattern: arbitraryPattern({ score: false }), data: calls }),
        fc.array(fc.nat(1000), { minLength: 2, maxLength: 2 }),
        (call, picks) => checkChoices(device, call, picks),
      ),
      { numRuns: 4, seed: 12 },
    ),
  120_000,
);
