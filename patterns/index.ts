// All built-in patterns, and the table by name that the command line uses. minference/ reads who has which.

import type { AnyPattern } from '../dsl/index.ts';
import { registerLifted } from '../dsl/lift/stored.ts';
import { aShape } from './a-shape.ts';
import { alibiSoftcap } from './alibi-softcap.ts';
import { blockSparse } from './block-sparse.ts';
import { causal } from './causal.ts';
import { dilated } from './dilated.ts';
import { documents } from './documents.ts';
import { flashPrefill } from './flash-prefill.ts';
import { flexPrefill } from './flex-prefill.ts';
import { lifted } from './lifted.ts';
import { fromMInference } from './minference/index.ts';
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
  fromMInference,
  nsaSelection,
  prefixLm,
  slidingWindow,
  triShape,
  verticalSlash,
  xAttention,
};

registerLifted(lifted);

const all: readonly AnyPattern[] = [
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
export const patterns: ReadonlyMap<string, AnyPattern> = new Map(all.map((one) => [one.name, one]));
