// The launch list of one attention call: what has to be prepared, then the kernel. Sizes and strides
// become numbers here; buffers are named, and the runtime knows where they are.

import type { Declarations } from '../../dsl/declarations.ts';
import { invariant } from '../../dsl/diagnostic.ts';
import { type BoundParameters, parametersOf } from '../../dsl/given.ts';
import { queryOffset } from '../../dsl/shape.ts';
import type { Buffer, LaunchList, Place, Step } from '../kernel.ts';
import { namesOf } from '../names.ts';
import type { CallFacts } from './call.ts';
import { columnsKernel } from './columns.ts';
import type { AttentionKernel } from './kernel.ts';
import { ownersOf } from './owners.ts';
import { poolsKernel } from './pools.ts';
import { queriesOf } from './tiles.ts';
import { turnOf } from './turns.ts';
import { zoneSize, zonesKernel } from './zones.ts';

export interface AttentionCall extends CallFacts {
  readonly attention: AttentionKernel;
}

type Buffers = Record<string, Place>;
const whole = (buffer: string): Place => ({ buffer, offset: 0 });

/** The words of the buffer `params`: [heads, parameters], or [1, parameters] where all heads agree. */
export function paramsOf(
  { params }: Declarations,
  bound: BoundParameters,
  heads: number,
): Int32Array {
  const names = Object.entries(params);
  const rows = Object.values(bound).some((value) => typeof value !== 'number') ? heads : 1;
  const words = new Int32Array(rows * names.length);
  const floats = new Float32Array(words.buffer);
  for (let head = 0; head < rows; head += 1) {
    const numbers = parametersOf(bound, head);
    for (const [i, [name, { kind }]] of names.entries())
      (kind === 'int' ? words : floats)[head * names.length + i] = numbers[name]!;
  }
  return words;
}

/**
 * Buffers that the caller gives: q, k, v, out, lse, error (8 bytes, all ones already), and those that the call
 * names.
 */
export function attentionLaunch(call: AttentionCall): LaunchList {
  const { attention, shape, segments } = call;
  const { kernel, knobs, passes } = attention;
  const { batch, heads, kvHeads, qLen, kLen, headDim } = shape;
  const headCount = call.headList?.length ?? heads;
  const workspace: Buffer[] = [];
  const steps: Step[] = [];
  const tiles = tilesOf(call);
  if (tiles === 0 || headCount === 0 || batch === 0) return { workspace, steps };

  const buffers: Buffers = {};
  const args: Record<string, number> = {
    heads,
    kv_heads: kvHeads,
    q_len: qLen,
    k_len: kLen,
    head_count: headCount,
    scale: 1 / Math.sqrt(headDim),
    tiles,
    first_tile: Math.floor(queryOffset(shape) / queriesOf(knobs)),
    lse_head: segments ? segments.q.at(-1)! : qLen,
  };
  buffers.lse = whole('lse');
  buffers.error = whole('error');
  if (call.headList) buffers.head_list = whole('head_list');
  else args.head_list = 0;
  if (segments) {
    buffers.q_starts = whole('q_starts');
    buffers.k_starts = whole('k_starts');
  }
  if (call.turn) {
    const own = turnOf(call.turn, call);
    Object.assign(buffers, own.buffers);
    workspace.push(own.workspace);
    steps.push(own.before);
  }
  addParams(call, args, buffers);
  addSets(call, args, buffers);
  addTensors(call, args, buffers, workspace, steps);
  for (const pass of passes) {
    if (pass.kind === 'columns') addColumns(call, pass.set, args, buffers, workspace, steps);
    if (pass.kind === 'rest') addPools(call, pass.size, args, workspace, steps);
  }
  const own = attention.launch({
    call,
    tiles,
    units: batch * headCount,
    columnsCapacity: args.columns_capacity ?? 0,
  });
  workspace.push(...(own.workspace ?? []));
  steps.push(...(own.before ?? []));
  steps.push({
    op: 'launch',
    kernel,
    grid: [own.blocks, 1, 1],
    args: { ...args, ...own.args },
    buffers: { ...buffers, ...own.buffers },
    ...(own.maps ? { maps: own.maps } : {}),
  });
  return { workspace, steps };
}

/** Query tiles of a unit, the most of any segment. */
function tilesOf({ attention, shape, segments }: AttentionCall): number {
  const queries = queriesOf(attention.knobs);
  const count = (qLen: number, kLen: number): number =>
    qLen === 0 ? 0 : Math.floor((kLen - 1) / queries) - Math.floor((kLen - qLen) / queries) + 1;
  if (!segments) return count(shape.qLen, shape.kLen);
  let most = 0;
  for (let i = 0; i + 1 < segments.q.length; i += 1)
    most = Math.max(
      most,
      count(segments.q[i + 1]! - segments.q[i]!, segments.k[i + 1]! - segments.k[i]!),
    );
  return most;
}

