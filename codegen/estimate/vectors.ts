// The vectors whose products are scores: which ones a graph asks for, how a kernel reads them, and the
// kernel that makes pools. Device side: device/estimate-rows.cuh, device/estimate-pools.cuh.

import { gridOf, type Line } from '../../dsl/estimate/axes.ts';
import type { ScoreNode, VectorNode } from '../../dsl/estimate/node.ts';
import { type LaunchShape, queryOffset } from '../../dsl/shape.ts';
import type { Kernel } from '../kernel.ts';
import type { Field, FieldValues } from '../struct.ts';
import { address, headFields, kernelOf, lineFields, lineText } from './text.ts';

export type HalfType = 'fp16' | 'bf16';
/** Elements from one batch entry, head and row to the next. */
export type Strides = readonly [batch: number, head: number, row: number];

/** One factor of the scores. */
export interface Side {
  readonly tensor: 'q' | 'k';
  readonly form: 'tokens' | 'cells' | 'pool';
  /** Of a pool. */
  readonly how: 'mean' | 'max';
  /** Its members. */
  readonly line: Line;
  /** What it is called in the names of kernels: `k`, `kpool64`. */
  readonly label: string;
}

export interface Factors {
  readonly rows: Side;
  readonly columns: Side;
  /** Elements of one vector. */
  readonly width: number;
  /** What products are multiplied with. */
  readonly scale: number;
}

export function factorsOf(node: ScoreNode, shape: LaunchShape): Factors {
  let scores = node;
  while (scores.op === 'causal') scores = scores.of;
  const { rows, columns } = gridOf(scores, shape);
  if (scores.op === 'dot') {
    return {
      rows: sideOf(scores.left, rows),
      columns: sideOf(scores.right, columns),
      width: shape.headDim,
      scale: 1 / Math.sqrt(shape.headDim),
    };
  }
  const { stride } = scores;
  const cells = (tensor: 'q' | 'k', own: Line): Side => {
    return { tensor, form: 'cells', how: 'mean', line: own, label: `${tensor}cells${stride}` };
  };
  return {
    rows: cells('q', rows),
    columns: cells('k', columns),
    width: stride * shape.headDim,
    scale: 1 / (Math.sqrt(shape.headDim) * stride),
  };
}

function sideOf(node: VectorNode, own: Line): Side {
  let inner = node;
  while (inner.op !== 'input') inner = inner.of;
  const tensor = inner.of;
  if (node.op !== 'pool') {
    return { tensor, form: 'tokens', how: 'mean', line: own, label: tensor };
  }
  const label = `${tensor}${node.how === 'mean' ? 'pool' : 'peak'}${node.size}`;
  return { tensor, form: 'pool', how: node.how, line: own, label };
}

/** The fields of an input tensor. */
export const tensorFields = (tensor: 'q' | 'k'): Field[] => [
  address(tensor, 'const u16*', '[batch, heads, rows, dim], strides in elements'),
  { name: `${tensor}_batch`, type: 'i64' },
  { name: `${tensor}_head`, type: 'i64' },
  { name: `${tensor}_row`, type: 'i64' },
  { name: `${tensor}_offset`, type: 'i32', comment: 'the position of row 0' },
];

export const tensorArguments = (
  tensor: 'q' | 'k',
  [batch, head, row]: Strides,
  shape: LaunchShape,
): FieldValues => ({
  [`${tensor}_batch`]: batch,
  [`${tensor}_head`]: head,
  [`${tensor}_row`]: row,
  [`${tensor}_offset`]: tensor === 'q' ? queryOffset(shape) : 0,
});

/** An expression for the tokens of a head of a batch entry. */
export const rowsText = (tensor: 'q' | 'k', head: string, batch = 'batch'): string =>
  `TokenRows{p.${tensor} + ${batch} * p.${tensor}_batch + (${head}) * p.${tensor}_head, p.${tensor}_row, p.${tensor}_offset}`;

