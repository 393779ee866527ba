// The kernels that sum the softmax weights of a few last queries per key and per distance: of one query head
// 64 queries a launch, of a KV head all query heads. Device side: device/estimate-probe.cuh and what it names.

import type { LaunchShape } from '../../dsl/shape.ts';
import type { Kernel } from '../kernel.ts';
import type { Field } from '../struct.ts';
import { type ProductBackend, productParts } from './products.ts';
import { floatText } from './scores.ts';
import { address, kernelOf } from './text.ts';
import { firstTileBytes, lineBytes, linesOf } from './tiles.ts';
import { type HalfType, tensorFields } from './vectors.ts';

/** Queries of a head in one launch. */
export const probeQueries = 64;

/** Keys that a warp sums in order; a block has eight such parts. */
export const partsOfBlock = 8;

/** Tiles of keys, and how many are on their way or in use. */
interface Ring {
  readonly keys: number;
  readonly stages: number;
}

/** Bytes of shared memory that a block takes at most, and the rings of the two passes. */
const backends = {
  portable: { mostShared: 99 * 1024, rows: { keys: 64, stages: 2 }, sums: { keys: 64, stages: 2 } },
  hopper: { mostShared: 227 * 1024, rows: { keys: 96, stages: 4 }, sums: { keys: 64, stages: 4 } },
} as const;

/** Of long vectors, fewer keys at once. */
function ringOf({ backend, shape }: ProbeSpec, pass: 'rows' | 'sums'): Ring {
  const ring = backends[backend][pass];
  return linesOf(shape.headDim) <= 2 ? ring : { keys: 64, stages: Math.min(3, ring.stages) };
}

const tileBytes = (headDim: number, rows: number): number => rows * lineBytes * linesOf(headDim);

const ringBytes = (spec: ProbeSpec, pass: 'rows' | 'sums'): number => {
  const { keys, stages } = ringOf(spec, pass);
  return stages * tileBytes(spec.shape.headDim, keys);
};

/** Of each query of a block its sum, in fp32. */
const sumBytes = 4 * probeQueries;

/** Of long vectors, products take more registers. */
const mostHeads = (headDim: number): number => (linesOf(headDim) <= 2 ? 4 : 2);

/** Query heads of a block: a warpgroup each, as many as fit. */
export function headsOfBlock(spec: ProbeSpec): number {
  const { headDim, heads, kvHeads } = spec.shape;
  const ring = Math.max(ringBytes(spec, 'rows'), ringBytes(spec, 'sums'));
  const room = backends[spec.backend].mostShared - firstTileBytes - ring;
  const most = Math.floor(room / (tileBytes(headDim, probeQueries) + sumBytes));
  return Math.max(1, Math.min(mostHeads(headDim), heads / kvHeads, most));
}

/** Keys of a tile of the first pass. */
export const keysOfTile = (spec: ProbeSpec): number => ringOf(spec, 'rows').keys;

export interface ProbeSpec {
  readonly shape: LaunchShape;
  readonly dtype: HalfType;
  readonly causal: boolean;
  readonly backend: ProductBackend;
}

const probeFields: readonly Field[] = [
  ...tensorFields('q'),
  ...tensorFields('k'),
  { name: 'group_from', type: 'i32', comment: 'the first KV head, batch * kv_heads + KV head' },
  { name: 'heads', type: 'i32' },
  { name: 'kv_heads', type: 'i32' },
  { name: 'row', type: 'i32', comment: 'the position of the first query' },
  { name: 'row_end', type: 'i32' },
  { name: 'key_end', type: 'i32' },
];

const partialFields = (pointer: string): Field[] => [
  address(
    'partial',
    pointer,
    '[KV heads, splits, query heads, 64]: row sums over a part of the keys',
  ),
];

const primitives = [
  'shared',
  'async-copy',
  'numbers',
  'estimate-lines',
  'estimate-rows',
  'estimate-tile',
  'estimate-error',
  'estimate-partial',
  'estimate-diagonals',
  'estimate-probe',
] as const;

