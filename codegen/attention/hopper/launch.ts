// One launch of a Hopper kernel: its tensor maps, and the order in which its blocks draw their tiles.

import { invariant } from '../../../dsl/diagnostic.ts';
import type { BoxMap, Place } from '../../kernel.ts';
import { tensorArguments } from '../arguments.ts';
import type { KernelContext, KernelLaunch, LaunchRequest } from '../backend.ts';
import type { RowStrides } from '../call.ts';
import { gathers } from '../passes.ts';
import { boxKeys, type HopperKnobs, isApart, slotKeys } from './knobs.ts';
import { type RowTensor, rowMap, sourcesOf } from './maps.ts';
import { distancesOf, members } from './members.ts';
import { sectionOf } from './order.ts';
import { packed } from './packed.ts';
import { groupBox } from './tile-rows.ts';

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
  const distances = distancesOf(context);
  const found = distances ? members(distances.set, knobs, request) : undefined;
  return {
    blocks: Math.min(multiprocessors * knobs.blocks, tiles * drawn),
    args: {
      ...pointers.args,
      ...found?.args,
      units: drawn,
      section: Math.max(1, sectionOf(knobs.work, shape, units) / headsPerTile),
    },
    buffers: {
      ...pointers.buffers,
      ...found?.buffers,
      counter: { buffer: 'counter', offset: 0 },
    },
    maps,
    workspace: [...(columns?.workspace ?? []), ...(found?.workspace ?? [])],
    before: [...(columns?.before ?? []), ...(found?.before ?? [])],
  };
}
