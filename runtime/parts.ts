// The distinct patterns of a call, the heads of each, and the sets that each chooses: what attention,
// explanations and pictures start from.

import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ChosenSetsData } from '../dsl/chosen.ts';
import type { Definition } from '../dsl/definition.ts';
import { diagnostic, ShapeError } from '../dsl/diagnostic.ts';
import { type HeadPatterns, isHeadPatterns } from '../dsl/heads.ts';
import type { AnyPattern } from '../dsl/pattern.ts';
import { estimateSets } from './cpu/estimate/index.ts';
import { type CheckedGiven, type CheckedInputs, checkChosen, graphsPerHead } from './inputs.ts';
import { rowsNeeded } from './needed-rows.ts';

/** Scores and sums; picking members; making of them what attention walks; attention. */
export type Stage = 'estimate' | 'select' | 'convert' | 'attention';

/** What a call may be busy with for long. */
export type ProgressStep = 'estimate' | 'plan' | 'attention';

export interface CallOptions {
  /** Told now and then how far a step is, 0 .. 1; 'plan': proving and walking what is explained or drawn. */
  readonly onProgress?: ((share: number, step: ProgressStep) => void) | undefined;
  /** Told what a step took, where the device does one after the other: ms, of one part of a call. */
  readonly onTime?: ((stage: Stage, ms: number) => void) | undefined;
  /** Ends the call; it then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Sets of a call of one pattern, or a list with one entry per distinct pattern of `byHead`. */
export type AnySets = ChosenSetsData | readonly ChosenSetsData[];

/** One distinct pattern of a call and the query heads that it serves. */
export interface Part {
  readonly definition: Definition;
  readonly heads: readonly number[];
}

export function partsOf(pattern: AnyPattern | HeadPatterns, heads: number): Part[] {
  if (!isHeadPatterns(pattern))
    return [{ definition: pattern.definition, heads: Array.from({ length: heads }, (_, i) => i) }];
  if (pattern.byHead.length !== heads) {
    throw new ShapeError([
      diagnostic('S007', `byHead lists ${pattern.byHead.length} patterns for ${heads} heads`, {
        help: 'give one pattern per query head',
      }),
    ]);
  }
  const byDefinition = new Map<Definition, number[]>();
  for (const [head, { definition }] of pattern.byHead.entries()) {
    byDefinition.set(definition, [...(byDefinition.get(definition) ?? []), head]);
  }
  return [...byDefinition].map(([definition, list]) => ({ definition, heads: list }));
}

/** The passed sets of one part, checked; else those that its estimate chooses. */
export async function setsOf(
  { definition, heads }: Part,
  { q, k, shape }: CheckedInputs,
  { params }: CheckedGiven,
  passed: ChosenSetsData | undefined,
  { onProgress, onTime, signal }: CallOptions = {},
): Promise<ChosenSetsData> {
  const graphs = graphsPerHead(definition, params, shape);
  if (passed) {
    const needed = () => rowsNeeded(definition, graphs[0]!, params, shape, heads);
    checkChosen(definition.name, graphs[0]!, passed, shape, needed);
    return passed;
  }
  if (definition.estimates.length === 0) return {};
  const clock = onTime && { select: 0, convert: 0 };
  const start = performance.now();
  const sets = await estimateSets({
    clock,
    graphs,
    q,
    k,
    shape,
    only: heads.length === shape.heads ? undefined : heads,
    rows: rowsNeeded(definition, graphs[0]!, params, shape, heads),
    onProgress: onProgress && ((share) => onProgress(share, 'estimate')),
    yieldNow: async () => {
      await nextTurn();
      signal?.throwIfAborted();
    },
  });
  if (clock) {
    onTime('select', clock.select);
    onTime('convert', clock.convert);
    onTime('estimate', performance.now() - start - clock.select - clock.convert);
  }
  return sets;
}
