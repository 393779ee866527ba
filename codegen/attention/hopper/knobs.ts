// Tiles of the Hopper kernel: the knobs, and what they cost in shared memory and registers.

import { padded, type TileKnobs } from '../tiles.ts';
import type { WorkOrder } from './order.ts';
import { tileRowsProblem } from './tile-rows.ts';

/**
 * How a Hopper kernel is cut. `warps` are those that compute: 64 query rows for every four. `blocks` is 1, and 2 where a
 * block has one warpgroup that computes.
 */
export interface HopperKnobs extends TileKnobs {
  /** Units whose queries lie in shared memory: with 2 the next unit's first product runs beside this unit's last. */
  readonly qBuffers: 1 | 2;
  /** Warpgroups take turns at issuing products. */
  readonly pingPong: boolean;
  /** Weights are relative to the highest score of the first step, not to the highest so far. */
  readonly speculative: boolean;
  /**
   * Boxes of keys in a slot. With 2 or 3 each warpgroup works on one or two that follow each other, as it asks for
   * them: for masks that differ by 64 rows. A tile of keys is two of them.
   */
  readonly boxes: 1 | 2 | 3;
  /** For masks that treat the query heads of a KV head alike. */
  readonly headsPerTile: number;
  /** In which order tiles of queries are drawn (order.ts). */
  readonly work: WorkOrder;
}

/** Does each warpgroup ask for keys of its own? */
export const isApart = ({ boxes }: Pick<HopperKnobs, 'boxes'>): boolean => boxes > 1;

/** Keys of a box: those that a warpgroup asks for together. */
export const boxKeys = (knobs: Pick<HopperKnobs, 'kTile' | 'boxes'>): number =>
  isApart(knobs) ? knobs.kTile / 2 : knobs.kTile;

/** Keys that a slot has room for. */
export const slotKeys = (knobs: Pick<HopperKnobs, 'kTile' | 'boxes'>): number =>
  knobs.boxes * boxKeys(knobs);

/** Elements of a swizzled row in shared memory: 128 bytes. */
export const slabWidth = 64;

/** Parts of 64 columns that a row is cut into. */
export const slabsOf = (dim: number): number => Math.ceil(dim / slabWidth);

/** Warpgroups that compute. */
export const groupsOf = ({ warps }: TileKnobs): number => warps / 4;

/** Threads of a block: those that compute, and a warpgroup that walks over the keys and copies. */
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

/** Of a multiprocessor, and what each of its blocks keeps of it to itself. */
const [allShared, reserved] = [233_472, 1024];

/** What a block may have, its alignment subtracted, with room for what the kernel declares itself. */
export const mostShared = ({ blocks }: Pick<TileKnobs, 'blocks'>): number =>
  Math.floor(allShared / blocks) - reserved - 1024;

