// What the consumers of a kernel do and others do not, and the calls that depend on it.

import { type Expression, walk } from '../../../dsl/expression.ts';
import { when } from '../../text.ts';
import type { KernelContext } from '../backend.ts';
import { type HopperKnobs, isApart, pipelines, type SharedLayout } from './knobs.ts';
import { distancesOf } from './members.ts';
import { choosesBoxes, stepsDiffer } from './pairs.ts';
import { poolExponent } from './pools.ts';
import { judgesApart } from './stand-ins.ts';

export interface Traits {
  /** Slots have boxes, of which each warpgroup has those that it asks for. */
  readonly paired: boolean;
  /** The first Q K^T of a task is under way beside the last P V of the one before. */
  readonly pipelined: boolean;
  /** Another warp judges stand-ins. */
  readonly judged: boolean;
  /** Some keys are stand-ins. */
  readonly hasRest: boolean;
  /** Scores are exponents already, less what they are relative to where that is known before. */
  readonly relative: boolean;
  /** Scores have another way for small numbers, which steps that begin a task go without. */
  readonly small: boolean;
  /** What is added to the exponent of a stand-in for the keys that it is for, where the score does not. */
  readonly pool: number | undefined;
  /** Something is added to the exponents of a step: what is left of a bias, or what stand-ins count for. */
  readonly hasBase: boolean;
  /** A step is on one box or on two, where all others are on a slot. */
  readonly mixed: boolean;
  /** A warpgroup may work on other boxes of a slot than the first two. */
  readonly chooses: boolean;
  /** At the end of a run of members a box often lacks its first key alone. */
  readonly endsRuns: boolean;
  /** Somebody asks where the keys of each step are: of those that need no mask only stand-ins, and scores of a key. */
  readonly asksPlace: boolean;
}

export function traitsOf(context: KernelContext<HopperKnobs>, layout: SharedLayout): Traits {
  const { knobs, passes, score } = context;
  const hasRest = passes.some(({ kind }) => kind === 'rest');
  const pool = poolExponent(context);
  return {
    paired: isApart(knobs),
    pipelined: pipelines(knobs, layout),
    judged: judgesApart(context),
    hasRest,
    relative: score?.value !== undefined,
    small: score?.small !== undefined,
    pool,
    hasBase: score?.ramp !== undefined || pool !== undefined,
    mixed: stepsDiffer(context),
    chooses: choosesBoxes(context),
    endsRuns: distancesOf(context) !== undefined,
    asksPlace:
      hasRest || score?.ramp !== undefined || (score?.value !== undefined && asksKey(score.value)),
  };
}

const asksKey = (value: Expression): boolean =>
  [...walk(value)].some((part) => part.op === 'index' && part.name === 'k');

/** What tells how many boxes a function is for, of kernels where that differs. */
export const boxesArgument = ({ mixed }: Traits, boxes: string): string => when(mixed, boxes);

/** How many blocks of scores a step has, and the argument of what is for as many. */
export const stepBlocks = ({ mixed }: Traits): string =>
  mixed ? 'boxes.value * box_blocks' : 'score_blocks';
export const stepTemplate = (traits: Traits): string =>
  when(traits.mixed, `<${stepBlocks(traits)}>`);

/** Has every step something done to its products before a mask? */
export const hasScore = ({ relative, hasRest, hasBase, endsRuns }: Traits): boolean =>
  relative || hasRest || hasBase || endsRuns;

/** The P V of the step before. */
export const lastProduct = ({ mixed }: Traits): string =>
  mixed
    ? 'if (held == 2) multiply_p_v(Number<2>()); else multiply_p_v(Number<1>());'
    : 'multiply_p_v();';

/** The scores of blocks [from, to) become weights. */
export const weighCall = (
  { relative, hasBase }: Traits,
  from: string,
  to: string,
  indent: string,
): string =>
  `${indent}softmax.weigh<${from}, ${to}>(${relative ? '' : `scale, ${when(hasBase, 'base, ')}origin, `}s);\n`;

/** References follow the highest scores; did any? */
export const climbed = ({ hasBase }: Traits, blocks: string): string =>
  `softmax.climb${blocks}(scale, ${when(hasBase, 'base, ')}s)`;

/** The same, and weights are relative to them from here on. */
export const climbCall = (traits: Traits, blocks: string, indent: string): string =>
  `${climbed(traits, blocks)};\n${indent}softmax.${traits.relative ? `relate${blocks}({0.f, 0.f}, s)` : 'find_origins(origin)'};\n`;
