// Names of kernels in the store of tuned knobs: by what a kernel computes, whatever its knobs, and by its text.

import { createHash } from 'node:crypto';
import { attentionKernel } from '../../codegen/attention/kernel.ts';
import type { AttentionSpec } from '../../codegen/attention/spec.ts';
import type { TileKnobs } from '../../codegen/attention/tiles.ts';

const hashOf = (text: string): string => createHash('sha256').update(text).digest('hex');

/** Any tile would do: it stands for all. */
const common: TileKnobs = { qTile: 64, kTile: 32, warps: 4, stages: 1, blocks: 1 };

/**
 * What a kernel computes, in which dtype and dimensions: the canonical text of one tile, without the primitives.
 * Other names or comments in a pattern are the same kernel, and so is
 * one that attends to some of the units. `lists`: the knobs that its author leaves to the tuner.
 */
export function kernelId(spec: Omit<AttentionSpec, 'knobs'>, lists: string): string {
  const { source } = attentionKernel({ ...spec, hasTurns: false, knobs: common }).kernel;
  const own = source.slice(source.indexOf('// ---- kernel ----'));
  return hashOf([spec.dtype, lists, own].join('\n'));
}

/** One kernel, knobs and all. */
export const textId = ({ source }: { readonly source: string }): string => hashOf(source);
