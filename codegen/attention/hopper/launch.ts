// One launch of a Hopper kernel: its tensor maps, and the order in which its blocks draw their tiles.

import { type TensorName, tensorArguments } from '../arguments.ts';
import type { KernelContext, KernelLaunch, LaunchRequest } from '../backend.ts';
import type { RowStrides } from '../call.ts';
import { gathers, type KernelPass } from '../passes.ts';
import type { HopperKnobs } from './knobs.ts';
import { rowMap } from './maps.ts';

/** Bytes of keys and values that are taken to stay in L2 while all blocks read them. */
const cachedBytes = 32e6;

export function launchOf(
  { dtype, headDim, valueDim, knobs, passes }: KernelContext<HopperKnobs>,
  { call, tiles, units }: LaunchRequest,
): KernelLaunch {
  const { strides, shape, multiprocessors } = call;
  const { batch, heads, kvHeads, qLen, kLen } = shape;
  const map = (
    buffer: string,
    [count, rows, dim]: readonly [heads: number, rows: number, dim: number],
    own: RowStrides,
    boxRows: number,
  ) => ({
    buffer,
    offset: 0,
    ...rowMap({ dtype, batch, heads: count, rows, dim, strides: own, boxRows }),
  });
  const { kTile } = knobs;
  const maps = {
    q_map: map('q', [heads, qLen, headDim], strides.q, 64),
    k_map: map('k', [kvHeads, kLen, headDim], strides.k, kTile),
    v_map: map('v', [kvHeads, kLen, valueDim], strides.v, kTile),
    out_map: map('out', [heads, qLen, valueDim], strides.out, 64),
  };
  for (const pass of passes) {
    if (pass.kind !== 'rest') continue;
    const pools = Math.ceil(kLen / pass.size);
    for (const [name, dim] of [
      ['pool_k', headDim],
      ['pool_v', valueDim],
    ] as const) {
      const own = { batch: kvHeads * pools * dim, head: pools * dim, row: dim };
      Object.assign(maps, { [`${name}_map`]: map(name, [kvHeads, pools, dim], own, kTile) });
    }
  }
  const pointers = tensorArguments(pointersOf(passes), strides);
  return {
    blocks: Math.min(multiprocessors, tiles * units),
    args: { ...pointers.args, units, section: sectionOf(call.shape, units) },
    buffers: { ...pointers.buffers, counter: { buffer: 'counter', offset: 0 } },
    maps,
  };
}

/** Tensors that are also reached without a map: rows that are gathered, tiles that begin before row 0. */
export const pointersOf = (passes: readonly KernelPass[]): readonly TensorName[] =>
  gathers(passes) ? ['k', 'v', 'out'] : ['out'];

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
