// Tile shapes of the portable attention kernel: the knobs, what they cost, and one good choice for each
// head dimension.

/** How a kernel is cut. No knob changes a result beyond rounding. */
export interface TileKnobs {
  /** Query rows of a block: a multiple of 16 per warp. */
  readonly qTile: number;
  /** Keys per step: a multiple of 16, at most 128. */
  readonly kTile: number;
  readonly warps: number;
  /** K and V tiles in flight. */
  readonly stages: number;
  /** Blocks that share one multiprocessor: bounds the registers of a thread. */
  readonly blocks: number;
}

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

/** The default for a head, by the larger of its dimensions. */
export function defaultTile(headDim: number, valueDim: number): TileKnobs {
  const dim = Math.max(headDim, valueDim);
  if (dim <= 64) return { qTile: 128, kTile: 64, warps: 4, stages: 1, blocks: 2 };
  if (dim <= 128) return { qTile: 64, kTile: 64, warps: 4, stages: 1, blocks: 2 };
  return { qTile: 64, kTile: 32, warps: 4, stages: 1, blocks: 2 };
}
