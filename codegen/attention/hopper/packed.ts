// Chosen keys and values, packed: rows that lie apart become rows that boxes can copy.

import { devicePrimitives } from '../../device.ts';
import type { Buffer, Kernel, Place, Step } from '../../kernel.ts';
import { Struct } from '../../struct.ts';
import type { KernelContext, LaunchRequest } from '../backend.ts';
import { ownerFields, ownersOf, ownerText } from '../owners.ts';
import { boxKeys, type HopperKnobs } from './knobs.ts';

const threads = 256;

/** Entries that a block packs. */
export const packedRows = 64;

const params = new Struct('Arguments', [
  { name: 'rows', type: 'address', pointer: 'const uint4*', comment: 'keys or values' },
  { name: 'packed', type: 'address', pointer: 'uint4*', comment: '[units, capacity, chunks]' },
  { name: 'list', type: 'address', pointer: 'const int*', comment: '[units, list_capacity], ascending' },
  { name: 'count', type: 'address', pointer: 'const int*', comment: '[units]' },
  ...ownerFields,
  { name: 'batch_stride', type: 'i64', comment: 'in chunks of 8 elements' },
  { name: 'head_stride', type: 'i64' },
  { name: 'row_stride', type: 'i64' },
  { name: 'list_capacity', type: 'i32' },
  { name: 'capacity', type: 'i32' },
  { name: 'reach', type: 'i32', comment: 'entries of a box: those behind the last one are zeros' },
  { name: 'chunks', type: 'i32', comment: 'of a row' },
]); // biome-ignore format: one field a line

const source = (): string => `${devicePrimitives()}
// ---- kernel ----

${params.text}
${ownerText}

// A block packs ${packedRows} entries of one unit.
extern "C" __global__ void __launch_bounds__(${threads})
pack_columns(const __grid_constant__ Arguments p) {
  const int unit = blockIdx.y, first = blockIdx.x * ${packedRows}, count = p.count[unit];
  // Nothing chosen: a box of zeros, since even then a kernel may take one.
  if (first >= max(1, (count + p.reach - 1) / p.reach) * p.reach) return;
  const Owner owner = owner_of(p, unit);
  const int* list = p.list + (i64)unit * p.list_capacity;
  const uint4* rows = p.rows + owner.batch * p.batch_stride + owner.group * p.head_stride;
  uint4* packed = p.packed + ((i64)unit * p.capacity + first) * p.chunks;
  for (int at = threadIdx.x; at < ${packedRows} * p.chunks; at += ${threads}) {
    const int entry = first + at / p.chunks;
    packed[at] = entry < count ? rows[list[entry] * p.row_stride + at % p.chunks] : make_uint4(0, 0, 0, 0);
  }
}
`;

/** One launch for keys, one for values: a block for each `packedRows` entries, and for each unit. */
export const packKernel = (): Kernel => ({
  name: 'pack_columns',
  source: source(),
  threads,
  sharedBytes: 0,
  params,
});

/** Memory for the packed keys and values of all units, and the launches that fill it. */
export function packed(
  { knobs, headDim, valueDim }: KernelContext<HopperKnobs>,
  { call, units, columnsCapacity }: LaunchRequest,
): { capacity: number; workspace: Buffer[]; before: Step[] } {
  const { shape, strides } = call;
  const owners = ownersOf(call, shape.heads / shape.kvHeads);
  const reach = boxKeys(knobs);
  const boxes = Math.ceil(columnsCapacity / reach) * reach;
  const capacity = Math.ceil(boxes / packedRows) * packedRows;
  const workspace: Buffer[] = [];
  const before: Step[] = [];
  const whole = (buffer: string): Place => ({ buffer, offset: 0 });
  for (const [tensor, dim] of [
    ['k', headDim],
    ['v', valueDim],
  ] as const) {
    const { batch, head, row } = strides[tensor];
    const name = `columns_${tensor}`;
    workspace.push({ name, bytes: units * capacity * dim * 2 });
    before.push({
      op: 'launch',
      kernel: packKernel(),
      grid: [capacity / packedRows, units, 1],
      args: {
        ...{ batch_stride: batch / 8, head_stride: head / 8, row_stride: row / 8 },
        ...owners.args,
        ...{ list_capacity: columnsCapacity, capacity, reach, chunks: dim / 8 },
      },
      buffers: {
        ...{ rows: whole(tensor), packed: whole(name) },
        ...{ list: whole('columns_list'), count: whole('columns_count') },
        ...owners.buffers,
      },
    });
  }
  return { capacity, workspace, before };
}
