// Tile shapes of the portable attention kernel: the knobs, what they cost, and one good choice for each
// head dimension.

/** How a kernel is cut. No knob changes a result beyond rounding. */
export interface TileKnobs {
  /** Query rows of a block: a multiple of 16 per warp. */
  readonly qTile: number;
  /** Query heads whose rows lie in a tile together, the same queries of each; 1 when left out. */
  readonly headsPerTile?: number;
  /** Keys per step: a multiple of 16, at most 128. */
  readonly kTile: number;
  readonly warps: number;
  /** K and V tiles in flight. */
  readonly stages: number;
  /** Blocks that share one multiprocessor: bounds the registers of a thread. */
  readonly blocks: number;
}

/** Queries of a tile: rows of each of its heads. */
export const queriesOf = ({ qTile, headsPerTile = 1 }: TileKnobs): number => qTile / headsPerTile;

/** A dimension in shared memory: whole fragments of 16. */
export const padded = (dim: number): number => Math.ceil(dim / 16) * 16;

/** Bytes of a row in shared memory. An odd number of 16-byte chunks, so that 8 rows never share a bank. */
export const pitchOf = (dim: number): number => (padded(dim) / 8 + 1) * 16;

/** Dynamic shared memory of a block, in bytes: Q (later the output), then K and V of each stage. */
export function sharedBytes(
  { qTile, kTile, stages }: TileKnobs,
  headDim: number,
  valueDim: number,
): number {
  const q = qTile * Math.max(pitchOf(headDim), pitchOf(valueDim));
  return q + stages * kTile * (pitchOf(headDim) + pitchOf(valueDim));
}

/** Why a tile cannot be, or undefined. */
export function tileProblem({ qTile, kTile, warps }: TileKnobs): string | undefined {
  if (qTile % (16 * warps) !== 0)
    return `${qTile} query rows are not 16 or more for each of ${warps} warps`;
  if (qTile / warps > 32) return `${qTile / warps} query rows a warp are more than 32`;
  if (kTile % 16 !== 0 || kTile > 128) return `${kTile} keys are no multiple of 16 up to 128`;
  return warps > 16 ? `${warps} warps are more than 16` : undefined;
}

/** No kernel gets by with fewer registers beside what it accumulates. */
const leastOverhead = 24;

/** Why a tile would spill whatever the pattern, or undefined: scores and outputs stay in registers. */
export function registerProblem(
  { qTile, kTile, warps, blocks }: TileKnobs,
  valueDim: number,
): string | undefined {
  const needed = (qTile / warps / 16) * (kTile / 2 + padded(valueDim) / 2) + leastOverhead;
  const most = Math.min(255, 65_536 / (warps * 32 * blocks));
  return needed > most ? `it needs ${needed} registers a thread of ${most}` : undefined;
}

/**
 * Tiles for a head, the fastest first, by the larger of its dimensions. The first whose kernel has no
 * spills is taken: a mask with many numbers to hold leaves fewer registers for the tile.
 * Measured on an H100, dense causal, 16K, bf16 (2026-11-25).
 */
export function tileCandidates(headDim: number, valueDim: number): readonly TileKnobs[] {
  const dim = Math.max(headDim, valueDim);
  const tile = (
    qTile: number,
    kTile: number,
    warps: number,
    blocks: number,
    stages = 1,
  ): TileKnobs => ({ qTile, kTile, warps, stages, blocks });
  const small = [tile(64, 64, 4, 2), tile(64, 32, 4, 2), tile(64, 32, 4, 1)];
  if (dim <= 64) return [tile(128, 128, 4, 2), tile(128, 64, 4, 2), ...small];
  if (dim <= 128)
    return [tile(128, 64, 4, 2), tile(128, 48, 4, 2), tile(128, 32, 4, 2, 2), ...small];
  if (dim <= 192) return small;
  return [tile(64, 64, 4, 1), tile(64, 32, 4, 1), tile(64, 16, 4, 1)];
}
