// What attention reads of a set beside its bits, made on the device after the estimate, or of sets that were given:
// the members of each unit as a list, the rows of K and V that they name packed one behind the other, and runs of
// distances. Launch steps over named buffers; no estimate has to be there. Device side: device/set-lists.cuh.

import type { LaunchShape } from '../../dsl/shape.ts';
import type { Buffer, Kernel, Place, Step } from '../kernel.ts';
import { address, kernelOf } from './text.ts';
import type { Strides } from './vectors.ts';

/** A set of one row for each unit: [units, words] u32. */
export interface RowSet {
  readonly bits: Place;
  /** Batch entries x heads, or x KV heads where it is one per KV head. */
  readonly units: number;
  readonly words: number;
}

/** Steps, and the buffers that they write: made by whoever runs them. */
export interface ListLaunch {
  readonly steps: readonly Step[];
  readonly buffers: readonly Buffer[];
}

const listThreads = 1024;

const countField = address(
  'count',
  'int*',
  '[units]: all there are, also those beyond the capacity',
);

const setFields = [
  address('bits', 'const u32*', '[units, words]'),
  { name: 'words', type: 'i32' } as const,
];

/** grid: [units]. */
export const membersKernel = (): Kernel =>
  kernelOf({
    name: 'list_members',
    about: [
      'The members of sets of one row, ascending: bits [units, words] to list [units, capacity].',
    ],
    primitives: ['set-lists'],
    fields: [...setFields, address('list', 'int*'), { name: 'capacity', type: 'i32' }, countField],
    threads: listThreads,
    body: [
      '__shared__ ScanShared shared;',
      'const i64 unit = blockIdx.x;',
      'const int count = list_members(shared, p.bits + unit * p.words, p.words, p.list + unit * p.capacity, p.capacity);',
      'if (threadIdx.x == 0) p.count[unit] = count;',
    ],
  });

/** grid: [units]. */
export const runsKernel = (): Kernel =>
  kernelOf({
    name: 'list_runs',
    about: [
      'The runs [from, to) of members that follow each other, ascending, of sets of one row:',
      'bits [units, words] to runs [units, capacity, 2].',
    ],
    primitives: ['set-lists'],
    fields: [...setFields, address('runs', 'int2*'), { name: 'capacity', type: 'i32' }, countField],
    threads: listThreads,
    body: [
      '__shared__ ScanShared shared;',
      'const i64 unit = blockIdx.x;',
      'const int count = list_runs(shared, p.bits + unit * p.words, p.words, p.runs + unit * p.capacity, p.capacity);',
      'if (threadIdx.x == 0) p.count[unit] = count;',
    ],
  });

/** Rows that a block copies, one behind the other; the number of rows is rounded up to it with zeros. */
export const packedRows = 128;

const packThreads = 256;

const rowFields = (name: 'k' | 'v') =>
  [
    address(name, 'const u16*', '[batch, kv_heads, keys, dim], strides in elements'),
    { name: `${name}_batch`, type: 'i64' },
    { name: `${name}_head`, type: 'i64' },
    { name: `${name}_row`, type: 'i64' },
    { name: `${name}_dim`, type: 'i32' },
    address(`packed_${name}`, 'u16*', `[units, capacity, ${name}_dim]`),
  ] as const;

/** grid: [capacity / packedRows, units]. */
export const packKernel = (): Kernel =>
  kernelOf({
    name: 'pack_rows',
    about: [
      'The rows of K and V that a list names, one behind the other, and zeros behind them up to a multiple of',
      `${packedRows} rows: list [units, capacity] to packed_k and packed_v [units, capacity, dim].`,
    ],
    primitives: [],
    fields: [
      address('list', 'const int*', '[units, capacity]'),
      address('count', 'const int*', '[units]'),
      { name: 'capacity', type: 'i32', comment: `a multiple of ${packedRows}` },
      { name: 'batch_units', type: 'i32', comment: 'units of a batch entry' },
      { name: 'group', type: 'i32', comment: 'units that share a KV head' },
      ...rowFields('k'),
      ...rowFields('v'),
    ],
    threads: packThreads,
    body: [
      'const int unit = blockIdx.y, count = min(p.count[unit], p.capacity), first = blockIdx.x * ' +
        `${packedRows};`,
      'if (first >= count) return;',
      'const int batch = unit / p.batch_units, head = unit % p.batch_units / p.group;',
      'const int* list = p.list + (i64)unit * p.capacity + first;',
      ...(['k', 'v'] as const).flatMap((name) => [
        '{',
        `  const u16* rows = p.${name} + batch * p.${name}_batch + head * p.${name}_head;`,
        `  uint4* packed = (uint4*)(p.packed_${name} + ((i64)unit * p.capacity + first) * p.${name}_dim);`,
        `  const int chunks = p.${name}_dim / 8;`,
        '#pragma unroll 4',
        `  for (int i = threadIdx.x; i < ${packedRows} * chunks; i += ${packThreads}) {`,
        '    const int row = i / chunks, chunk = i % chunks;',
        '    uint4 bits = {0, 0, 0, 0};',
        `    if (first + row < count) bits = *(const uint4*)(rows + list[row] * p.${name}_row + chunk * 8);`,
        '    packed[i] = bits;',
        '  }',
        '}',
      ]),
    ],
  });

