// The ways to make the kernel of a call that a machine has room for: those that are taken untuned, in order of
// preference, and all that a tuner may try. What the author states comes first in both.

import {
  type Choice,
  choiceProblem,
  ofHopper,
  ofPortable,
} from '../../codegen/attention/choice.ts';
import { headsAreAlike, headsToShare } from '../../codegen/attention/heads.ts';
import {
  type HopperKnobs,
  hopperCandidates,
  withTile,
} from '../../codegen/attention/hopper/knobs.ts';
import { asksApart, mayAskApart } from '../../codegen/attention/hopper/pairs.ts';
import { headsOfTile } from '../../codegen/attention/hopper/tile-rows.ts';
import { hopperArch, legalKnobs } from '../../codegen/attention/legal.ts';
import { classOf } from '../../codegen/attention/lengths.ts';
import { type KernelPass, passesOf, withFixed } from '../../codegen/attention/passes.ts';
import {
  sharedBytes,
  type TileKnobs,
  tileCandidates,
  tileProblem,
} from '../../codegen/attention/tiles.ts';
import type { Definition } from '../../dsl/definition.ts';
import { DeviceError, diagnostic, PlanError } from '../../dsl/diagnostic.ts';
import { type KernelRequest, specOf } from './kernel-request.ts';
import type { Machine } from './machine.ts';

/** What of a machine decides which kernels it has room for. */
export type Chip = Pick<Machine, 'name' | 'arch' | 'blockSharedBytes'>;

const tileNames = ['qTile', 'kTile', 'warps', 'stages'] as const;

/** The knobs of the tile that an author states: one value each, or several for the tuner. */
function statedKnobs({ knobs }: Definition): [(typeof tileNames)[number], readonly number[]][] {
  return tileNames.flatMap((name) => {
    const value = knobs[name];
    if (value === undefined) return [];
    return [[name, typeof value === 'number' ? [value] : value] as const];
  }) as [(typeof tileNames)[number], readonly number[]][];
}

/** Whether the author's word is the last: a tile is stated, and no list of it leaves a choice. */
export function statesTile(definition: Definition): boolean {
  const stated = statedKnobs(definition);
  return stated.length > 0 && stated.every(([, values]) => values.length === 1);
}

/** Text for the lists that an author leaves to the tuner: what is best among them is best for them alone. */
export const listsOf = (definition: Definition): string => JSON.stringify(statedKnobs(definition));

/** Whether a choice is among those that an author lists. */
export const isListed = (definition: Definition, { knobs }: Choice): boolean =>
  statedKnobs(definition).every(([name, values]) => values.includes(knobs[name]));

/** The author's own tile, completed; undefined where the schedule states none. throws: PlanError S001. */
function statedTile(definition: Definition): TileKnobs | undefined {
  const stated = statedKnobs(definition);
  if (stated.length === 0) return undefined;
  const first = Object.fromEntries(stated.map(([name, [value]]) => [name, value]));
  const { qTile, kTile = 64, warps, stages = 1 } = first as Partial<TileKnobs>;
  const rows = qTile ?? (warps === undefined ? 64 : warps * 16);
  const tile = {
    qTile: rows,
    kTile,
    warps: warps ?? Math.min(8, Math.max(1, Math.floor(rows / 16))),
    stages,
    blocks: 1,
  };
  const problem = tileProblem(tile);
  if (!problem) return tile;
  throw new PlanError([
    diagnostic('S001', `the tile of '${definition.name}' does not fit a CUDA block: ${problem}`, {
      help: 'leave the knobs out: a good tile is chosen for the head dimension',
    }),
  ]);
}

/** Room for what a kernel declares beside its tiles: the unit that its threads share. */
const ownBytes = 1024;

function portableChoices({ definition, shape }: KernelRequest, chip: Chip): Choice[] {
  const { headDim, valueDim } = shape;
  const stated = statedTile(definition);
  const tiles = (stated ? [stated] : tileCandidates(headDim, valueDim)).filter(
    (knobs) => sharedBytes(knobs, headDim, valueDim) + ownBytes <= chip.blockSharedBytes,
  );
  if (tiles.length > 0) return tiles.map(ofPortable);
  throw new DeviceError([
    diagnostic(
      'R013',
      `no tile of '${definition.name}' fits the ${chip.blockSharedBytes} bytes of shared memory of ${chip.name}`,
      { help: 'state a smaller tile in .schedule, or fewer stages' },
    ),
  ]);
}

/** The passes of the kernel. */
function passesIn(request: KernelRequest): KernelPass[] {
  const { mask, fixed, gather, restSize } = specOf(request);
  return passesOf(withFixed(mask, fixed), gather, restSize);
}

/** Query heads that may share a tile. */
const groupIn = (request: KernelRequest): number =>
  headsAreAlike(specOf(request)) ? (request.group ?? 1) : 1;

/** Boxes of packed sequences would reach into their neighbours, and there are none of tensors without rows. */
const isForHopper = ({ segments, empty = false }: KernelRequest, { arch }: Chip): boolean =>
  arch === hopperArch && !segments && !empty;

function hopperChoices(request: KernelRequest, chip: Chip): Choice[] {
  if (!isForHopper(request, chip)) return [];
  const { definition, shape, lengths } = request;
  const stated = statedKnobs(definition);
  const passes = passesIn(request);
  if (stated.length === 0) {
    const candidates = (apart?: 'distances' | 'blocks') =>
      hopperCandidates(shape.headDim, shape.valueDim, lengths && classOf(lengths.kLen), apart);
    const group = groupIn(request);
    const shared = candidates().flatMap((knobs): HopperKnobs[] => {
      const headsPerTile = headsToShare(passes, knobs.qTile, headsOfTile(knobs, group));
      return headsPerTile > 1 ? [{ ...knobs, headsPerTile }] : [];
    });
    return [...shared, ...candidates(asksApart(passes))].map(ofHopper);
  }
  return [withTile(definition.knobs)].filter((one) => one !== undefined).map(ofHopper);
}

/**
 * What is tried untuned, the first first. throws: PlanError S001 for a stated tile that cannot be, DeviceError R013
 * where none fits.
 */
export const defaultChoices = (request: KernelRequest, chip: Chip): Choice[] => [
  ...hopperChoices(request, chip),
  ...portableChoices(request, chip),
];

/** What a tuner may try: all that is legal, within the lists that the author states. */
export function legalChoices(request: KernelRequest, chip: Chip): Choice[] {
  const { definition, shape } = request;
  const { arch, blockSharedBytes } = chip;
  const { headDim, valueDim } = shape;
  const [apart, group] = [mayAskApart(passesIn(request)), groupIn(request)];
  return legalKnobs({ headDim, valueDim, arch, blockSharedBytes, apart, group }).filter(
    (choice) =>
      isListed(definition, choice) && (choice.backend === 'portable' || isForHopper(request, chip)),
  );
}

/** Whether a choice of an earlier version, or of a file, is one for this call. */
export const fits = (request: KernelRequest, chip: Chip, choice: Choice): boolean =>
  isListed(request.definition, choice) &&
  groupIn(request) % (choice.knobs.headsPerTile ?? 1) === 0 &&
  (choice.backend === 'portable' || isForHopper(request, chip)) &&
  choiceProblem(choice, request.shape, chip.blockSharedBytes) === undefined;
