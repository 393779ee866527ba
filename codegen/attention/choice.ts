// One way to make an attention kernel: a back-end and its knobs, as plain data that can be kept in a file.

import { hopper } from './hopper/index.ts';
import { type HopperKnobs, hopperRegisterProblem } from './hopper/knobs.ts';
import { type AttentionKernel, attentionKernel } from './kernel.ts';
import type { AttentionSpec } from './spec.ts';
import { registerProblem, sharedBytes, type TileKnobs, tileProblem } from './tiles.ts';

export type Choice =
  | { readonly backend: 'hopper'; readonly knobs: HopperKnobs }
  | { readonly backend: 'portable'; readonly knobs: TileKnobs };

export const ofHopper = (knobs: HopperKnobs): Choice => ({ backend: 'hopper', knobs });
export const ofPortable = (knobs: TileKnobs): Choice => ({ backend: 'portable', knobs });

/** All that tells one choice from another: `hopper 128x128, 2 stages, 2 Q buffers, speculative`. */
export function choiceName({ backend, knobs }: Choice): string {
  const { qTile, kTile, warps, stages, blocks } = knobs;
  const plural = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`;
  const parts = [`${backend} ${qTile}x${kTile}`];
  if (backend === 'portable')
    parts.push(plural(warps, 'warp'), plural(stages, 'stage'), plural(blocks, 'block'));
  else {
    parts.push(plural(stages, 'stage'), plural(knobs.qBuffers, 'Q buffer'));
    if (knobs.headsPerTile > 1) parts.push(`${knobs.headsPerTile} heads`);
    if (knobs.boxes > 1) parts.push(`${knobs.boxes} boxes`);
    if (knobs.pingPong) parts.push('ping-pong');
    parts.push(knobs.speculative ? 'speculative' : 'classic');
    if (blocks > 1) parts.push(plural(blocks, 'block'));
    if (knobs.work !== 'sections') parts.push(`${knobs.work} first`);
  }
  return parts.join(', ');
}

/** The kernel of a choice. */
export const kernelOf = (
  spec: Omit<AttentionSpec, 'knobs'>,
  { backend, knobs }: Choice,
): AttentionKernel =>
  backend === 'hopper'
    ? attentionKernel({ ...spec, knobs }, hopper)
    : attentionKernel({ ...spec, knobs });

/** Room for what a portable kernel declares beside its tiles: the unit that its threads share. */
const ownBytes = 1024;

/** Why a choice cannot be for these dimensions on a chip, but for what only its kernel tells; or undefined. */
export function choiceProblem(
  { backend, knobs }: Choice,
  { headDim, valueDim }: { readonly headDim: number; readonly valueDim: number },
  blockSharedBytes: number,
): string | undefined {
  if (backend === 'hopper') return hopperRegisterProblem(knobs, valueDim);
  const bytes = sharedBytes(knobs, headDim, valueDim) + ownBytes;
  const problem = tileProblem(knobs) ?? registerProblem(knobs, valueDim);
  if (problem !== undefined || bytes <= blockSharedBytes) return problem;
  return `it needs ${bytes} bytes of shared memory of ${blockSharedBytes}`;
}
