// The ways to make the kernel of a call that a machine has room for: those that are taken untuned, in order of
// preference, and all that a tuner may try. What the author states comes first in both.

import {
  type Choice,
  choiceProblem,
  kernelOf,
  ofHopper,
  ofPortable,
} from '../../codegen/attention/choice.ts';
import { headsAreAlike, headsToShare } from '../../codegen/attention/heads.ts';
import { hopperCandidates } from '../../codegen/attention/hopper/candidates.ts';
import { type HopperKnobs, isApart, withTile } from '../../codegen/attention/hopper/knobs.ts';
import { asksApart, mayAskApart } from '../../codegen/attention/hopper/pairs.ts';
import { type PlanForm, rangesForm } from '../../codegen/attention/hopper/plan-forms.ts';
import { headsOfTile } from '../../codegen/attention/hopper/tile-rows.ts';
import { hopperArch, legalKnobs } from '../../codegen/attention/legal.ts';
import { classOf } from '../../codegen/attention/lengths.ts';
import { type KernelPass, passesOf, withFixed } from '../../codegen/attention/passes.ts';
import { firstStated, hasTile, isStated, leftAside } from '../../codegen/attention/stated.ts';
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

/** The author's own tile, completed; undefined where the schedule states none, or why it cannot be. */
function statedTile({ knobs }: Definition): TileKnobs | string | undefined {
  if (!hasTile(knobs)) return undefined;
  const { qTile, kTile = 64, warps, stages = 1, blocks = 1 } = firstStated(knobs);
  const rows = qTile ?? (warps === undefined ? 64 : warps * 16);
  const tile = {
    qTile: rows,
    kTile,
    warps: warps ?? Math.min(8, Math.max(1, Math.floor(rows / 16))),
    stages,
    blocks,
  };
  return tileProblem(tile) ?? tile;
}

const impossible = (what: string): PlanError =>
  new PlanError([
    diagnostic('S001', what, {
      help: 'leave the knobs out: good ones are chosen for the head dimension',
    }),
  ]);

/** Room for what a kernel declares beside its tiles: the unit that its threads share. */
const ownBytes = 1024;

/** `others`: better ones; where such a kernel can be, a tile that cannot be here is no mistake. */
function portableChoices(request: KernelRequest, chip: Chip, others: readonly Choice[]): Choice[] {
  const { definition, shape } = request;
  const { headDim, valueDim } = shape;
  const hasOther = (): boolean =>
    others.some((other) => kernelOf(specOf(request), other).problem === undefined);
  const hasRoom = (knobs: TileKnobs): boolean =>
    sharedBytes(knobs, headDim, valueDim) + ownBytes <= chip.blockSharedBytes;
  const stated = statedTile(definition);
  if (typeof stated === 'string' && !hasOther())
    throw impossible(`the tile of '${definition.name}' does not fit a CUDA block: ${stated}`);
  const isOwn = typeof stated === 'object' && (hasRoom(stated) || !hasOther());
  const { blocks } = firstStated(definition.knobs);
  const usual = tileCandidates(headDim, valueDim).map((one) => ({
    ...one,
    ...(blocks && { blocks }),
  }));
  const tiles = (isOwn ? [stated] : usual).filter(hasRoom);
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
  const first = firstStated(definition.knobs);
  const passes = passesIn(request);
  const group = groupIn(request);
  const ofTable = (form?: PlanForm): readonly HopperKnobs[] => {
    const own = hasTile(definition.knobs) ? [withTile(first)] : undefined;
    const keys = lengths && classOf(lengths.kLen);
    const tiles = own ?? hopperCandidates(shape.headDim, shape.valueDim, keys, form);
    return tiles.flatMap((knobs) => (knobs ? [{ ...knobs, ...first }] : []));
  };
  // Where keys are chosen for fewer queries than a tile has rows, rows of several heads.
  const shared = ofTable('shared').flatMap((knobs): HopperKnobs[] => {
    const headsPerTile = headsToShare(passes, knobs.qTile, headsOfTile(knobs, group));
    return headsPerTile > 1 && !isApart(knobs) ? [{ ...knobs, headsPerTile }] : [];
  });
  const { headsPerTile = 1 } = first;
  const all =
    headsPerTile > 1
      ? ofTable().map((knobs) => ({
          ...knobs,
          headsPerTile: headsOfTile(knobs, group).includes(headsPerTile) ? headsPerTile : 1,
        }))
      : [
          ...(first.headsPerTile === 1 ? [] : shared),
          ...ofTable(asksApart(passes) ?? rangesForm(specOf(request))),
        ];
  const choices = all.map(ofHopper);
  checkStated(request, chip, choices);
  return choices;
}

/** Knobs of this back-end alone are meant for it. throws: PlanError S001 where no kernel can have them. */
function checkStated(request: KernelRequest, chip: Chip, choices: readonly Choice[]): void {
  const { definition } = request;
  const { knobs } = definition;
  if (leftAside(knobs, ofPortable(tileCandidates(64, 64)[0]!)).length === 0) return;
  const refuse = (why: string): never => {
    throw impossible(`the knobs of '${definition.name}' cannot be on ${chip.name}: ${why}`);
  };
  const spec = specOf(request);
  const { headsPerTile = 1 } = firstStated(knobs);
  if (headsPerTile > 1 && !headsAreAlike(spec))
    refuse('the query heads of a KV head do not attend to the same keys');
  let why = 'the tile is not one of whole warpgroups';
  for (const choice of choices) {
    const { problem } = kernelOf(spec, choice);
    if (problem === undefined) return;
    why = problem;
  }
  refuse(why);
}

/**
 * What is tried untuned, the first first. throws: PlanError S001 for stated knobs that cannot be, DeviceError R013
 * where none fits.
 */
export function defaultChoices(request: KernelRequest, chip: Chip): Choice[] {
  const hopper = hopperChoices(request, chip);
  return [...hopper, ...portableChoices(request, chip, hopper)];
}

/** What a tuner may try: all that is legal, within the lists that the author states. */
export function legalChoices(request: KernelRequest, chip: Chip): Choice[] {
  const { definition, shape } = request;
  const { arch, blockSharedBytes } = chip;
  const { headDim, valueDim } = shape;
  const [apart, group] = [mayAskApart(passesIn(request)), groupIn(request)];
  return legalKnobs({ headDim, valueDim, arch, blockSharedBytes, apart, group }).filter(
    (choice) =>
      isStated(definition.knobs, choice) &&
      (choice.backend === 'portable' || isForHopper(request, chip)),
  );
}

/** Whether a choice of an earlier version, or of a file, is one for this call. */
export const fits = (request: KernelRequest, chip: Chip, choice: Choice): boolean =>
  isStated(request.definition.knobs, choice) &&
  groupIn(request) % (choice.knobs.headsPerTile ?? 1) === 0 &&
  (choice.backend === 'portable' || isForHopper(request, chip)) &&
  choiceProblem(choice, request.shape, chip.blockSharedBytes) === undefined;
