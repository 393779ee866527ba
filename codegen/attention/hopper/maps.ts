// The tensor maps of a Hopper kernel: how its copies see Q, K, V, the output and the means of stand-ins.

import type { BoxMap } from '../../kernel.ts';
import type { Field } from '../../struct.ts';
import type { KernelPass } from '../passes.ts';
import { visitKinds } from '../walk.ts';
import { slabsOf } from './knobs.ts';

const map = (name: string, comment: string): Field => ({
  name: `${name}_map`,
  type: 'map',
  comment,
});

/** The maps among the arguments. */
export const tensorMapFields = (passes: readonly KernelPass[], apart: boolean): Field[] => [
  map('q', 'boxes of the rows of a warpgroup'),
  map('k', 'a slot of rows'),
  map('v', 'a slot of rows'),
  map('out', 'boxes of the rows of a warpgroup'),
  ...(passes.some(({ kind }) => kind === 'columns')
    ? [
        map('columns_k', 'keys of the list of columns'),
        map('columns_v', 'values of the list of columns'),
      ]
    : []),
  ...(passes.some(({ kind }) => kind === 'rest')
    ? [map('pool_k', 'means of the keys of a pool'), map('pool_v', 'means of the values of a pool')]
    : []),
  ...(!apart ? [] : sourcesOf(passes).map((name) => map(`${name}_box`, 'one box of a slab'))),
];

/** Before the names of the keys and values that a pass takes its boxes from. */
export const sourceOf: Record<KernelPass['kind'], string> = {
  tiles: '',
  columns: 'columns_',
  rest: 'pool_',
};

/** Head and batch entry of a kind's rows in its map: columns are packed for each unit. */
export const placeOf = (kind: KernelPass['kind']): readonly [head: string, batch: string] =>
  kind === 'columns' ? ['task.index', '0'] : ['u.kv_head', 'u.batch'];

/** What differs by the kind of a piece: `what` tells it as the kernel runs, where there are several. */
export const byKind = (
  passes: readonly KernelPass[],
  what: string,
  of: (kind: KernelPass['kind']) => string,
): string =>
  passes
    .map(({ kind }, i) =>
      i === passes.length - 1
        ? of(kind)
        : `(${what} & PIECE_KIND) == ${visitKinds[kind]} ? ${of(kind)} : `,
    )
    .join('');

/** What the slots are filled from. */
export const sourcesOf = (passes: readonly KernelPass[]): readonly string[] =>
  passes.flatMap(({ kind }) => [`${sourceOf[kind]}k`, `${sourceOf[kind]}v`]);

/** A tensor [batch, heads, rows, dim] of 16-bit elements, and the rows and heads of a box. Strides in elements. */
export interface RowTensor {
  readonly dtype: 'fp16' | 'bf16';
  readonly batch: number;
  readonly heads: number;
  readonly rows: number;
  readonly dim: number;
  readonly strides: { readonly batch: number; readonly head: number; readonly row: number };
  readonly boxRows: number;
  /** 1 when left out. */
  readonly boxHeads?: number;
  /** One slab of 64 columns, not all of a row. */
  readonly slab?: boolean;
}

/**
 * Its map: columns within a slab of 64, rows, heads, slabs, batch: the rows of a box's heads follow each other in a
 * slab. A box is whole rows where slabs divide them, else a slab, whose columns beyond the tensor are zeros.
 */
export function rowMap(tensor: RowTensor): BoxMap {
  const { dtype, batch, heads, rows, dim, strides, boxRows, boxHeads = 1 } = tensor;
  const { slab = false } = tensor;
  const whole = dim % 64 === 0;
  const bytes = (elements: number): number => Math.max(16, elements * 2);
  return {
    type: dtype,
    sizes: [whole ? 64 : dim, rows, heads, whole ? dim / 64 : 1, batch],
    strides: [
      bytes(strides.row),
      bytes(strides.head),
      whole ? 128 : bytes(dim),
      bytes(strides.batch),
    ],
    box: [64, boxRows, boxHeads, whole && !slab ? slabsOf(dim) : 1, 1],
    swizzle: 128,
    promotion: 256,
  };
}
