// How the text of an estimate's kernel is put together: primitives, marker, struct, entry point. And the
// fields that most of them share: heads, tensors and geometry.

import type { Grid, Line } from '../../dsl/estimate/axes.ts';
import type { LaunchShape } from '../../dsl/shape.ts';
import { devicePrimitives } from '../device.ts';
import type { Kernel } from '../kernel.ts';
import { type Field, type FieldValues, Struct } from '../struct.ts';

/** What a kernel with products needs before its own text: primitives, after all others, and functions. */
export interface ProductParts {
  readonly primitives: readonly string[];
  readonly functions: string;
}

export interface KernelParts {
  /** Its entry point: `estimate_scores_q_k`. */
  readonly name: string;
  /** What it does, one line of the banner each, with shapes. */
  readonly about: readonly string[];
  /** Files of codegen/device, in the order in which they use each other. */
  readonly primitives: readonly string[];
  /** What it multiplies tiles by. */
  readonly products?: ProductParts;
  readonly fields: readonly Field[];
  readonly threads: number;
  /** The most threads that the text allows, where the number depends on lengths; `threads`, when left out. */
  readonly mostThreads?: number;
  /** Blocks that have to fit a multiprocessor: how many registers a thread may take follows from it. */
  readonly blocks?: number;
  /** Dynamic shared memory, none when left out. */
  readonly sharedBytes?: number;
  /** The statements of the entry point; `p` is the argument. */
  readonly body: readonly string[];
}

export function kernelOf(parts: KernelParts): Kernel {
  const { name, about, primitives, products, fields, threads } = parts;
  const { mostThreads = threads, sharedBytes = 0 } = parts;
  const params = new Struct('Arguments', fields);
  const bounds = parts.blocks === undefined ? mostThreads : `${mostThreads}, ${parts.blocks}`;
  const source = [
    devicePrimitives(...primitives, ...(products?.primitives ?? [])),
    '// ---- kernel ----',
    ...(products?.functions ? [products.functions, ''] : []),
    ...about.map((line) => `// ${line}`),
    params.text,
    '',
    `extern "C" __global__ void __launch_bounds__(${bounds}) ${name}(const __grid_constant__ Arguments p) {`,
    ...parts.body.map((line) => (line === '' || line.startsWith('#') ? line : `  ${line}`)),
    '}',
    '',
  ].join('\n');
  return { name, source, threads, sharedBytes, params };
}

/** Threads that share a row of so many columns: few where there are many short rows, all where it is long. */
export const threadsOfRow = (columns: number): number =>
  columns <= 2 ** 11 ? fewThreadsOfRow : columns <= 2 ** 14 ? 256 : mostThreadsOfRow;

/** A warp alone, of at most 2048 columns. */
export const fewThreadsOfRow = 32;
export const mostThreadsOfRow = 1024;

/** An int32 argument; budgets without a limit become the largest one. */
export const toInt = (x: number): number => Math.min(x, 2 ** 31 - 1);

/** The statement `const Line <name> = ...` for a line whose size is part of the text. */
export const lineText = (name: string, prefix: string, size: number): string =>
  `const Line ${name} = {${size}, p.${prefix}_start, p.${prefix}_end};`;

export const lineFields = (prefix: string): Field[] => [
  { name: `${prefix}_start`, type: 'i32', comment: 'positions' },
  { name: `${prefix}_end`, type: 'i32' },
];

export const lineArguments = (prefix: string, { start, end }: Line): FieldValues => ({
  [`${prefix}_start`]: start,
  [`${prefix}_end`]: end,
});

/** Scores as they are computed, as `grid`; sizes and causality are part of the text. */
export const gridText = ({ rows, columns, causal }: Grid): string[] => [
  `const Grid grid = {{${rows.size}, p.row_start, p.row_end}, {${columns.size}, p.column_start, p.column_end}, ${causal}};`,
];

export const gridFields: readonly Field[] = [...lineFields('row'), ...lineFields('column')];

export const gridArguments = ({ rows, columns }: Grid): FieldValues => ({
  ...lineArguments('row', rows),
  ...lineArguments('column', columns),
});

/** Which heads a launch is for: `unit_from + blockIdx` is `batch * heads + head`. */
export const headFields: readonly Field[] = [
  { name: 'unit_from', type: 'i32', comment: 'the first batch * heads + head of the wave' },
  { name: 'heads', type: 'i32' },
  { name: 'kv_heads', type: 'i32' },
];

export const headArguments = (unitFrom: number, shape: LaunchShape): FieldValues => ({
  unit_from: unitFrom,
  heads: shape.heads,
  kv_heads: shape.kvHeads,
});

export const address = (name: string, pointer: string, comment?: string): Field => ({
  name,
  type: 'address',
  pointer,
  ...(comment === undefined ? {} : { comment }),
});
