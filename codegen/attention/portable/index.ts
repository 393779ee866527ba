// The portable back-end, for every chip from sm_80 on: cp.async copies, ldmatrix, mma.sync, one block a tile of
// queries. Source: FlashAttention-2 (Dao, 2023).

import { passFields, poolFields, rowFields, tensorArguments, tensorFields } from '../arguments.ts';
import type { AttentionBackend, KernelContext } from '../backend.ts';
import { elementsText } from '../elements.ts';
import { askedWhole } from '../masks/index.ts';
import type { KernelPass } from '../passes.ts';
import { scoresText } from '../scores.ts';
import { softmaxText } from '../softmax.ts';
import { sharedBytes } from '../tiles.ts';
import { walkText } from '../walk.ts';
import { constantsText } from './constants.ts';
import { copiesText } from './copies.ts';
import { mainText } from './main.ts';
import { productsText } from './products.ts';

/** In the order in which a block runs them. */
const sections = [
  ({ passes }: KernelContext) => walkText(passes),
  copiesText,
  (context: KernelContext) => elementsText(context, askedWhole(context, 'rows')),
  (context: KernelContext) => scoresText(context),
  productsText,
  softmaxText,
  mainText,
];

/** The back-end that every kernel has unless another is asked for. */
const tensors = ['q', 'k', 'v', 'out'] as const;

export const portable: AttentionBackend = {
  primitives: ['shared', 'async-copy', 'matrix'],
  threads: ({ knobs }) => knobs.warps * 32,
  sharedBytes: ({ knobs, headDim, valueDim }) => sharedBytes(knobs, headDim, valueDim),
  fields: ({ passes }) => [
    ...tensorFields(tensors),
    ...rowFields,
    ...passFields(passes),
    ...(hasPools(passes) ? poolFields : []),
  ],
  constants: constantsText,
  body: (context) => sections.map((section) => section(context)).join('\n\n'),
  launch: ({ passes }, { call: { strides }, tiles, units }) => {
    const { args, buffers } = tensorArguments(tensors, strides);
    if (hasPools(passes))
      for (const name of ['pool_k', 'pool_v']) buffers[name] = { buffer: name, offset: 0 };
    return { blocks: tiles * units, args, buffers };
  },
};

const hasPools = (passes: readonly KernelPass[]): boolean =>
  passes.some(({ kind }) => kind === 'rest');
