// explain(): what a call would visit, cost, keep and specialise, before running it. The sums and the
// words are dsl/plan/explain.ts's; here a call becomes plans.

import { isFixed, type ParameterValues } from '../dsl/given.ts';
import type { HeadPatterns } from '../dsl/heads.ts';
import type { AnyPattern } from '../dsl/pattern.ts';
import { explainText, type LaunchSummary, launchTurns } from '../dsl/plan/explain.ts';
import type { LaunchShape } from '../dsl/shape.ts';
import { partOf } from '../dsl/turns.ts';
import { bytesPerElement, type FloatType } from './dtype.ts';
import type { AttentionInputs } from './inputs.ts';
import type { AnySets, CallOptions } from './parts.ts';
import { type CallSizes, type PlannedCall, planCall } from './plans.ts';
import { inTurns, planningIn } from './turns.ts';

/** One distinct pattern of the call. */
export interface ExplainedPart {
  readonly pattern: string;
  readonly heads: readonly number[];
  /** Names of its compile-time constants. */
  readonly fixed: readonly string[];
  readonly launch: LaunchSummary;
}

/** Plain data for programs; `String(explanation)` is the text for people. */
export interface Explanation {
  readonly shape: LaunchShape;
  readonly dtype: FloatType;
  readonly parts: readonly ExplainedPart[];
  toString(): string;
}

export interface ExplainOptions extends CallOptions {
  /** Counts the allowed pairs too, pair by pair in partial tiles. */
  readonly exact?: boolean;
}

/**
 * Explains a call of a pattern (or one per head) on tensors, or on sizes alone where nothing has to be
 * estimated. Throws what the call itself would throw.
 */
export async function explain(
  pattern: AnyPattern | HeadPatterns,
  inputs: AttentionInputs<AnySets> | CallSizes,
  params: ParameterValues = {},
  options: ExplainOptions = {},
): Promise<Explanation> {
  return explainPlans(await planCall(pattern, inputs, params, options), options);
}

/** The explanation of plans that are already there. Rejects with the reason of a signal that ends it. */
export async function explainPlans(
  { shape, dtype, parts: planned }: PlannedCall,
  options: ExplainOptions & { readonly proveTiles?: number } = {},
): Promise<Explanation> {
  const rowBytes = (shape.headDim + shape.valueDim) * bytesPerElement[dtype];
  const parts: ExplainedPart[] = [];
  for (const { definition, heads, plans } of planned) {
    const { name, given } = definition;
    const fixed = Object.keys(given).filter((one) => isFixed(given[one]));
    const turns = launchTurns(plans, { ...options, rowBytes });
    const launch = await inTurns(partOf(turns, parts.length, planned.length), planningIn(options));
    parts.push({ pattern: name, heads, fixed, launch });
  }
  const text = () => parts.map((part) => explainText({ ...part, dtype })).join('\n\n');
  return { shape, dtype, parts, toString: text };
}
