// The plans of a call that is looked at and not run: of its tensors, or of its sizes alone. What
// explain, draw and the reports of the command line see. No attention is computed here.

import type { ChosenSetsData } from '../dsl/chosen.ts';
import { type Definition, lifted } from '../dsl/definition.ts';
import { diagnostic, ShapeError } from '../dsl/diagnostic.ts';
import type { FallbackLimits } from '../dsl/estimate/limits.ts';
import type { ParameterValues } from '../dsl/given.ts';
import { type HeadPatterns, isHeadPatterns } from '../dsl/heads.ts';
import type { AnyPattern } from '../dsl/pattern.ts';
import type { UnitPlan } from '../dsl/plan/unit.ts';
import type { LaunchShape } from '../dsl/shape.ts';
import { checkPattern, checkTensorsOrSizes } from './arguments.ts';
import { Planner, unitsOfJob } from './cpu/job.ts';
import type { RowSource } from './cpu/rows.ts';
import type { FloatType } from './dtype.ts';
import { type AttentionInputs, checkAllInputs, passedSets } from './inputs.ts';
import { jobTurns } from './launch.ts';
import { type AnySets, type CallOptions, type Part, partsOf, setsOf } from './parts.ts';
import type { SegmentsInput } from './segments.ts';
import { type Tensor, tensor } from './tensor.ts';
import { inTurns, planningIn } from './turns.ts';

/** A call by its sizes, without q, k and v; captured tensors, and the sets of an estimate, are still needed. */
export interface CallSizes {
  readonly shape: LaunchShape;
  /** fp32 unless stated. */
  readonly dtype?: FloatType;
  readonly chosen?: AnySets | undefined;
  /** As in a call: the lengths of the shape are then those of all sequences, and its batch is 1. */
  readonly segments?: SegmentsInput | undefined;
  readonly [captured: string]:
    | Tensor
    | AnySets
    | LaunchShape
    | FloatType
    | SegmentsInput
    | undefined;
}

/** One distinct pattern of a call, planned for its heads. */
export interface PlannedPart {
  readonly definition: Definition;
  readonly heads: readonly number[];
  readonly sets: ChosenSetsData;
  /** One per batch entry and head of `heads`, batches outermost. */
  readonly plans: readonly UnitPlan[];
}

export interface PlannedCall {
  readonly shape: LaunchShape;
  readonly dtype: FloatType;
  readonly parts: readonly PlannedPart[];
  /** The sets of all parts, as a call takes them. */
  readonly chosen: AnySets;
}

const isSizes = (inputs: AttentionInputs<AnySets> | CallSizes): inputs is CallSizes =>
  !('q' in inputs);

/** A call, checked: what it is about, without any plan. */
export interface CheckedCall {
  readonly parts: readonly Part[];
  readonly inputs: ReturnType<typeof checkAllInputs>;
  readonly shape: LaunchShape;
  readonly dtype: FloatType;
  /** By part, which heads fall back where they choose too much. */
  readonly fallbacks?: readonly (FallbackLimits | undefined)[] | undefined;
}

/** Checks a call of tensors, or of sizes alone. Throws what `compile` and a call of it throw of inputs. */
export function checkCall(
  pattern: AnyPattern | HeadPatterns,
  inputs: AttentionInputs<AnySets> | CallSizes,
  params: ParameterValues | Readonly<Record<string, unknown>> = {},
): CheckedCall {
  checkPattern(pattern);
  checkTensorsOrSizes(inputs);
  const tensors = isSizes(inputs) ? standIns(inputs) : inputs;
  const heads = isSizes(inputs) ? inputs.shape.heads : (inputs.q.shape[1] ?? 0);
  const parts = partsOf(pattern, heads);
  for (const { definition } of parts) lifted(definition);
  const definitions = parts.map(({ definition }) => definition);
  const own = parts.map((part) => part.heads);
  const call = checkAllInputs(definitions, tensors, params, own);
  // Stand-ins have all sizes but the dimensions.
  const { headDim, valueDim } = isSizes(inputs) ? inputs.shape : call.shape;
  if (headDim === 0)
    throw new ShapeError([
      diagnostic('T002', 'the head dimension is 0', { help: 'give it from 1 on' }),
    ]);
  const shape = { ...call.shape, headDim, valueDim };
  return { parts, inputs: { ...call, shape }, shape, dtype: call.q.dtype as FloatType };
}

/**
 * Checks a call and plans all its units; an estimate runs where tensors are given without `chosen`.
 * Throws what `compile` and a call of it throw; ShapeError T011 for sizes alone and an estimate.
 */
export async function planCall(
  pattern: AnyPattern | HeadPatterns,
  inputs: AttentionInputs<AnySets> | CallSizes,
  params: ParameterValues | Readonly<Record<string, unknown>> = {},
  options: CallOptions = {},
): Promise<PlannedCall> {
  const { parts, inputs: call, shape, dtype } = checkCall(pattern, inputs, params);
  const { chosen } = inputs;
  const isPerHead = isHeadPatterns(pattern);
  const allPassed = passedSets(chosen, isPerHead, parts.length);
  const planned: PlannedPart[] = [];
  for (const [i, part] of parts.entries()) {
    const { definition, heads: headList } = part;
    const given = call.given[i]!;
    // Sizes alone have no keys to choose from: their sets are passed, or missing (T011).
    const passed = allPassed[i] ?? (isSizes(inputs) ? {} : undefined);
    const sets = await setsOf(part, call, given, passed, options);
    const start = performance.now();
    const rows = (dim: number): RowSource => ({ data: none, dtype, strides: [], dim });
    const [q, v] = [rows(shape.headDim), rows(shape.valueDim)];
    const buffers = { q, k: q, v, out: v, lse: rows(1) };
    const { segments } = call;
    const request = { definition, shape, given, sets, headList, buffers, segments };
    const job = await inTurns(jobTurns(request), planningIn(options));
    const planner = new Planner(job);
    const plans = Array.from({ length: unitsOfJob(job) }, (_, unit) => planner.plan(unit));
    options.onTime?.('convert', performance.now() - start);
    planned.push({ definition, heads: headList, sets, plans });
  }
  const sets = planned.map((part) => part.sets);
  return { shape, dtype, parts: planned, chosen: isPerHead ? sets : sets[0]! };
}

const none = new Float32Array(0);

/** Tensors of the call's sizes but one dimension, so that the usual checks run on any length. */
function standIns({ shape, dtype = 'fp32', ...captured }: CallSizes): AttentionInputs {
  const { batch, heads, kvHeads, qLen, kLen } = shape;
  const q = tensor.zeros([batch, heads, qLen, 1], { dtype });
  const k = tensor.zeros([batch, kvHeads, kLen, 1], { dtype });
  return { ...(captured as Readonly<Record<string, Tensor>>), q, k, v: k };
}