/** The same of the head `head` (a `Head`). */
export const tokensText = (tensor: 'q' | 'k'): string =>
  rowsText(tensor, tensor === 'q' ? 'head.head' : 'head.kv_head', 'head.batch');

/** How a kernel of scores reads one side, as the statement that declares `<name>`. */
export function vectorsText(
  name: 'left' | 'right',
  { tensor, form, line: own }: Side,
  shape: LaunchShape,
): string[] {
  if (form === 'pool') {
    const unit = tensor === 'q' ? 'blockIdx.z' : '(head.group - p.group_from)';
    return [
      `const PooledRows<${shape.headDim}> ${name} = {p.${name} + (i64)${unit} * p.${name}_members * ${shape.headDim}, p.${name}_from};`,
    ];
  }
  const tokens = tokensText(tensor);
  if (form === 'tokens') return [`const auto ${name} = ${tokens};`];
  const kind = `CellRows<${own.size}, ${shape.headDim}, ${tensor === 'q'}>`;
  const positions = `{1, p.${name}_start, p.${name}_end}`;
  return [`const ${kind} ${name} = {${tokens}, ${positions}};`];
}

/** The fields of one side but for its tensor. */
export function vectorsFields(name: 'left' | 'right', { form, tensor }: Side): Field[] {
  if (form === 'cells') return lineFields(name);
  if (form === 'tokens') return [];
  return [
    address(
      name,
      'const u16*',
      `[${tensor === 'q' ? 'query heads' : 'KV heads'}, members, dim] of the wave`,
    ),
    { name: `${name}_members`, type: 'i32' },
    { name: `${name}_from`, type: 'i32', comment: 'the first member' },
  ];
}

/** Threads of the kernel of pools. */
const poolThreads = 256;

/**
 * Makes pools of one tensor.
 * grid: [members, units], a unit being a query head for q and a KV head for k.
 */
export function poolKernel(side: Side, shape: LaunchShape, dtype: HalfType): Kernel {
  const { tensor, how } = side;
  const dim = shape.headDim;
  const size = side.line.size;
  const isMean = how === 'mean';
  return kernelOf({
    name: `estimate_${side.label}`,
    about: [
      `The ${isMean ? 'means' : 'maxima'} of blocks of ${size} rows of ${tensor}: [batch, heads, rows, ${dim}] to [units, members, ${dim}],`,
      `in ${dtype} like the tensor. A part of a block counts as what is there.`,
    ],
    primitives: ['numbers', 'estimate-lines', 'estimate-rows', 'estimate-pools'],
    fields: [
      ...tensorFields(tensor),
      ...headFields,
      ...lineFields('row'),
      { name: 'from', type: 'i32', comment: 'the first member' },
      address('pools', 'u16*'),
    ],
    threads: poolThreads,
    blocks: 4,
    body: [
      `__shared__ PoolShared<${dim}> shared;`,
      ...(tensor === 'q'
        ? ['const Head head = head_of(p.unit_from + blockIdx.y, p.heads, p.kv_heads);']
        : [
            'const int group = p.unit_from / (p.heads / p.kv_heads) + blockIdx.y;',
            'const Head head = {group / p.kv_heads, 0, group % p.kv_heads, group};',
          ]),
      `const auto tokens = ${tokensText(tensor)};`,
      lineText('blocks', 'row', size),
      'const int block = p.from + blockIdx.x;',
      'const int first = first_position(blocks, block), last = last_position(blocks, block);',
      `u16* pool = p.pools + ((i64)blockIdx.y * gridDim.x + blockIdx.x) * ${dim};`,
      `pool_rows<${dtype === 'bf16'}, ${isMean}>(shared, tokens, first, last, pool);`,
    ],
  });
}

/** Bytes of the pools of one unit, for so many members. */
export const poolBytes = (members: number, shape: LaunchShape): number =>
  2 * members * shape.headDim;
