// Which attention kernel serves a call: the text for the pattern and its fixed numbers, with the first tile
// that the machine has room for and that needs no spills.

import { availableParallelism } from 'node:os';
import { hopper } from '../../codegen/attention/hopper/index.ts';
import { hopperCandidates, withTile } from '../../codegen/attention/hopper/knobs.ts';
import {
  type AttentionKernel,
  type AttentionSpec,
  attentionKernel,
} from '../../codegen/attention/kernel.ts';
import {
  sharedBytes,
  type TileKnobs,
  tileCandidates,
  tileProblem,
} from '../../codegen/attention/tiles.ts';
import { type Definition, lifted, restSize } from '../../dsl/definition.ts';
import { DeviceError, diagnostic, PlanError } from '../../dsl/diagnostic.ts';
import { isPerGroup } from '../../dsl/estimate/node.ts';
import type { EstimateGraph } from '../../dsl/estimate/trace.ts';
import { isFixed } from '../../dsl/given.ts';
import type { BackendShape } from '../backend.ts';
import type { Machine } from './machine.ts';

export interface KernelRequest {
  readonly definition: Definition;
  /** The numbers of one head; fixed ones become constants of the kernel. */
  readonly numbers: Readonly<Record<string, number>>;
  /** The estimate of one head. */
  readonly graph: EstimateGraph;
  readonly shape: Pick<BackendShape, 'headDim' | 'valueDim' | 'dtype'>;
  readonly segments: boolean;
  /** No key at all: boxes of tensors without rows cannot be. */
  readonly empty?: boolean;
}

/** throws: DeviceError R013 for a dtype or dimensions that CUDA has no kernel for. */
export function checkKernelShape({ headDim, valueDim, dtype }: KernelRequest['shape']): void {
  const refuse = (what: string, help: string): never => {
    throw new DeviceError([diagnostic('R013', what, { help })]);
  };
  if (dtype === 'fp32') refuse('CUDA has no kernel for fp32', "convert q, k and v: q.to('bf16')");
  for (const [name, dim] of [
    ['head', headDim],
    ['value', valueDim],
  ] as const) {
    if (dim % 8 !== 0 || dim > 256 || dim === 0)
      refuse(
        `CUDA has no kernel for a ${name} dimension of ${dim}`,
        'it takes multiples of 8 up to 256: append zeros',
      );
  }
}

/** What a kernel is made for, but for its tile. throws: DeviceError R013. */
export function specOf(request: KernelRequest): Omit<AttentionSpec, 'knobs'> {
  const { definition, numbers, graph, shape, segments } = request;
  checkKernelShape(shape);
  const { headDim, valueDim } = shape;
  const dtype = shape.dtype as AttentionSpec['dtype'];
  const { declarations, mask, score } = lifted(definition);
  const fixed = Object.entries(definition.given).flatMap(([name, entry]) =>
    isFixed(entry) ? [[name, numbers[name]!] as const] : [],
  );
  const perGroup = Object.entries(graph).filter(([, node]) => isPerGroup(node));
  return {
    declarations,
    mask,
    score,
    fixed: Object.fromEntries(fixed),
    gather: definition.knobs.gather,
    // A pattern without sets drops nothing that stand-ins could stand for; only such are packed.
    restSize: segments ? undefined : restSize(definition, numbers),
    perGroup: new Set(perGroup.map(([name]) => name)),
    dtype,
    headDim,
    valueDim,
    segments,
  };
}

/** The author's own tile, completed; undefined where the schedule states none. */
function statedTile({ name, knobs }: Definition): TileKnobs | undefined {
  const first = (value: number | readonly number[] | undefined): number | undefined =>
    typeof value === 'object' ? value[0] : value;
  const [qTile, kTile, warps, stages] = [knobs.qTile, knobs.kTile, knobs.warps, knobs.stages].map(
    first,
  );
  if ((qTile ?? kTile ?? warps ?? stages) === undefined) return undefined;
  const rows = qTile ?? (warps === undefined ? 64 : warps * 16);
  const tile = {
    qTile: rows,
    kTile: kTile ?? 64,
    warps: warps ?? Math.min(8, Math.max(1, Math.floor(rows / 16))),
    stages: stages ?? 1,
    blocks: 1,
  };
  const problem = tileProblem(tile);
  if (!problem) return tile;
  throw new PlanError([
    diagnostic('S001', `the tile of '${name}' does not fit a CUDA block: ${problem}`, {
      help: 'leave the knobs out: a good tile is chosen for the head dimension',
    }),
  ]);
}

/** Room for what a kernel declares beside its tiles: the unit that its threads share. */
const ownBytes = 1024;

/** The candidates in order of preference, those that the machine has room for. */
function tilesOf(
  definition: Definition,
  spec: Omit<AttentionSpec, 'knobs'>,
  machine: Machine,
): TileKnobs[] {
  const { headDim, valueDim } = spec;
  const stated = statedTile(definition);
  const tiles = (stated ? [stated] : tileCandidates(headDim, valueDim)).filter(
    (knobs) => sharedBytes(knobs, headDim, valueDim) + ownBytes <= machine.blockSharedBytes,
  );
  if (tiles.length > 0) return tiles;
  throw new DeviceError([
    diagnostic(
      'R013',
      `no tile of '${definition.name}' fits the ${machine.blockSharedBytes} bytes of shared memory of ${machine.name}`,
      {
        help: 'state a smaller tile in .schedule, or fewer stages',
      },
    ),
  ]);
}

/** What the tensor memory accelerator and the products of warpgroups are for. */
const hopperArch = 'sm_90a';

/** The Hopper kernels in order of preference; none where the chip or the call is not for them. */
function hopperKernels(
  { definition, segments, empty = false }: KernelRequest,
  spec: Omit<AttentionSpec, 'knobs'>,
  machine: Machine,
): AttentionKernel[] {
  const { headDim, valueDim, gather } = spec;
  // Columns are gathered row by row, and boxes of packed sequences would reach into their neighbours.
  if (machine.arch !== hopperArch || segments || empty || gather !== undefined) return [];
  const { knobs } = definition;
  const candidates = [knobs.qTile, knobs.kTile, knobs.warps, knobs.stages].every(
    (knob) => knob === undefined,
  )
    ? hopperCandidates(headDim, valueDim)
    : [withTile(knobs)].filter((one) => one !== undefined);
  return candidates
    .map((one) => attentionKernel({ ...spec, knobs: one }, hopper))
    .filter(({ problem }) => problem === undefined);
}

/** Cores from which on all candidates are compiled at once: the first is mostly taken, and others are spare. */
const manyCores = 8;

/** The first candidate that the compiler has registers enough for; where none is, the last as it is. */
export async function chooseKernel(
  request: KernelRequest,
  machine: Machine,
): Promise<AttentionKernel> {
  const spec = specOf(request);
  const candidates = [
    ...hopperKernels(request, spec, machine),
    ...tilesOf(request.definition, spec, machine).map((knobs) =>
      attentionKernel({ ...spec, knobs }),
    ),
  ];
  if (availableParallelism() >= manyCores)
    for (const { kernel } of candidates.slice(0, 3)) machine.facts(kernel).catch(() => {});
  for (const attention of candidates) {
    const { spillBytes, isSerialized } = await machine.facts(attention.kernel);
    if (spillBytes === 0 && !isSerialized) return attention;
  }
  return candidates.at(-1)!;
}