function addParams(call: AttentionCall, args: Record<string, number>, buffers: Buffers): void {
  const count = Object.keys(call.declarations.params).length;
  const perHead = Object.values(call.params).some((value) => typeof value !== 'number');
  args.params_stride = perHead ? count : 0;
  if (count > 0) buffers.params = whole('params');
  else args.params = 0;
}

function addSets(call: AttentionCall, args: Record<string, number>, buffers: Buffers): void {
  const names = namesOf(call.declarations);
  for (const set of Object.keys(call.declarations.sets)) {
    const found = call.sets[set];
    invariant(found, `the set '${set}' has no buffer`);
    const { rowFrom, rows, columns } = found.domain;
    const name = names('set', set);
    buffers[`${name}_bits`] = whole(`set ${set}`);
    args[`${name}_stride`] = (columns + 31) >>> 5;
    args[`${name}_row_from`] = rowFrom;
    args[`${name}_rows`] = rows;
    args[`${name}_columns`] = columns;
  }
}

function addTensors(
  call: AttentionCall,
  args: Record<string, number>,
  buffers: Buffers,
  workspace: Buffer[],
  steps: Step[],
): void {
  const names = namesOf(call.declarations);
  for (const [tensor, { kind }] of Object.entries(call.declarations.tensors)) {
    const { shape } = call.captured[tensor]!;
    const name = names('tensor', tensor);
    const data = whole(`tensor ${tensor}`);
    const zones = whole(`zones ${tensor}`);
    buffers[`${name}_data`] = data;
    buffers[`${name}_zones`] = zones;
    for (const [axis, size] of shape.entries()) args[`${name}_size${axis}`] = size;
    const size = shape.at(-1) ?? 1;
    const rows = shape.slice(0, -1).reduce((product, length) => product * length, 1);
    const count = rows * Math.ceil(size / zoneSize);
    workspace.push({ name: zones.buffer, bytes: Math.max(8, count * 8) });
    if (count === 0) continue;
    steps.push({
      op: 'launch',
      kernel: zonesKernel(kind),
      grid: [Math.ceil(count / 128), 1, 1],
      args: { rows, size },
      buffers: { data, zones },
    });
  }
}

function addColumns(
  call: AttentionCall,
  set: string,
  args: Record<string, number>,
  buffers: Buffers,
  workspace: Buffer[],
  steps: Step[],
): void {
  const { batch, heads, kvHeads } = call.shape;
  const headCount = call.headList?.length ?? heads;
  const { domain, perGroup, most } = call.sets[set]!;
  const units = batch * headCount;
  const owners = ownersOf(call, perGroup ? heads / kvHeads : 1);
  const capacity = Math.max(1, Math.min(domain.columns, most));
  workspace.push({ name: 'columns_list', bytes: units * capacity * 4 });
  workspace.push({ name: 'columns_count', bytes: units * 4 });
  const lists = { list: whole('columns_list'), count: whole('columns_count') };
  steps.push({
    op: 'launch',
    kernel: columnsKernel(),
    grid: [units, 1, 1],
    args: { ...owners.args, stride: (domain.columns + 31) >>> 5, capacity },
    buffers: { ...owners.buffers, ...lists, bits: whole(`set ${set}`) },
  });
  args.columns_capacity = capacity;
  buffers.columns_list = lists.list;
  buffers.columns_count = lists.count;
}

function addPools(
  call: AttentionCall,
  size: number,
  args: Record<string, number>,
  workspace: Buffer[],
  steps: Step[],
): void {
  const { batch, kvHeads, kLen, headDim, valueDim } = call.shape;
  const pools = Math.ceil(kLen / size);
  args.pools = pools;
  const kernel = poolsKernel(call.dtype);
  for (const [tensor, dim] of [
    ['k', headDim],
    ['v', valueDim],
  ] as const) {
    const means = whole(`pool_${tensor}`);
    const strides = call.strides[tensor];
    workspace.push({ name: means.buffer, bytes: Math.max(16, batch * kvHeads * pools * dim * 2) });
    if (pools === 0) continue;
    steps.push({
      op: 'launch',
      kernel,
      grid: [pools * batch * kvHeads, 1, 1],
      args: {
        batch_stride: strides.batch,
        head_stride: strides.head,
        row_stride: strides.row,
        kv_heads: kvHeads,
        k_len: kLen,
        pools,
        dim,
        size,
      },
      buffers: { rows: whole(tensor), means },
    });
  }
}
