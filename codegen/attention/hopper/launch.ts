// One launch of a Hopper kernel: its tensor maps, and the order in which its blocks draw their tiles.

import { invariant } from '../../../dsl/diagnostic.ts';
import type { BoxMap, Place } from '../../kernel.ts';
import { tensorArguments } from '../arguments.ts';
import type { KernelContext, KernelLaunch, LaunchRequest } from '../backend.ts';
import type { RowStrides } from '../call.ts';
import { gathers } from '../passes.ts';
import { boxKeys, type HopperKnobs, isApart, slotKeys } from './knobs.ts';
import { type RowTensor, rowMap, sourcesOf } from './maps.ts';
import { packed } from './packed.ts';
import { groupBox } from './tile-rows.ts';

/** Bytes of keys and values that are taken to stay in L2 while all blocks read them. */
const cachedBytes = 32e6;

export function launchOf(
  context: KernelContext<HopperKnobs>,
  request: LaunchRequest,
): KernelLaunch {
  const { dtype, headDim, valueDim, knobs, passes } = context;
  const { call, tiles, units } = request;
  const { strides, shape, multiprocessors } = call;
  const { batch, heads, kvHeads, qLen, kLen } = shape;
  const { headsPerTile } = knobs;
  invariant(
    headsPerTile === 1 || (!call.headList && (heads / kvHeads) % headsPerTile === 0),
    'the heads of a tile are not those of one KV head',
  );
  const map = (
    buffer: string,
    [count, rows, dim]: readonly [heads: number, rows: number, dim: number],
    own: RowStrides,
    boxRows: number,
    more: Pick<RowTensor, 'boxHeads' | 'slab'> = {},
  ): Place & BoxMap => ({
    buffer,
    offset: 0,
    ...rowMap({ dtype, batch, heads: count, rows, dim, strides: own, boxRows, ...more }),
  });
  /** The map of keys or values, and that of one box of a slab where slots have two. */
  const filled = (name: string, dims: readonly [number, number, number], own: RowStrides) => ({
    [`${name}_map`]: map(name, dims, own, slotKeys(knobs)),
    ...(isApart(knobs) && sourcesOf(passes).includes(name)
      ? { [`${name}_box_map`]: map(name, dims, own, boxKeys(knobs), { slab: true }) }
      : {}),
  });
  const { rows: boxRows, heads: boxHeads } = groupBox(knobs);
  const maps: Record<string, Place & BoxMap> = {
    q_map: map('q', [heads, qLen, headDim], strides.q, boxRows, { boxHeads }),
    ...filled('k', [kvHeads, kLen, headDim], strides.k),
    ...filled('v', [kvHeads, kLen, valueDim], strides.v),
    out_map: map('out', [heads, qLen, valueDim], strides.out, boxRows, { boxHeads }),
  };
  const pools = passes.find((pass) => pass.kind === 'rest');
  const columns = gathers(passes) ? packed(context, request) : undefined;
  const tables = [
    ...(columns ? [{ name: 'columns', count: units, rows: columns.capacity }] : []),
    ...(pools ? [{ name: 'pool', count: kvHeads, rows: Math.ceil(kLen / pools.size) }] : []),
  ];
  for (const { name, count, rows } of tables)
    for (const [which, dim] of [
      ['k', headDim],
      ['v', valueDim],
    ] as const) {
      const own = { batch: count * rows * dim, head: rows * dim, row: dim };
      Object.assign(maps, filled(`${name}_${which}`, [count, rows, dim], own));
    }
  const pointers = tensorArguments(['out'], strides);
  const drawn = units / headsPerTile;
  return {
    blocks: Math.min(multiprocessors, tiles * drawn),
    args: { ...pointers.args, units: drawn, section: sectionOf(call.shape, units) / headsPerTile },
    buffers: { ...pointers.buffers, counter: { buffer: 'counter', offset: 0 } },
    maps,
    ...columns,
  };
}

/** Units whose keys and values fit L2 together: all query heads of so many KV heads, a power of two. */
function sectionOf(
  { kLen, headDim, valueDim, heads, kvHeads }: LaunchRequest['call']['shape'],
  units: number,
): number {
  const bytes = kLen * (headDim + valueDim) * 2;
  let kvCount = 1;
  while (2 * kvCount * bytes <= cachedBytes && kvCount < 64) kvCount *= 2;
  return Math.max(1, Math.min(kvCount * Math.floor(heads / kvHeads), units));
}
