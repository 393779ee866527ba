// A block of one warpgroup that computes starts with 128 registers a thread, and the compiler refuses a product with
// wide values that names more (C7602). The resource model asked for fewer where tiles have few keys; and tiles of 16
// keys had no kernel that compiles. Law 6 found the first on an H100 (seeds 51000321, 51001119).

import { describe, expect, it } from 'vitest';
import { kernelOf, ofHopper } from '../../codegen/attention/choice.ts';
import { hopperTile } from '../../codegen/attention/hopper/knobs.ts';
import { causal } from '../../patterns/index.ts';
import { compileKernel } from '../../runtime/cuda/compiler.ts';
import { specOf } from '../../runtime/cuda/kernel-request.ts';
import { requestOf } from '../codegen/golden.ts';

describe('a kernel of one warpgroup that computes', { timeout: 60_000 }, () => {
  it.each([
    [16, 192],
    [32, 200],
    [32, 192],
    [16, 64],
  ])(
    'of %i keys and values of %i: the compiler refuses what the model does',
    async (kTile, valueDim) => {
      const { shape, ...request } = requestOf(causal.definition, 128);
      const spec = specOf({ ...request, shape: { ...shape, headDim: 112, valueDim } });
      const { kernel, problem } = kernelOf(spec, ofHopper(hopperTile(1, kTile, { qBuffers: 1 })));
      const refusal = await compileKernel(kernel, 'sm_90a').then(
        () => undefined,
        (error: unknown) => String(error),
      );
      if (problem === undefined) expect(refusal).toBeUndefined();
      else
        expect([problem, refusal]).toEqual([
          expect.stringContaining('P V'),
          expect.stringContaining('C7602'),
        ]);
    },
  );
});