const at = (buffer: string): Place => ({ buffer, offset: 0 });

/** `<name> list` [units, capacity] and `<name> count` [units], i32: the members of each unit, ascending. */
export function membersLaunch(name: string, set: RowSet, capacity: number): ListLaunch {
  const [list, count] = [`${name} list`, `${name} count`];
  return {
    buffers: [
      { name: list, bytes: 4 * set.units * capacity },
      { name: count, bytes: 4 * set.units },
    ],
    steps: steps(
      membersKernel(),
      [set.units, 1, 1],
      { words: set.words, capacity },
      {
        bits: set.bits,
        list: at(list),
        count: at(count),
      },
    ),
  };
}

/** `<name> runs` [units, capacity, 2] and `<name> count` [units], i32: runs `[from, to)`, ascending and disjoint. */
export function runsLaunch(name: string, set: RowSet, capacity: number): ListLaunch {
  const [runs, count] = [`${name} runs`, `${name} count`];
  return {
    buffers: [
      { name: runs, bytes: 8 * set.units * capacity },
      { name: count, bytes: 4 * set.units },
    ],
    steps: steps(
      runsKernel(),
      [set.units, 1, 1],
      { words: set.words, capacity },
      {
        bits: set.bits,
        runs: at(runs),
        count: at(count),
      },
    ),
  };
}

/** The most runs that a set of so many members has. */
export const mostRuns = (columns: number): number => Math.ceil(columns / 2);

export interface PackRequest {
  readonly shape: LaunchShape;
  readonly set: RowSet;
  /** Whether the set is one per KV head. */
  readonly perGroup: boolean;
  readonly strides: { readonly k: Strides; readonly v: Strides };
  /** Rows of each unit: a multiple of `packedRows`, at least its members. */
  readonly capacity: number;
}

/**
 * After `membersLaunch` of the same name and capacity: `<name> k` [units, capacity, headDim] and `<name> v` [units,
 * capacity, valueDim] in the dtype of the tensors 'k' and 'v'. Zeros follow the last row up to a multiple of
 * `packedRows`; what lies behind them is undefined.
 */
export function packLaunch(name: string, request: PackRequest): ListLaunch {
  const { shape, set, perGroup, strides, capacity } = request;
  const { heads, kvHeads, headDim, valueDim } = shape;
  const [k, v] = [`${name} k`, `${name} v`];
  const args: Record<string, number> = {
    capacity,
    batch_units: perGroup ? kvHeads : heads,
    group: perGroup ? 1 : heads / kvHeads,
    k_dim: headDim,
    v_dim: valueDim,
  };
  for (const tensor of ['k', 'v'] as const) {
    const [batch, head, row] = strides[tensor];
    Object.assign(args, {
      [`${tensor}_batch`]: batch,
      [`${tensor}_head`]: head,
      [`${tensor}_row`]: row,
    });
  }
  return {
    buffers: [
      { name: k, bytes: 2 * set.units * capacity * headDim },
      { name: v, bytes: 2 * set.units * capacity * valueDim },
    ],
    steps: steps(packKernel(), [capacity / packedRows, set.units, 1], args, {
      list: at(`${name} list`),
      count: at(`${name} count`),
      k: at('k'),
      v: at('v'),
      packed_k: at(k),
      packed_v: at(v),
    }),
  };
}

/** One launch; none where there is nothing to do. */
function steps(
  kernel: Kernel,
  grid: readonly [number, number, number],
  args: Readonly<Record<string, number>>,
  buffers: Readonly<Record<string, Place>>,
): Step[] {
  return grid.every((size) => size > 0) ? [{ op: 'launch', kernel, grid, args, buffers }] : [];
}
