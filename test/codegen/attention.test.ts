// Law 6 for the generated attention kernel, executed on the CPU: random patterns, each on one tile and many
// shapes, against the float64 oracle.

import fc from 'fast-check';
import { afterAll, describe } from 'vitest';
import { mentions, walk } from '../../dsl/expression.ts';
import { splitColumns } from '../../dsl/plan/split.ts';
import type { Knobs } from '../../dsl/schedule.ts';
import { openDevice } from '../../runtime/device.ts';
import { arbitraryShape } from '../arbitraries.ts';
import {
  arbitraryCallData,
  arbitraryPattern,
  type RandomCall,
  type RandomPattern,
} from '../laws/arbitraries.ts';
import { checkCall } from '../laws/properties/devices.ts';
import { law, runs } from '../laws/settings.ts';

const device = await openDevice('emulated:sm_80');
afterAll(() => device.dispose());

const { numRuns, seed = Math.floor(Math.random() * 2 ** 30) } = runs(25);

const tile = (qTile: number, kTile: number, warps: number, stages: number): Knobs => ({
  qTile,
  kTile,
  warps,
  stages,
});

type Feature = 'plain' | 'score' | 'rest' | 'columns';

const features: Readonly<Record<Feature, (pattern: RandomPattern) => boolean>> = {
  plain: ({ score, rest }) => !score && rest === undefined,
  score: ({ score }) => score !== undefined,
  rest: ({ rest, mask }) => rest !== undefined && mentions(mask, 'has'),
  columns: ({ mask }) => splitColumns(mask, 'columns') !== undefined,
};

const kernels: readonly {
  readonly knobs: Knobs;
  readonly dims: readonly [number, number];
  readonly dtype: 'bf16' | 'fp16';
  readonly feature: Feature;
}[] = [
  { knobs: tile(16, 16, 1, 3), dims: [8, 8], dtype: 'bf16', feature: 'columns' },
  { knobs: tile(16, 16, 1, 3), dims: [16, 8], dtype: 'bf16', feature: 'rest' },
  { knobs: tile(128, 128, 8, 1), dims: [64, 64], dtype: 'fp16', feature: 'plain' },
  { knobs: tile(64, 32, 4, 2), dims: [128, 128], dtype: 'bf16', feature: 'rest' },
  { knobs: tile(64, 32, 4, 2), dims: [128, 128], dtype: 'bf16', feature: 'columns' },
  { knobs: tile(32, 48, 1, 2), dims: [24, 40], dtype: 'fp16', feature: 'score' },
  { knobs: tile(128, 64, 4, 1), dims: [96, 96], dtype: 'bf16', feature: 'columns' },
  { knobs: tile(64, 16, 4, 1), dims: [256, 192], dtype: 'bf16', feature: 'plain' },
  { knobs: tile(48, 128, 3, 1), dims: [40, 16], dtype: 'bf16', feature: 'rest' },
  { knobs: tile(96, 80, 6, 2), dims: [16, 64], dtype: 'fp16', feature: 'score' },
];

/** One with something to it: the longest of several. */
function patternWith(feature: Feature, own: number): RandomPattern {
  const drawn = fc.sample(arbitraryPattern().filter(features[feature]), { numRuns: 8, seed: own });
  const size = ({ mask }: RandomPattern) => [...walk(mask)].length;
  return drawn.reduce((best, one) => (size(one) > size(best) ? one : best));
}

describe.each(kernels.map((kernel, i) => ({ ...kernel, i })))(
  '$feature, $knobs.qTile queries and $knobs.kTile keys, $knobs.warps warps, $knobs.stages stages, $dims, $dtype',
  ({ knobs, dims: [headDim, valueDim], dtype, feature, i }) => {
    law('agrees with the oracle', async () => {
      const own = seed + i;
      const drawn = patternWith(feature, own);
      const gather = features.columns(drawn) ? { gather: 'columns' } : {};
      const pattern = { ...drawn, knobs: { ...knobs, ...gather } };
      const shapes = arbitraryShape({ tile: 32, most: 140, least: 0, heads: 4 });
      for (const data of fc.sample(arbitraryCallData(shapes), { numRuns, seed: own })) {
        const shape = { ...data.shape, headDim, valueDim };
        const call: RandomCall = { pattern, data: { ...data, shape, dtype } };
        try {
          await checkCall(device, call);
        } catch (error) {
          throw new Error(`seed ${own}: ${JSON.stringify(call.data)}`, { cause: error });
        }
      }
    });
  },
);
