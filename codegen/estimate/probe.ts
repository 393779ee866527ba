// The kernels that sum the softmax weights of a few last queries per key and per distance: of one query head
// 64 queries a launch, of a KV head all query heads. Device side: device/estimate-probe.cuh and what it names.

import type { LaunchShape } from '../../dsl/shape.ts';
import type { Kernel } from '../kernel.ts';
import type { Field } from '../struct.ts';
import {
  behindTilesText,
  feedFields,
  feedPrimitives,
  feedProducts,
  feedReadyText,
  feedText,
  headsOfBlock,
  keysOfTile,
  type ProbePass,
  type ProbeSpec,
  partsOfBlock,
  probeBlock,
} from './probe-feed.ts';
import { floatText } from './scores.ts';
import { address, kernelOf } from './text.ts';
import { tensorFields } from './vectors.ts';

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
    '[KV heads, query heads, 64, splits]: row sums over a part of the keys',
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
] as const;

/** Statements: the heads of the block, its queries and its keys. */
const beginText = (spec: ProbeSpec): string[] => [
  'extern __shared__ u8 shared[];',
  'const int group = p.group_from + blockIdx.y, group_heads = p.heads / p.kv_heads;',
  'const int batch = group / p.kv_heads, kv_head = group % p.kv_heads;',
  `const int warpgroups = ${headsOfBlock(spec)}, warpgroup = threadIdx.x / 128;`,
  'const int first_head = blockIdx.z * warpgroups;',
  'const int own_head = kv_head * group_heads + first_head + warpgroup;',
  'const bool is_head = first_head + warpgroup < group_heads;',
  `const ProbeQueries probe = {p.row, p.row_end, p.key_end, ${spec.causal}};`,
];

const common = (spec: ProbeSpec, pass: ProbePass) => ({
  ...probeBlock(spec, pass),
  primitives: [...primitives, ...feedPrimitives(spec)],
  products: feedProducts(spec, pass),
});

/** Scores in units of log2. */
const scaleText = ({ headDim }: LaunchShape): string => floatText(Math.LOG2E / Math.sqrt(headDim));

/** grid: [splits of the keys, KV heads, blocks of query heads]. */
export function probeRowsKernel(spec: ProbeSpec): Kernel {
  const { shape } = spec;
  const keys = keysOfTile(spec);
  return kernelOf({
    ...common(spec, 'rows'),
    name: 'estimate_probe_rows',
    about: [
      'Of each of the last queries the maximum and the sum of its exponentials over a part of the keys:',
      `q and k [batch, heads, rows, ${shape.headDim}] to [KV heads, query heads, 64, splits].`,
    ],
    fields: [
      ...probeFields,
      ...feedFields(spec),
      { name: 'tiles', type: 'i32', comment: 'tiles of keys in a split' },
      ...partialFields('PartialSum*'),
      address('error', 'u64*', 'the first row with a score that is not finite'),
    ],
    body: [
      ...beginText(spec),
      `const int tile = blockIdx.x * p.tiles, tile_end = min(tile + p.tiles, (p.key_end + ${keys - 1}) / ${keys});`,
      ...feedText(spec, 'rows'),
      ...feedReadyText(spec, 'rows'),
      'PartialSum rows[2];',
      'bool is_finite[2];',
      `probe_sums_of_rows<${keys}>(feed, probe, tile, tile_end, ${scaleText(shape)}, rows, is_finite);`,
      'if (!is_head) return;',
      'PartialSum* partial = p.partial + ((i64)blockIdx.y * group_heads + first_head + warpgroup) * PROBE * gridDim.x + blockIdx.x;',
      '#pragma unroll',
      'for (int half = 0; half < 2; ++half) {',
      '  const int query = tile_row(half);',
      '  if ((threadIdx.x & 3) == 0) partial[query * gridDim.x] = rows[half];',
      '  if (!is_finite[half]) report_not_finite(p.error, {batch, own_head, kv_head, group}, p.row + query);',
      '}',
    ],
  });
}

/** grid: [blocks of eight parts of the keys, KV heads, blocks of query heads]. */
export function probeSumsKernel(
  spec: ProbeSpec,
  keep: { readonly keys: boolean; readonly distances: boolean },
  adds: boolean,
): Kernel {
  const { shape } = spec;
  const what = [keep.keys ? 'keys' : '', keep.distances ? 'distances' : ''].filter(Boolean);
  return kernelOf({
    ...common(spec, 'sums'),
    name: ['estimate_probe_sums', ...what, ...(adds ? ['added'] : [])].join('_'),
    about: [
      `Sums of the softmax weights of the last queries per ${what.map((one) => one.slice(0, -1)).join(' and per ')}:`,
      `q and k [batch, heads, rows, ${shape.headDim}] to [query heads, stride] each.`,
    ],
    fields: [
      ...probeFields,
      ...feedFields(spec),
      ...partialFields('const PartialSum*'),
      { name: 'splits', type: 'i32', comment: 'of the partial sums' },
      { name: 'part', type: 'i32', comment: 'keys of a part, a multiple of 8 from 64 on' },
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
      ...beginText(spec),
      ...feedText(spec, 'sums'),
      `float* lse = (float*)(shared + (tiles - shared_address(shared)) + ${behindTilesText(spec, 'sums')});`,
      'const PartialSum* partial = p.partial + ((i64)blockIdx.y * group_heads + first_head) * PROBE * p.splits;',
      'for (int i = threadIdx.x / PART_LANES; i < warpgroups * PROBE; i += blockDim.x / PART_LANES) {',
      '  const bool is_there = first_head + i / PROBE < group_heads;',
      '  const float sum = is_there ? sum_of_parts(partial + i * p.splits, p.splits) : POSITIVE_INFINITY;',
      '  if (threadIdx.x % PART_LANES == 0) lse[i] = sum;',
      '}',
      ...feedReadyText(spec, 'sums'),
      'const u32 unit = blockIdx.y * group_heads + first_head + warpgroup;',
      'const ProbeTargets targets = {',
      `    ${keep.keys ? 'p.columns' : 'nullptr'}, ${keep.distances ? 'p.distances, p.leads' : 'nullptr, nullptr'},`,
      `    ${keep.keys ? 'unit * p.column_stride' : '0'}, ${keep.distances ? 'unit * p.distance_stride' : '0'},`,
      `    (unit * gridDim.x + blockIdx.x) * ${partsOfBlock} * PROBE, p.key_end};`,
      `probe_sums<${keep.keys}, ${keep.distances}, ${adds}>(feed, probe, blockIdx.x * ${partsOfBlock} * p.part, p.part, ${scaleText(shape)},`,
      '    lse + warpgroup * PROBE, targets, is_head);',
    ],
  });
}
