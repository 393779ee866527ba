// Every way to make an attention kernel for a pair of head dimensions on a chip: what a tuner tries. The resource
// model takes out what cannot run; whether a kernel spills for a given pattern only the compiler knows.

import { type Choice, choiceProblem, ofHopper, ofPortable } from './choice.ts';
import { controlBytes } from './hopper/control.ts';
import { blocksOf, type HopperKnobs, hopperProblem } from './hopper/knobs.ts';
import { workOrders } from './hopper/order.ts';
import { headsOfTile } from './hopper/tile-rows.ts';
import type { TileKnobs } from './tiles.ts';

/** What kernels of the Hopper back-end are compiled for. */
export const hopperArch = 'sm_90a';

export interface KnobRequest {
  readonly headDim: number;
  readonly valueDim: number;
  /** `sm_80`, `sm_90a` */
  readonly arch: string;
  /** The most shared memory of a block. */
  readonly blockSharedBytes: number;
  /** Of the pattern's `Unit`, which tiles share shared memory with; a small one, when left out. */
  readonly unitBytes?: number;
  /** Slots of two boxes as well: for masks that `asksApart`. */
  readonly apart?: boolean;
  /** Query heads of a KV head whose rows may lie in a tile together; 1 when left out. */
  readonly group?: number;
}

/** By warpgroups that compute: 64 query rows each. */
const keysOfGroups = {
  1: [64, 80, 96, 128],
  2: [64, 80, 96, 112, 128, 160, 176, 192],
  3: [80, 96, 112, 128],
} as const;
const either = [true, false] as const;

/** The tiles of the Hopper back-end that fit, whatever the pattern. */
export function legalHopperKnobs(request: Omit<KnobRequest, 'arch' | 'blockSharedBytes'>) {
  const { headDim, valueDim, unitBytes = 128, apart = false, group = 1 } = request;
  const all: HopperKnobs[] = [];
  for (const groups of [2, 3, 1] as const)
    for (const kTile of keysOfGroups[groups])
      for (const stages of [2, 3])
        for (const qBuffers of [2, 1] as const)
          for (const pingPong of either)
            for (const speculative of either)
              for (const boxes of apart ? ([1, 2, 3] as const) : ([1] as const))
                all.push({
                  qTile: groups * 64,
                  kTile,
                  warps: groups * 4,
                  stages,
                  blocks: blocksOf(groups),
                  qBuffers,
                  pingPong,
                  speculative,
                  boxes,
                  headsPerTile: 1,
                  work: 'sections',
                });
  return all
    .flatMap((knobs) =>
      headsOfTile(knobs, group).map((headsPerTile) => ({ ...knobs, headsPerTile })),
    )
    .flatMap((knobs) => workOrders.map((work) => ({ ...knobs, work })))
    .filter(
      (knobs) =>
        hopperProblem(knobs, headDim, valueDim, controlBytes({ knobs, unitBytes })) === undefined,
    );
}

/** The tiles of the portable back-end, before anything is taken out: 16 or 32 rows a warp. */
function portableKnobs(): TileKnobs[] {
  const all: TileKnobs[] = [];
  for (const [qTile, warps] of [
    [128, 4],
    [128, 8],
    [64, 4],
    [64, 2],
  ] as const)
    for (const kTile of [128, 96, 64, 48, 32, 16])
      for (const stages of [1, 2])
        for (const blocks of [2, 1]) all.push({ qTile, kTile, warps, stages, blocks });
  return all;
}

/** All choices that can run on a chip, the back-end that is made for it first. */
export function legalKnobs(request: KnobRequest): Choice[] {
  const { arch, blockSharedBytes } = request;
  const all = [
    ...(arch === hopperArch ? legalHopperKnobs(request).map(ofHopper) : []),
    ...portableKnobs().map(ofPortable),
  ];
  return all.filter((choice) => choiceProblem(choice, request, blockSharedBytes) === undefined);
}
