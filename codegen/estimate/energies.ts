// The kernel of energies: what each block of queries has in common with each pool of keys, one number a pair.
// Device side: device/estimate-energies.cuh.

import { gridOf } from '../../dsl/estimate/axes.ts';
import type { LaunchShape } from '../../dsl/shape.ts';
import type { Kernel } from '../kernel.ts';
import type { PassPlan } from './passes.ts';
import { type ProductBackend, productParts } from './products.ts';
import { floatText } from './scores.ts';
import { address, gridFields, gridText, kernelOf } from './text.ts';
import { firstTileBytes, lineBytes, linesOf } from './tiles.ts';
import { factorsOf, type HalfType, tensorFields } from './vectors.ts';

/** Queries of a tile, beside two tiles of pools. */
const tileQueries = (headDim: number): number => (linesOf(headDim) <= 2 ? 128 : 64);

/** Pools of a tile. */
const tilePools = 64;

/** grid: [blocks of queries, units], a unit being what has a choice of its own: a query head or a KV head. */
export function energiesKernel(
  { scores }: Pick<PassPlan, 'scores'>,
  { block, group }: { readonly block: number; readonly group: boolean },
  shape: LaunchShape,
  dtype: HalfType,
  backend: ProductBackend,
): Kernel {
  const grid = gridOf(scores, shape);
  const { columns, scale } = factorsOf(scores, shape);
  const { headDim } = shape;
  const queries = tileQueries(headDim);
  return kernelOf({
    name: `estimate_energies${block}_q_${columns.label}${group ? '_group' : ''}`,
    about: [
      `Of each block of ${block} queries${group ? ', all query heads of a KV head together,' : ''} the sums of e^(score - the largest)`,
      `with each pool of keys: q [batch, heads, rows, ${headDim}] and pools [KV heads, members, ${headDim}]`,
      'to sums [units, blocks, stride].',
    ],
    primitives: [
      'shared',
      'async-copy',
      'numbers',
      'float-bits',
      'estimate-lines',
      'estimate-reduce',
      'estimate-rows',
      'estimate-tile',
      'estimate-error',
      'estimate-energies',
    ],
    products: productParts(backend, dtype, [queries]),
    fields: [
      ...tensorFields('q'),
      ...gridFields,
      { name: 'heads', type: 'i32' },
      { name: 'kv_heads', type: 'i32' },
      { name: 'unit_from', type: 'i32', comment: 'the first unit of the wave' },
      { name: 'group_from', type: 'i32', comment: 'its KV head' },
      { name: 'block_from', type: 'i32', comment: 'the first block of queries' },
      address('pools', 'const u16*', '[KV heads, members, dim] of the wave'),
      { name: 'members', type: 'i32' },
      address('sums', 'float*', '[units, blocks, stride]'),
      { name: 'stride', type: 'i32' },
      address('error', 'u64*', 'the first row with a score that is not finite'),
    ],
    threads: 128,
    blocks: linesOf(headDim) <= 2 ? 3 : 2,
    sharedBytes: firstTileBytes + (queries + 2 * tilePools) * lineBytes * linesOf(headDim),
    body: [
      'extern __shared__ u8 tiles[];',
      `__shared__ EnergyShared<${queries}> shared;`,
      ...gridText(grid),
      // The blocks that see most come first.
      'const int own = gridDim.x - 1 - blockIdx.x, block = p.block_from + own;',
      'const int unit = p.unit_from + blockIdx.y, group_heads = p.heads / p.kv_heads;',
      ...(group
        ? [
            'const Head head = {unit / p.kv_heads, unit % p.kv_heads * group_heads, unit % p.kv_heads, unit};',
          ]
        : ['const Head head = head_of(unit, p.heads, p.kv_heads);']),
      `const Line blocks = {${block}, p.row_start, p.row_end};`,
      'const int pool_end = visible_end(grid, last_position(blocks, block));',
      'const EnergyQueries queries = {',
      '    {p.q + head.batch * p.q_batch + head.head * p.q_head, p.q_row, p.q_offset}, p.q_head,',
      `    block * ${block}, ${block}, ${group ? 'group_heads' : '1'}, p.row_start, p.row_end};`,
      'const i64 at = (i64)blockIdx.y * gridDim.x + own;',
      `const PooledRows<${headDim}> pools = {p.pools + (i64)(head.group - p.group_from) * p.members * ${headDim}, 0};`,
      `energies_of<${dtype === 'bf16'}, ${headDim}, ${queries}, ${backend === 'hopper'}>(shared, first_tile(tiles), queries, head, pools, pool_end,`,
      `    ${floatText(scale * Math.LOG2E)}, [&](int position) { return visible_end(grid, position); }, p.sums + at * p.stride, p.error);`,
    ],
  });
}
