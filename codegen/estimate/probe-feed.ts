// How the keys of a probe come to its products, by back-end: copied by all threads of a block, or, on Hopper, ordered in
// boxes by a warp of its own. What that takes of a block, and its text. Device side: device/estimate-probe-copies.cuh,
// device/estimate-probe-boxes.cuh.

import type { LaunchShape } from '../../dsl/shape.ts';
import { type RowTensor, rowMap } from '../attention/hopper/maps.ts';
import type { BoxMap, Place } from '../kernel.ts';
import type { Field } from '../struct.ts';
import { at } from './launches.ts';
import { type ProductBackend, productParts } from './products.ts';
import type { ProductParts } from './text.ts';
import { firstTileBytes, lineBytes, lineElements, linesOf } from './tiles.ts';
import { type HalfType, rowsText, type Strides } from './vectors.ts';

/** What the kernels of a probe are made for. */
export interface ProbeSpec {
  readonly shape: LaunchShape;
  readonly dtype: HalfType;
  readonly causal: boolean;
  readonly backend: ProductBackend;
}

/** Queries of a head in one launch. */
export const probeQueries = 64;

/** Keys that a warp sums in order; a block has eight such parts. */
export const partsOfBlock = 8;

/** The two passes over the keys. */
export type ProbePass = 'rows' | 'sums';

/** Tiles of keys, and how many are on their way or in use. */
interface Ring {
  readonly keys: number;
  readonly stages: number;
}

/** Bytes of shared memory that a block takes at most, and the rings of the two passes. */
const feeds = {
  copies: { rows: { keys: 64, stages: 2 }, sums: { keys: 64, stages: 2 } },
  boxes: { rows: { keys: 128, stages: 4 }, sums: { keys: 64, stages: 8 } },
} as const;
const mostShared = { portable: 99 * 1024, hopper: 227 * 1024 } as const;

/** Boxes are parts of rows of whole lines. */
export const hasBoxes = ({ backend, shape }: ProbeSpec): boolean =>
  backend === 'hopper' && shape.headDim % lineElements === 0;

/** Of long vectors, fewer keys at once. */
function ringOf(spec: ProbeSpec, pass: ProbePass): Ring {
  const ring = feeds[hasBoxes(spec) ? 'boxes' : 'copies'][pass];
  return linesOf(spec.shape.headDim) <= 2 ? ring : { keys: 64, stages: Math.min(3, ring.stages) };
}

const tileBytes = (headDim: number, rows: number): number => rows * lineBytes * linesOf(headDim);

const ringBytes = (spec: ProbeSpec, pass: ProbePass): number => {
  const { keys, stages } = ringOf(spec, pass);
  return stages * tileBytes(spec.shape.headDim, keys);
};

/** Of each query of a block its sum, in fp32. */
const sumBytes = 4 * probeQueries;

/** Barriers of a ring, which are not dynamic. */
const barrierBytes = 1024;

/** Of long vectors, products take more registers. */
const mostHeads = (headDim: number): number => (linesOf(headDim) <= 2 ? 4 : 2);

/** Query heads of a block: a warpgroup each, as many as fit. */
export function headsOfBlock(spec: ProbeSpec): number {
  const { headDim, heads, kvHeads } = spec.shape;
  const ring = Math.max(ringBytes(spec, 'rows'), ringBytes(spec, 'sums'));
  const room = mostShared[spec.backend] - firstTileBytes - barrierBytes - ring;
  const most = Math.floor(room / (tileBytes(headDim, probeQueries) + sumBytes));
  return Math.max(1, Math.min(mostHeads(headDim), heads / kvHeads, most));
}

/** Keys of a tile of the first pass. */
export const keysOfTile = (spec: ProbeSpec): number => ringOf(spec, 'rows').keys;

/** Threads of the warpgroup of which one warp orders boxes. */
const copierThreads = 128;

/** Registers of a thread: four warpgroups that multiply take what the copier leaves; fewer have enough. */
const registers = { multiplying: 112, copying: 24 } as const;
const movesRegisters = (spec: ProbeSpec): boolean => hasBoxes(spec) && headsOfBlock(spec) === 4;

/** What a block takes. */
export function probeBlock(spec: ProbeSpec, pass: ProbePass) {
  const heads = headsOfBlock(spec);
  const { headDim } = spec.shape;
  const queries = heads * (tileBytes(headDim, probeQueries) + sumBytes);
  const others = hasBoxes(spec) ? copierThreads : 0;
  return {
    threads: 128 * heads + others,
    blocks: 1,
    sharedBytes: firstTileBytes + queries + ringBytes(spec, pass),
  };
}

