// One call of one pattern over its heads, made ready: inputs checked, sets chosen, integers proved, and
// all of it as a job for the CPU device. A call of `byHead` has one launch per distinct pattern.

import { findOverflow } from '../dsl/analysis/overflow.ts';
import type { ChosenSetsData } from '../dsl/chosen.ts';
import { type Definition, lifted, restSize } from '../dsl/definition.ts';
import { type Diagnostic, PlanError, ShapeError, throwIfAny } from '../dsl/diagnostic.ts';
import { type Expression, rebuild } from '../dsl/expression.ts';
import { parametersOf } from '../dsl/given.ts';
import { proofTurns, statedFinding } from '../dsl/plan/coverage.ts';
import type { Spans } from '../dsl/plan/spans.ts';
import { boxOfTile, planUnit, statedSpans, type UnitPlan } from '../dsl/plan/unit.ts';
import { tileSizes } from '../dsl/schedule.ts';
import type { LaunchShape } from '../dsl/shape.ts';
import { partOf, type Turns } from '../dsl/turns.ts';
import type { Buffers } from './cpu/attention.ts';
import {
  Binder,
  type BindingParts,
  type CapturedParts,
  type Job,
  Planner,
  partsOfSets,
  unitsOfJob,
} from './cpu/job.ts';
import type { CheckedGiven } from './inputs.ts';
import type { Segments } from './segments.ts';
import type { Tensor } from './tensor.ts';

export interface LaunchRequest {
  readonly definition: Definition;
  readonly shape: LaunchShape;
  readonly given: CheckedGiven;
  readonly sets: ChosenSetsData;
  readonly headList: readonly number[];
  readonly buffers: Buffers;
  readonly segments?: Segments | undefined;
}

/** Spans hold the author's whole file; workers do not need it. */
const withoutSpans = (node: Expression): Expression =>
  rebuild(node, ({ span: _, ...rest }) => rest as Expression);

/**
 * The job of a launch, in turns: a stated schedule is proved for every query tile. Throws ShapeError T009 when an
 * integer may leave int32, PlanError S003 when a stated schedule does not do what the mask says.
 */
export function* jobTurns(request: LaunchRequest): Turns<Job> {
  const { definition, shape, given, sets, headList, buffers, segments } = request;
  const { mask, score } = lifted(definition);
  const { knobs } = definition;
  const numbers = parametersOf(given.params, headList[0] ?? 0);
  const job: Job = {
    shape,
    mask: withoutSpans(mask),
    score: score && withoutSpans(score),
    params: given.params,
    captured: capturedParts(given),
    sets: partsOfSets(sets),
    headList,
    ...tileSizes(knobs),
    order: knobs.order,
    gather: knobs.gather,
    restSize: restSize(definition, numbers),
    stated: undefined,
    buffers,
    segments,
  };
  proveIntegers(definition, job);
  return definition.visit ? { ...job, stated: yield* stateSpans(definition, job) } : job;
}

/** The captured tensors of a call, row-major. */
export const capturedParts = (given: CheckedGiven): Record<string, CapturedParts> =>
  Object.fromEntries(
    Object.entries(given.captured).map(([name, tensor]) => [name, partsOf(tensor)]),
  );

/** Copies in host memory of captured tensors that lie on a device. */
const copies = new WeakMap<Tensor, Tensor>();

/** Copies what is captured from the device, since proofs ask for its values; a promise only where it is not here. */
export function bringHome({ captured }: CheckedGiven): Promise<void> | undefined {
  const away = Object.values(captured).filter((one) => one.memory && !copies.has(one));
  if (away.length === 0) return undefined;
  return Promise.all(away.map(async (one) => copies.set(one, await one.host()))).then(() => {});
}

function partsOf(tensor: Tensor): CapturedParts {
  const kind = tensor.dtype === 'i32' ? 'int' : 'float';
  const data = (copies.get(tensor) ?? tensor).withLayout('bhsd').data as Int32Array | Float32Array;
  return { kind, shape: tensor.shape, data };
}

/** Proves that no integer of mask and score leaves int32 in these units. throws: ShapeError T009. */
export function proveIntegers(definition: Definition, job: BindingParts): void {
  const { mask, score } = lifted(definition);
  const planner = new Binder(job);
  const seen = new Set<string>();
  const findings: Diagnostic[] = [];
  for (let i = 0; i < unitsOfJob(job); i += 1) {
    const binding = planner.binding(i);
    // Heads differ in their numbers, packed sequences in their lengths; captured tensors are bounded whole where an index is a head.
    const key = JSON.stringify([
      binding.params,
      job.segments && [binding.shape.qLen, binding.shape.kLen, binding.unit.batch],
      Object.keys(job.captured).length > 0 && binding.unit,
    ]);
    if (seen.has(key)) continue;
    seen.add(key);
    for (const expression of score ? [mask, score] : [mask]) {
      const finding = findOverflow(definition.name, expression, binding);
      if (finding) findings.push(finding);
    }
    if (findings.length > 0) break;
  }
  throwIfAny(findings, ShapeError);
}

/** What the plans of stated schedules need beside bindings. */
type StatedPlan = Pick<Job, 'mask' | 'score' | 'qTile' | 'kTile' | 'order' | 'gather' | 'restSize'>;

/** The plan of unit `i` under the schedule that its author states, proved. throws: PlanError S003. */
function* statedPlan(
  definition: Definition,
  plan: StatedPlan,
  binder: Binder,
  i: number,
): Turns<UnitPlan> {
  const binding = binder.binding(i);
  const made = planUnit({ ...plan, binding, stated: statedSpans(definition.visit!, binding) });
  const finding = statedFinding(definition.name, yield* proofTurns(made));
  if (finding) throw new PlanError([finding]);
  return made;
}

/** Runs a stated schedule for every query tile of every unit, and proves it. */
function* stateSpans(definition: Definition, job: Job): Turns<Spans[][]> {
  const planner = new Planner(job);
  const units = unitsOfJob(job);
  const spans: Spans[][] = [];
  for (let i = 0; i < units; i += 1) {
    const plan = yield* partOf(statedPlan(definition, job, planner, i), i, units);
    const stated = statedSpans(definition.visit!, plan.binding);
    const own = Array.from({ length: plan.tiles }, (_, tile) => {
      const { q0, q1 } = boxOfTile(plan, tile);
      return stated(q0, q1);
    });
    spans.push(own);
  }
  return spans;
}

/**
 * The proof of a stated schedule where kernels do not need it: they find their keys by the mask. Sets that are
 * not known yet are left to the mask as well: undefined. It throws PlanError S003.
 */
export const proofOfStated = (
  definition: Definition,
  parts: BindingParts,
): Turns<void> | undefined =>
  definition.visit && Object.keys(parts.sets).length === 0
    ? provePlans(definition, parts)
    : undefined;

function* provePlans(definition: Definition, parts: BindingParts): Turns<void> {
  const { mask, score } = lifted(definition);
  const { order, gather } = definition.knobs;
  const plan = { mask, score, ...tileSizes(definition.knobs), order, gather, restSize: undefined };
  const binder = new Binder(parts);
  const units = unitsOfJob(parts);
  for (let i = 0; i < units; i += 1)
    yield* partOf(statedPlan(definition, plan, binder, i), i, units);
}
