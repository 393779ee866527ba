// The portable back-end, for every chip from sm_80 on: cp.async copies, ldmatrix, mma.sync, one block a tile of
// queries. Source: FlashAttention-2 (Dao, 2023).

import type { AttentionBackend } from '../backend.ts';
import { elementsText } from '../elements.ts';
import { scoresText } from '../scores.ts';
import { softmaxText } from '../softmax.ts';
import { sharedBytes } from '../tiles.ts';
import { constantsText } from './constants.ts';
import { copiesText } from './copies.ts';
import { mainText } from './main.ts';
import { productsText } from './products.ts';

/** In the order in which a block runs them. */
const sections = [copiesText, elementsText, scoresText, productsText, softmaxText, mainText];

/** The back-end that every kernel has unless another is asked for. */
export const portable: AttentionBackend = {
  primitives: ['async-copy', 'matrix'],
  threads: ({ knobs }) => knobs.warps * 32,
  sharedBytes: ({ knobs, headDim, valueDim }) => sharedBytes(knobs, headDim, valueDim),
  constants: constantsText,
  body: (context) => sections.map((section) => section(context)).join('\n\n'),
};
