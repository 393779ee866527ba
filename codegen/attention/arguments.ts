// The arguments of an attention kernel that no back-end changes: tensors, and what its passes read. Those of a
// unit are in codegen/unit.ts.

import type { Field } from '../struct.ts';
import type { KernelPass } from './passes.ts';

/** Tensors and their strides in elements; `lse` is [batch, heads, qLen]. */
export const tensorFields: readonly Field[] = [
  { name: 'q', type: 'address', pointer: 'const u16*', comment: '[batch, heads, q_len, head_dim]' },
  {
    name: 'k',
    type: 'address',
    pointer: 'const u16*',
    comment: '[batch, kv_heads, k_len, head_dim]',
  },
  {
    name: 'v',
    type: 'address',
    pointer: 'const u16*',
    comment: '[batch, kv_heads, k_len, value_dim]',
  },
  { name: 'out', type: 'address', pointer: 'u16*', comment: '[batch, heads, q_len, value_dim]' },
  { name: 'lse', type: 'address', pointer: 'float*', comment: '[batch, heads, q_len], natural' },
  {
    name: 'error',
    type: 'address',
    pointer: 'u64*',
    comment: 'the lowest (unit, row) that is not a number',
  },
  ...['q', 'k', 'v', 'out'].flatMap((tensor) =>
    ['batch', 'head', 'row'].map((axis): Field => ({ name: `${tensor}_${axis}`, type: 'i64' })),
  ),
  { name: 'lse_head', type: 'i64', comment: 'rows of one head' },
  { name: 'scale', type: 'f32', comment: '1 / sqrt(head_dim)' },
  { name: 'tiles', type: 'i32', comment: 'of queries, per unit' },
  { name: 'first_tile', type: 'i32', comment: 'query tiles count from the first position' },
];

/** What the passes of a kernel read beside K and V. */
export function passFields(passes: readonly KernelPass[]): Field[] {
  return passes.flatMap(({ kind }): Field[] => {
    if (kind === 'tiles') return [];
    if (kind === 'columns')
      return [
        {
          name: 'columns_list',
          type: 'address',
          pointer: 'const int*',
          comment: '[units, capacity], ascending',
        },
        { name: 'columns_count', type: 'address', pointer: 'const int*', comment: '[units]' },
        { name: 'columns_capacity', type: 'i32' },
      ];
    return [
      {
        name: 'pool_k',
        type: 'address',
        pointer: 'const u16*',
        comment: '[batch, kv_heads, pools, head_dim]',
      },
      {
        name: 'pool_v',
        type: 'address',
        pointer: 'const u16*',
        comment: '[batch, kv_heads, pools, value_dim]',
      },
      { name: 'pools', type: 'i32' },
    ];
  });
}