/** Statements: the heads of the block, their queries on the way to shared memory, and the keys. */
const beginText = ({ shape, dtype, causal }: ProbeSpec, { keys, stages }: Ring): string[] => [
  'extern __shared__ u8 shared[];',
  'const int group = p.group_from + blockIdx.y, group_heads = p.heads / p.kv_heads;',
  'const int batch = group / p.kv_heads, kv_head = group % p.kv_heads;',
  'const int first_head = blockIdx.z * (blockDim.x / 128), warpgroup = threadIdx.x / 128;',
  'const int own_head = kv_head * group_heads + first_head + warpgroup;',
  'const bool is_head = first_head + warpgroup < group_heads;',
  `const ProbeQueries probe = {p.row, p.row_end, p.key_end, ${causal}};`,
  `const ProbeTiles<${dtype === 'bf16'}, ${shape.headDim}, ${keys}, ${stages}> tiles(first_tile(shared));`,
  'const TokenRows keys = {p.k + batch * p.k_batch + kv_head * p.k_head, p.k_row, p.k_offset};',
  'tiles.copy_queries(probe, group_heads - first_head, [&](int i) {',
  '  return TokenRows{p.q + batch * p.q_batch + (kv_head * group_heads + first_head + i) * p.q_head, p.q_row, p.q_offset};',
  '});',
];

const common = (spec: ProbeSpec, pass: 'rows' | 'sums') => {
  const heads = headsOfBlock(spec);
  const queries = heads * (tileBytes(spec.shape.headDim, probeQueries) + sumBytes);
  return {
    primitives,
    products: productParts(spec.backend, spec.dtype, [
      pass === 'rows' ? ringOf(spec, pass).keys : probeQueries,
    ]),
    threads: 128 * heads,
    mostThreads: 128 * mostHeads(spec.shape.headDim),
    sharedBytes: firstTileBytes + queries + ringBytes(spec, pass),
  };
};

/** Scores in units of log2. */
const scaleText = ({ headDim }: LaunchShape): string => floatText(Math.LOG2E / Math.sqrt(headDim));

/** grid: [splits of the keys, KV heads, blocks of query heads]. */
export function probeRowsKernel(spec: ProbeSpec): Kernel {
  const { shape } = spec;
  const ring = ringOf(spec, 'rows');
  return kernelOf({
    ...common(spec, 'rows'),
    name: 'estimate_probe_rows',
    about: [
      'Of each of the last queries the maximum and the sum of its exponentials over a part of the keys:',
      `q and k [batch, heads, rows, ${shape.headDim}] to [KV heads, splits, query heads, 64].`,
    ],
    fields: [
      ...probeFields,
      { name: 'tiles', type: 'i32', comment: 'tiles of keys in a split' },
      ...partialFields('PartialSum*'),
      address('error', 'u64*', 'the first row with a score that is not finite'),
    ],
    body: [
      ...beginText(spec, ring),
      `const int tile = blockIdx.x * p.tiles, tile_end = min(tile + p.tiles, (p.key_end + ${ring.keys - 1}) / ${ring.keys});`,
      'PartialSum rows[2];',
      'bool is_finite[2];',
      `probe_sums_of_rows(tiles, keys, probe, tile, tile_end, ${scaleText(shape)}, rows, is_finite);`,
      'if (!is_head) return;',
      'PartialSum* partial = p.partial +',
      '    (((i64)blockIdx.y * gridDim.x + blockIdx.x) * group_heads + first_head + warpgroup) * PROBE;',
      '#pragma unroll',
      'for (int half = 0; half < 2; ++half) {',
      '  const int query = tile_row(half);',
      '  if ((threadIdx.x & 3) == 0) partial[query] = rows[half];',
      '  if (!is_finite[half]) report_not_finite(p.error, {batch, own_head, kv_head, group}, p.row + query);',
      '}',
    ],
  });
}

