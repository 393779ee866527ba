// Laws 5 and 6 for tiles that hold rows of several query heads of a KV head, executed on the CPU: patterns whose heads
// are alike give what the oracle gives, whatever heads a tile has.

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { afterAll, beforeAll, describe } from 'vitest';
import { ofHopper } from '../../codegen/attention/choice.ts';
import { type HopperKnobs, withTile } from '../../codegen/attention/hopper/knobs.ts';
import { patterns } from '../../patterns/index.ts';
import { groupOf } from '../../runtime/cuda/kernel-request.ts';
import { type Device, openDevice } from '../../runtime/device.ts';
import type { CallSample } from '../../runtime/testing/calls.ts';
import { builtInCalls, checkBuiltIn } from './properties/built-ins.ts';
import { law, runs } from './settings.ts';

let device: Device;
beforeAll(async () => {
  device = await openDevice('emulated:sm_90a');
});
afterAll(() => device.dispose());

/** Warpgroups, keys, heads, and dimensions of K and V: a warpgroup has rows of one head, of two, or of four. */
const tiles = [
  [2, 64, 2, 64, 64],
  [2, 128, 4, 128, 128],
  [2, 64, 8, 64, 24],
  [3, 80, 3, 96, 64],
  [3, 80, 6, 64, 96],
  [1, 64, 2, 128, 64],
] as const;
const names = ['causal', 'a-shape', 'flash-prefill', 'nsa-selection', 'prefix-lm'] as const;
const { numRuns, seed = Math.floor(Math.random() * 2 ** 30) } = runs(1);

const knobsOf = (groups: number, kTile: number, headsPerTile: number): HopperKnobs =>
  withTile({ qTile: 64 * groups, kTile, headsPerTile, qBuffers: groups === 1 ? 1 : 2 })!;

/** Whether the heads of each KV head have the same numbers. */
const isOfGroups = (name: string, { params, shape }: CallSample): boolean => {
  const heads = Array.from({ length: shape.heads }, (_, i) => i);
  return (
    groupOf(patterns.get(name)!.definition, params, shape, heads) === shape.heads / shape.kvHeads
  );
};

describe('a tile of several heads', () => {
  // Each tile has two of the patterns.
  for (const [i, name] of names.entries())
    for (const [groups, kTile, headsPerTile, headDim, valueDim] of [tiles[i]!, tiles[i + 1]!])
      law(`${name}, ${headsPerTile} heads, ${64 * groups}x${kTile}`, async () => {
        const sizes = { longest: 150, tile: 32, kvHeads: 2, groups: headsPerTile };
        const calls = builtInCalls([name], sizes).filter(
          ({ call }) =>
            call.shape.heads === call.shape.kvHeads * headsPerTile &&
            call.shape.qLen > 0 &&
            call.shape.kLen > 0 &&
            isOfGroups(name, call),
        );
        for (const { call } of fc.sample(calls, { numRuns, seed: seed + headsPerTile })) {
          const shape = { ...call.shape, headDim, valueDim };
          const dtype = call.dtype === 'fp32' ? 'bf16' : call.dtype;
          const one = { name, knobs: {}, call: { ...call, shape, dtype } };
          try {
            await checkBuiltIn(device, one, ofHopper(knobsOf(groups, kTile, headsPerTile)));
          } catch (error) {
            assert.fail(
              `seed ${seed}: ${error instanceof Error ? error.message : error} of ${JSON.stringify(one)}`,
            );
          }
        }
      });
});