export const feedPrimitives = (spec: ProbeSpec): readonly string[] =>
  hasBoxes(spec)
    ? ['barrier', 'tensor-copy', 'warpgroup', 'estimate-probe', 'estimate-probe-boxes']
    : ['estimate-probe', 'estimate-probe-copies'];

export const feedProducts = (spec: ProbeSpec, pass: ProbePass): ProductParts =>
  productParts(
    spec.backend,
    spec.dtype,
    [pass === 'rows' ? keysOfTile(spec) : probeQueries],
    hasBoxes(spec) ? 'boxes' : 'tiles',
  );

/** The map of the keys, where there are boxes. */
export const feedFields = (spec: ProbeSpec): readonly Field[] =>
  hasBoxes(spec) ? [{ name: 'k_map', type: 'map', comment: 'boxes of keys' }] : [];

export function feedMaps(
  spec: ProbeSpec,
  pass: ProbePass,
  [batch, head, row]: Strides,
): { readonly maps?: Readonly<Record<string, Place & BoxMap>> } {
  if (!hasBoxes(spec)) return {};
  const { shape, dtype } = spec;
  const keys: RowTensor = {
    dtype,
    batch: shape.batch,
    heads: shape.kvHeads,
    rows: shape.kLen,
    dim: shape.headDim,
    strides: { batch, head, row },
    boxRows: pass === 'rows' ? keysOfTile(spec) : probeQueries / partsOfBlock,
  };
  return { maps: { k_map: { ...at('k'), ...rowMap(keys) } } };
}

/** Statements: the tiles in shared memory, the feed, and the queries on their way to shared memory. */
export function feedText(spec: ProbeSpec, pass: ProbePass): string[] {
  const { shape, dtype } = spec;
  const { keys, stages } = ringOf(spec, pass);
  const where = pass === 'rows' ? 'tile_end' : `blockIdx.x * ${partsOfBlock} * p.part, p.part`;
  const numbers = pass === 'rows' ? [shape.headDim, keys, stages] : [shape.headDim, stages];
  const feed = hasBoxes(spec)
    ? [
        `__shared__ ProbeBarriers<${stages}> barriers;`,
        `const auto feed = probe_boxes_of_${pass === 'rows' ? 'rows' : 'parts'}<${numbers.join(', ')}>(barriers, tiles, warpgroups, p.k_map, kv_head, batch, ${where});`,
        `feed.begin(${tilesText(pass)});`,
      ]
    : [
        `const TokenRows keys = ${rowsText('k', 'kv_head')};`,
        `const auto feed = probe_copies_of_${pass === 'rows' ? 'rows' : 'parts'}<${[dtype === 'bf16', ...numbers].join(', ')}>(tiles, keys, p.key_end, ${where});`,
      ];
  return [
    'const u32 tiles = first_tile(shared);',
    ...feed,
    `copy_probe_queries<${shape.headDim}>(tiles, probe, warpgroups, group_heads - first_head, [&](int i) {`,
    `  return ${rowsText('q', 'kv_head * group_heads + first_head + i')};`,
    '});',
  ];
}

/** Statements after which the queries are there, and the warp that orders boxes does nothing else. */
export const feedReadyText = (spec: ProbeSpec, pass: ProbePass): string[] =>
  hasBoxes(spec)
    ? [
        'copy_commit();',
        'copy_wait<0>();',
        'tile_written();',
        '__syncthreads();',
        'if (feed.is_producer()) {',
        ...(movesRegisters(spec) ? [`  registers_give<${registers.copying}>();`] : []),
        `  feed.produce(${tilesText(pass)});`,
        '  return;',
        '}',
        ...(movesRegisters(spec) ? [`registers_take<${registers.multiplying}>();`] : []),
      ]
    : ['__syncthreads();'];

const tilesText = (pass: ProbePass): string => (pass === 'rows' ? 'tile_end - tile' : 'p.part / 8');

/** An expression for the first byte behind the tiles. */
export const behindTilesText = (spec: ProbeSpec, pass: ProbePass): string => {
  const { keys, stages } = ringOf(spec, pass);
  const { headDim } = spec.shape;
  return `warpgroups * probe_tile_bytes<${headDim}, PROBE> + ${stages} * probe_tile_bytes<${headDim}, ${keys}>`;
};
