// All built-in patterns, and the table by name that the command line uses.

import type { Pattern } from '../dsl/index.ts';
import { aShape } from './a-shape.ts';
import { alibiSoftcap } from './alibi-softcap.ts';
import { blockSparse } from './block-sparse.ts';
import { causal } from './causal.ts';
import { dilated } from './dilated.ts';
import { documents } from './documents.ts';
import { flashPrefill } from './flash-prefill.ts';
import { flexPrefill } from './flex-prefill.ts';
import { nsaSelection } from './nsa-selection.ts';
import { prefixLm } from './prefix-lm.ts';
import { slidingWindow } from './sliding-window.ts';
import { triShape } from './tri-shape.ts';
import { verticalSlash } from './vertical-slash.ts';
import { xAttention } from './x-attention.ts';

export {
  alibiSoftcap,
  aShape,
  blockSparse,
  causal,
  dilated,
  documents,
  flashPrefill,
  flexPrefill,
  nsaSelection,
  prefixLm,
  slidingWindow,
  triShape,
  verticalSlash,
  xAttention,
};

const all = [
  causal,
  slidingWindow,
  aShape,
  triShape,
  dilated,
  prefixLm,
  documents,
  alibiSoftcap,
  verticalSlash,
  blockSparse,
  xAttention,
  flexPrefill,
  flashPrefill,
  nsaSelection,
];

/** Every built-in pattern by its name. */
export const patterns: ReadonlyMap<string, Pattern> = new Map(
  all.map((one) => [one.name, one as unknown as Pattern]),
);
