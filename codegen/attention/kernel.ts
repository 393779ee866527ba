// The portable attention kernel of one pattern for one dtype and one pair of head dimensions.

import type { Declarations } from '../../dsl/declarations.ts';
import type { Expression } from '../../dsl/expression.ts';
import { devicePrimitives } from '../device.ts';
import type { Kernel } from '../kernel.ts';
import { namesOf } from '../names.ts';
import { type Field, Struct } from '../struct.ts';
import { Uniforms } from '../uniforms.ts';
import { unitFields, unitText } from '../unit.ts';
import {
  constantsText,
  copiesText,
  type KernelShape,
  mainText,
  productsText,
  scoresText,
} from './kernel-text.ts';
import { type KernelPass, passesOf, withFixed } from './passes.ts';
import { sharedBytes, type TileKnobs } from './tiles.ts';
import { walkText } from './walk.ts';

/** Everything that a kernel is made for. Lengths, batch, heads, strides and other parameters are arguments. */
export interface AttentionSpec {
  readonly declarations: Declarations;
  readonly mask: Expression;
  readonly score: Expression | undefined;
  /** Values of the fixed parameters. */
  readonly fixed: Readonly<Record<string, number>>;
  /** The set whose keys are gathered as columns. */
  readonly gather: string | undefined;
  /** Size of the pools of stand-ins. */
  readonly restSize: number | undefined;
  /** Sets that are one per KV head. */
  readonly perGroup: ReadonlySet<string>;
  readonly dtype: 'fp16' | 'bf16';
  readonly headDim: number;
  readonly valueDim: number;
  /** Packed sequences by cumulative lengths. */
  readonly segments: boolean;
  readonly knobs: TileKnobs;
}

/** An attention kernel, and what a launch of it has to prepare. */
export interface AttentionKernel {
  readonly kernel: Kernel;
  readonly knobs: TileKnobs;
  readonly passes: readonly KernelPass[];
}

export function attentionKernel(spec: AttentionSpec): AttentionKernel {
  const { dtype, headDim, valueDim, segments, knobs } = spec;
  const uniforms = new Uniforms();
  const mask = uniforms.ofMask(withFixed(spec.mask, spec.fixed));
  const score = spec.score && uniforms.ofScore(withFixed(spec.score, spec.fixed));
  const passes = passesOf(mask, spec.gather, spec.restSize);
  const names = namesOf(spec.declarations);
  const unit = { ...spec, names, uniforms: uniforms.all };
  const shape: KernelShape = { dtype, headDim, valueDim, knobs, segments };
  const params = new Struct('Arguments', [
    ...tensorFields,
    ...unitFields(unit),
    ...fieldsOf(passes),
  ]);
  const source = [
    devicePrimitives(
      'numbers',
      'integers',
      'floats',
      'async-copy',
      'matrix',
      'sets',
      'bounds',
      'tensors',
    ),
    '// ---- kernel ----',
    constantsText(shape, spec.restSize),
    params.text,
    unitText(unit),
    walkText(passes, names),
    copiesText(passes),
    scoresText(passes, score, names),
    productsText(shape),
    mainText(shape, passes, score !== undefined),
  ].join('\n\n');
  const kernel: Kernel = {
    name: 'attention',
    source,
    threads: knobs.warps * 32,
    sharedBytes: sharedBytes(knobs, headDim, valueDim),
    params,
  };
  return { kernel, knobs, passes };
}

/** Tensors and their strides in elements; \`lse\` is [batch, heads, qLen]. */
const tensorFields: readonly Field[] = [
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

function fieldsOf(passes: readonly KernelPass[]): Field[] {
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