export function sharedLayout(
  knobs: HopperKnobs,
  headDim: number,
  valueDim: number,
  controlBytes: number,
): SharedLayout {
  const { stages, qBuffers } = knobs;
  const groups = groupsOf(knobs);
  const rowBytes = (dim: number): number => slabsOf(dim) * 128;
  const outGroup = 64 * rowBytes(valueDim);
  const k = slotKeys(knobs) * rowBytes(headDim);
  const v = slotKeys(knobs) * rowBytes(valueDim);
  const apart = 64 * rowBytes(headDim);
  const room = mostShared(knobs) - controlBytes - stages * (k + v);
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
 * Registers per thread of the warpgroups that compute and of the one that walks and copies. They share what the
 * block was launched with: asking for more would wait for ever. Each count is a multiple of 8.
 */
export function registersOf(
  knobs: HopperKnobs,
  valueDim: number,
): { compute: number; copy: number } {
  const groups = groupsOf(knobs);
  const launched = launchedRegisters(knobs);
  const needed = heldRegisters(knobs, valueDim) + 32;
  const { least, most } = registerBounds(knobs);
  const compute = Math.min(most, Math.max(least, Math.ceil(needed / 8) * 8));
  return { compute, copy: (groups + 1) * launched - groups * compute };
}

/** Registers that each thread of a block starts with: as many as there are, in steps of 8. */
const launchedRegisters = (knobs: TileKnobs): number =>
  Math.floor(65_536 / (threadsOf(knobs) * knobs.blocks) / 8) * 8;

/**
 * Quarters of the scores of a step that become weights before the last P V is waited for. The others do while those are
 * packed: none before where three warpgroups fill each other's gaps, all where P V takes as long as the exponentials.
 * Measured on an H200, 2026-11-26.
 */
export const earlyQuarters = (knobs: TileKnobs, valueDim: number): number =>
  groupsOf(knobs) === 3 ? 0 : valueDim > 128 ? 4 : 1;

/** Scores, weights and outputs: what a thread that computes holds beside addresses, masks and row sums. */
const heldRegisters = ({ kTile }: TileKnobs, valueDim: number): number =>
  kTile / 2 + kTile / 4 + valueDim / 2;

/**
 * What a thread that computes has: masks want more than products where it can be spared. The walk needs 32, for
 * slots of two boxes 80.
 */
const registerBounds = (knobs: TileKnobs): { least: number; most: number } => {
  const groups = groupsOf(knobs);
  if (groups === 3) return { least: 144, most: 160 };
  if (groups === 1) return { least: 168, most: 216 };
  return isApart({ boxes: 1, ...knobs }) ? { least: 208, most: 208 } : { least: 216, most: 232 };
};

/** No kernel was seen to get by with fewer beside what it holds. */
const leastOverhead = 24;

/** Why a tile would spill whatever the pattern, or one that holds so many registers `more`; or undefined. */
export function hopperRegisterProblem(
  knobs: TileKnobs,
  valueDim: number,
  more = 0,
): string | undefined {
  const needed = heldRegisters(knobs, valueDim) + leastOverhead + more;
  const { most } = registerBounds(knobs);
  if (needed > most) return `it needs ${needed} registers a thread of ${most}`;
  // The compiler holds an instruction of the product with V to what threads start with (C7602).
  const stated = padded(valueDim) / 2 + 30;
  const launched = launchedRegisters(knobs);
  return stated > launched ? `P V needs ${stated} registers a thread of ${launched}` : undefined;
}

/** Why a tile cannot be, or undefined. */
export function hopperProblem(
  knobs: HopperKnobs,
  headDim: number,
  valueDim: number,
  controlBytes: number,
): string | undefined {
  const { kTile, qTile, warps, blocks, pingPong } = knobs;
  const groups = groupsOf(knobs);
  if (groups !== 1 && groups !== 2 && groups !== 3)
    return `${warps} warps are not one to three warpgroups`;
  if (blocks !== blocksOf(groups))
    return `blocks of ${warps} warps that compute are ${blocksOf(groups)} a multiprocessor, not ${blocks}`;
  if (pingPong && groups === 1) return 'one warpgroup has nobody to take turns with';
  if (qTile !== groups * 64)
    return `${qTile} query rows are not 64 for each of ${groups} warpgroups`;
  if (kTile % 16 !== 0 || kTile > 256) return `${kTile} keys are no multiple of 16 up to 256`;
  if (isApart(knobs) && (groups !== 2 || kTile % 64 !== 0))
    return `${knobs.boxes} boxes of half of ${kTile} keys are not for ${groups} warpgroups of whole boxes of 32`;
  if (isApart(knobs) && knobs.headsPerTile > 1)
    return 'boxes by warpgroup are for tiles of one head: the same queries ask for the same keys';
  const rows = tileRowsProblem(knobs);
  if (rows !== undefined) return rows;
  const { bytes, outReplacesQ } = sharedLayout(knobs, headDim, valueDim, controlBytes);
  if (outReplacesQ && knobs.qBuffers > 1)
    return 'there is no room for two tiles of queries beside the output';
  const room = mostShared(knobs) - controlBytes;
  return bytes > room ? `it needs ${bytes} bytes of shared memory of ${room}` : undefined;
}

/** Blocks that share a multiprocessor, by the warpgroups that compute: two of them fill its tensor cores. */
export const blocksOf = (groups: number): number => (groups === 1 ? 2 : 1);

/** A tile of so many warpgroups that compute; what is not said is as it is mostly the fastest. */
export const hopperTile = (
  groups: 1 | 2 | 3,
  kTile: number,
  more: Partial<HopperKnobs> = {},
): HopperKnobs => ({
  qTile: groups * 64,
  kTile,
  warps: groups * 4,
  stages: 2,
  blocks: blocksOf(groups),
  qBuffers: 2,
  pingPong: false,
  speculative: true,
  boxes: 1,
  headsPerTile: 1,
  work: 'sections',
  ...more,
});

/** What is stated of the knobs of a kernel: one value of each. */
export type StatedKnobs = Partial<HopperKnobs>;

/** A tile that an author states, completed; undefined where it is not one of this back-end. */
export function withTile(stated: StatedKnobs): HopperKnobs | undefined {
  const { qTile = 128, kTile = Math.min(qTile, 128), warps, ...more } = stated;
  const groups = qTile / 64;
  if ((groups !== 1 && groups !== 2 && groups !== 3) || (warps ?? groups * 4) !== groups * 4)
    return undefined;
  return hopperTile(groups, kTile, { qBuffers: 1, ...more });
}