/** grid: [blocks of eight parts of the keys, KV heads, blocks of query heads]. */
export function probeSumsKernel(
  spec: ProbeSpec,
  keep: { readonly keys: boolean; readonly distances: boolean },
): Kernel {
  const { shape } = spec;
  const ring = ringOf(spec, 'sums');
  const what = [keep.keys ? 'keys' : '', keep.distances ? 'distances' : ''].filter(Boolean);
  return kernelOf({
    ...common(spec, 'sums'),
    name: ['estimate_probe_sums', ...what].join('_'),
    about: [
      `Sums of the softmax weights of the last queries per ${what.map((one) => one.slice(0, -1)).join(' and per ')}:`,
      `q and k [batch, heads, rows, ${shape.headDim}] to [query heads, stride] each.`,
    ],
    fields: [
      ...probeFields,
      ...partialFields('const PartialSum*'),
      { name: 'splits', type: 'i32', comment: 'of the partial sums' },
      { name: 'part', type: 'i32', comment: 'keys of a part, a multiple of 8 from 64 on' },
      { name: 'adds', type: 'i32', comment: 'whether to add to what is there' },
      ...(keep.keys
        ? [
            address('columns', 'float*', '[query heads, column_stride]: sums per key'),
            { name: 'column_stride', type: 'i32' } as const,
          ]
        : []),
      ...(keep.distances
        ? [
            address('distances', 'float*', '[query heads, distance_stride]'),
            { name: 'distance_stride', type: 'i32' } as const,
            address('leads', 'float*', '[query heads, parts, 64]: diagonals from the part before'),
          ]
        : []),
    ],
    body: [
      ...beginText(spec, ring),
      `float* lse = (float*)(shared + (first_tile(shared) - shared_address(shared)) + (blockDim.x / 128 + ${ring.stages}) * probe_tile_bytes<${shape.headDim}, PROBE>);`,
      'for (int i = threadIdx.x; i < (int)blockDim.x / 128 * PROBE; i += blockDim.x) {',
      '  const bool is_there = first_head + i / PROBE < group_heads;',
      '  const PartialSum* partial = p.partial + ((i64)blockIdx.y * p.splits * group_heads + first_head) * PROBE + i;',
      '  lse[i] = is_there ? sum_of_parts(partial, p.splits, group_heads * PROBE) : POSITIVE_INFINITY;',
      '}',
      '__syncthreads();',
      'const i64 unit = (i64)blockIdx.y * group_heads + first_head + warpgroup;',
      'const ProbeTargets targets = {',
      keep.keys ? '    p.columns + unit * p.column_stride,' : '    nullptr,',
      ...(keep.distances
        ? [
            '    p.distances + unit * p.distance_stride,',
            `    p.leads + (unit * gridDim.x + blockIdx.x) * ${partsOfBlock} * PROBE,`,
          ]
        : ['    nullptr,', '    nullptr,']),
      '    p.key_end, p.adds != 0};',
      `probe_sums<${keep.keys}, ${keep.distances}>(tiles, keys, probe, blockIdx.x * ${partsOfBlock} * p.part, p.part, ${scaleText(shape)},`,
      '    lse + warpgroup * PROBE, targets, is_head);',
    ],
  });
}

/** Adds the diagonals that began in the part before. grid: [parts but the first, query heads]. */
export function probeLeadsKernel(): Kernel {
  return kernelOf({
    name: 'estimate_probe_leads',
    about: [
      'Adds what the diagonals that go on in the next part of the keys have there:',
      'leads [query heads, parts, 64] to sums [query heads, distance_stride].',
    ],
    primitives: [],
    fields: [
      address('leads', 'const float*'),
      address('distances', 'float*'),
      { name: 'distance_stride', type: 'i32' },
      { name: 'row', type: 'i32', comment: 'the position of the first query' },
      { name: 'part', type: 'i32', comment: 'keys of a part' },
      { name: 'key_end', type: 'i32' },
    ],
    threads: probeQueries,
    body: [
      'const int part = blockIdx.x + 1, lead = threadIdx.x;',
      `const int distance = p.row - part * p.part + ${probeQueries} - lead;`,
      'if (distance < 0 || distance >= p.key_end) return;',
      `p.distances[(i64)blockIdx.y * p.distance_stride + distance] += p.leads[((i64)blockIdx.y * (gridDim.x + 1) + part) * ${probeQueries} + lead];`,
    ],
  });
}
