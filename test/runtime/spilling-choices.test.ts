// Registers decide between the tiles of a table, and never against what an author states. The compiler's figures are
// made up here; those of NVRTC are in test/cli/kernels.test.ts.

import { expect, test } from 'vitest';
import { choiceName } from '../../codegen/attention/choice.ts';
import { pattern } from '../../dsl/index.ts';
import type { Knobs } from '../../dsl/schedule.ts';
import type { KernelRequest } from '../../runtime/cuda/kernel-request.ts';
import { chooseKernel } from '../../runtime/cuda/kernels.ts';
import type { KernelFacts } from '../../runtime/cuda/machine.ts';
import { OfflineMachine } from '../../runtime/cuda/offline.ts';

const causal = pattern('causal').mask(({ q, k }) => k <= q);
const isHopper = ({ source }: { readonly source: string }): boolean => source.includes('wgmma');

/** A chip on which kernels for Hopper have too few registers. */
class Spilling extends OfflineMachine {
  readonly #facts: KernelFacts;

  constructor(facts: Partial<KernelFacts>) {
    super('sm_90a');
    this.#facts = { registers: 168, spillBytes: 0, isSerialized: false, ...facts };
  }

  override async facts(kernel: { readonly source: string }): Promise<KernelFacts> {
    return isHopper(kernel) ? this.#facts : { registers: 128, spillBytes: 0, isSerialized: false };
  }
}

async function chosen(knobs: Knobs, facts: Partial<KernelFacts>): Promise<string> {
  const { definition } = causal.schedule(knobs as never);
  const shape = { headDim: 128, valueDim: 128, dtype: 'bf16' } as const;
  const request: KernelRequest = { definition, numbers: {}, graph: {}, segments: false, shape };
  return choiceName((await chooseKernel(request, new Spilling(facts))).choice);
}

test.each<[Knobs, string]>([
  [{}, 'portable 128x64, 4 warps, 1 stage, 2 blocks'],
  [{ blocks: 1 }, 'portable 128x64, 4 warps, 1 stage, 1 block'],
  [{ qTile: 192, kTile: 80 }, 'hopper 192x80, 2 stages, 1 Q buffer, speculative'],
  [{ kTile: [160, 128] }, 'hopper 128x160, 2 stages, 1 Q buffer, speculative'],
  // Another back-end could have this tile.
  [{ qTile: 128, kTile: 64 }, 'hopper 128x64, 2 stages, 1 Q buffer, speculative'],
  // Another back-end has no such knob.
  [{ softmax: 'classic' }, expect.stringMatching(/^hopper .* classic/) as unknown as string],
])('where Hopper kernels spill, %j gets', async (knobs, name) => {
  expect(await chosen(knobs, { spillBytes: 312 })).toEqual(name);
  expect(await chosen(knobs, { isSerialized: true })).toEqual(name);
});
