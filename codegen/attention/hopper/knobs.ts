// Tiles of the Hopper kernel: the knobs, and what they cost in shared memory and registers.

import type { TileKnobs } from '../tiles.ts';

/** How a Hopper kernel is cut. `warps` are those that compute: 64 query rows for every four. `blocks` is 1. */
export interface HopperKnobs extends TileKnobs {
  /** Units whose queries lie in shared memory: with 2 the next unit's first product runs beside this unit's last. */
  readonly qBuffers: 1 | 2;
  /** Warpgroups take turns at issuing products. */
  readonly pingPong: boolean;
  /** Weights are relative to the highest score of the first step, not to the highest so far. */
  readonly speculative: boolean;
}

/** Elements of a swizzled row in shared memory: 128 bytes. */
export const slabWidth = 64;

/** Parts of 64 columns that a row is cut into. */
export const slabsOf = (dim: number): number => Math.ceil(dim / slabWidth);

/** Warpgroups that compute. */
export const groupsOf = ({ warps }: TileKnobs): number => warps / 4;

/** Threads of a block: those that compute, and a warpgroup of which one warp orders the copies. */
export const threadsOf = (knobs: TileKnobs): number => (groupsOf(knobs) + 1) * 128;

/** Where what lies in the dynamic shared memory of a block. Bytes; the start is aligned to 1024. */
export interface SharedLayout {
  /** Queries of one warpgroup; the same room holds its output. */
  readonly qGroup: number;
  readonly outGroup: number;
  /** One K tile, one V tile. */
  readonly k: number;
  readonly v: number;
  readonly kFrom: number;
  readonly vFrom: number;
  /** The output is staged where the queries were where there is no room for both. */
  readonly outFrom: number;
  readonly outReplacesQ: boolean;
  readonly bytes: number;
}

/** What a block may have, its alignment subtracted, with room for what the kernel declares itself. */
export const mostShared = 232_448 - 1024;

export function sharedLayout(
  knobs: HopperKnobs,
  headDim: number,
  valueDim: number,
  controlBytes: number,
): SharedLayout {
  const { kTile, stages, qBuffers } = knobs;
  const groups = groupsOf(knobs);
  const rowBytes = (dim: number): number => slabsOf(dim) * 128;
  const outGroup = 64 * rowBytes(valueDim);
  const k = kTile * rowBytes(headDim);
  const v = kTile * rowBytes(valueDim);
  const apart = 64 * rowBytes(headDim);
  const room = mostShared - controlBytes - stages * (k + v);
  const outReplacesQ = groups * (qBuffers * apart + outGroup) > room;
  const qGroup = outReplacesQ ? Math.max(apart, outGroup) : apart;
  const kFrom = qBuffers * groups * qGroup;
  const vFrom = kFrom + stages * k;
  const end = vFrom + stages * v;
  return {
    qGroup,
    outGroup: outReplacesQ ? qGroup : outGroup,
    k,
    v,
    kFrom,
    vFrom,
    outFrom: outReplacesQ ? 0 : end,
    outReplacesQ,
    bytes: outReplacesQ ? end : end + groups * outGroup,
  };
}

/** Does the next tile's first product run beside this tile's last? */
export const pipelines = ({ qBuffers }: HopperKnobs, { outReplacesQ }: SharedLayout): boolean =>
  qBuffers === 2 && !outReplacesQ;

/**
 * Registers per thread of the warpgroups that compute and of the one that copies. They share 64K: more than
 * that would wait for ever. Each count is a multiple of 8.
 */
export function registersOf(
  knobs: HopperKnobs,
  valueDim: number,
): { compute: number; copy: number } {
  const groups = groupsOf(knobs);
  const total = groups === 3 ? 512 : 504;
  // Scores, weights and outputs, and what addresses, masks and row sums take.
  const needed = knobs.kTile / 2 + knobs.kTile / 4 + valueDim / 2 + 32;
  const [least, most] = groups === 3 ? [144, 160] : [200, 232];
  const compute = Math.min(most, Math.max(least, Math.ceil(needed / 8) * 8));
  return { compute, copy: total - groups * compute };
}

/** Why a tile cannot be, or undefined. */
export function hopperProblem(
  knobs: HopperKnobs,
  headDim: number,
  valueDim: number,
  controlBytes: number,
): string | undefined {
  const { kTile, qTile, warps } = knobs;
  const groups = groupsOf(knobs);
  if (groups !== 2 && groups !== 3) return `${warps} warps are not two or three warpgroups`;
  if (qTile !== groups * 64)
    return `${qTile} query rows are not 64 for each of ${groups} warpgroups`;
  if (kTile % 16 !== 0 || kTile > 256) return `${kTile} keys are no multiple of 16 up to 256`;
  const { bytes, outReplacesQ } = sharedLayout(knobs, headDim, valueDim, controlBytes);
  if (outReplacesQ && knobs.qBuffers > 1)
    return 'there is no room for two tiles of queries beside the output';
  const room = mostShared - controlBytes;
  return bytes > room ? `it needs ${bytes} bytes of shared memory of ${room}` : undefined;
}

const knobs = (groups: 2 | 3, kTile: number, more: Partial<HopperKnobs> = {}): HopperKnobs => ({
  qTile: groups * 64,
  kTile,
  warps: groups * 4,
  stages: 2,
  blocks: 1,
  qBuffers: 2,
  pingPong: false,
  speculative: true,
  ...more,
});

/** Tiles for a head, the fastest first, by the larger of its dimensions. Measured on an H100, 2026-11-23 (hand-written kernels). */
export function hopperCandidates(headDim: number, valueDim: number): HopperKnobs[] {
  const dim = Math.max(headDim, valueDim);
  const small = [knobs(2, 64), knobs(2, 48, { qBuffers: 1 })];
  if (dim <= 64) return [knobs(3, 128, { pingPong: true }), knobs(2, 128), ...small];
  if (dim <= 96) return [knobs(3, 112, { pingPong: true, qBuffers: 1 }), knobs(2, 128), ...small];
  if (dim <= 128) return [knobs(2, 128), knobs(2, 96), ...small];
  if (dim <= 192) return [knobs(2, 96, { qBuffers: 1 }), knobs(2, 64, { qBuffers: 1 })];
  return [knobs(2, 64, { qBuffers: 1 }), knobs(2, 48, { qBuffers: 1 })];
}

/** A tile that an author states, completed; undefined where it is not one of this back-end. */
export function withTile(
  stated: Partial<Record<'qTile' | 'kTile' | 'warps' | 'stages', number | readonly number[]>>,
): HopperKnobs | undefined {
  const [qTile = 128, kTile = 128, warps, stages = 2] = [
    stated.qTile,
    stated.kTile,
    stated.warps,
    stated.stages,
  ].map((knob) => (typeof knob === 'object' ? knob[0] : knob));
  const groups = qTile / 64;
  if ((groups !== 2 && groups !== 3) || (warps ?? groups * 4) !== groups * 4) return undefined;
  return knobs(groups, kTile, { stages, qBuffers: 1 });
}
