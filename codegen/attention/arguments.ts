// The arguments of an attention kernel beside those of its units (codegen/unit.ts): tensors, rows, and what its
// passes read. Which of them a kernel has is its back-end's choice.

import type { Place } from '../kernel.ts';
import type { Field } from '../struct.ts';
import type { CallFacts } from './call.ts';
import type { KernelPass } from './passes.ts';

const address = (name: string, pointer: string, comment: string): Field => ({
  name,
  type: 'address',
  pointer,
  comment,
});

export type TensorName = 'q' | 'k' | 'v' | 'out';

const tensors: Readonly<Record<TensorName, Field>> = {
  q: address('q', 'const u16*', '[batch, heads, q_len, head_dim]'),
  k: address('k', 'const u16*', '[batch, kv_heads, k_len, head_dim]'),
  v: address('v', 'const u16*', '[batch, kv_heads, k_len, value_dim]'),
  out: address('out', 'u16*', '[batch, heads, q_len, value_dim]'),
};
const axes = ['batch', 'head', 'row'] as const;

/** Tensors as pointers, and their strides in elements. */
export const tensorFields = (names: readonly TensorName[]): Field[] => [
  ...names.map((name) => tensors[name]),
  ...names.flatMap((name) => axes.map((axis): Field => ({ name: `${name}_${axis}`, type: 'i64' }))),
];

/** Their values. */
export function tensorArguments(names: readonly TensorName[], strides: CallFacts['strides']) {
  const args: Record<string, number> = {};
  const buffers: Record<string, Place> = {};
  for (const name of names) {
    buffers[name] = { buffer: name, offset: 0 };
    for (const axis of axes) args[`${name}_${axis}`] = strides[name][axis];
  }
  return { args, buffers };
}

/** What every kernel knows of rows and tiles of rows. */
export const rowFields: readonly Field[] = [
  address('lse', 'float*', '[batch, heads, q_len], natural'),
  address('error', 'u64*', 'the lowest (unit, row) that is not a number'),
  { name: 'lse_head', type: 'i64', comment: 'rows of one head' },
  { name: 'scale', type: 'f32', comment: '1 / sqrt(head_dim)' },
  { name: 'tiles', type: 'i32', comment: 'of queries, per unit' },
  { name: 'first_tile', type: 'i32', comment: 'query tiles count from the first position' },
];

/** Lists of columns and the number of pools, where there are passes of them. */
export function passFields(passes: readonly KernelPass[]): Field[] {
  return passes.flatMap(({ kind }): Field[] => {
    if (kind === 'tiles') return [];
    if (kind === 'rest') return [{ name: 'pools', type: 'i32' }];
    return [
      address('columns_list', 'const int*', '[units, capacity], ascending'),
      address('columns_count', 'const int*', '[units]'),
      { name: 'columns_capacity', type: 'i32' },
    ];
  });
}

/** The means that stand in for keys and values, as pointers. */
export const poolFields: readonly Field[] = [
  address('pool_k', 'const u16*', '[batch, kv_heads, pools, head_dim]'),
  address('pool_v', 'const u16*', '[batch, kv_heads, pools, value_dim]'),
];
