// One call performed for a report: the sets first, then attention on them, each stage with its time.

import type { ChosenSetsData } from '../../dsl/chosen.ts';
import { isHeadPatterns } from '../../dsl/heads.ts';
import type { Pattern } from '../../dsl/pattern.ts';
import { type AttendResult, compile } from '../attend.ts';
import type { GpuDevice } from '../cuda/device.ts';
import { Gpu } from '../cuda/gpu.ts';
import { readChosen } from '../cuda/sets.ts';
import type { Device } from '../device.ts';
import { type Explanation, explainPlans } from '../explain.ts';
import { fallbackLimits, openHeads } from '../fallback.ts';
import { type Fallback, type HullSplit, splitHulls } from '../hulls.ts';
import type { AttentionInputs } from '../inputs.ts';
import type { AnySets, Stage } from '../parts.ts';
import { type CheckedCall, checkCall, type PlannedCall, planCall } from '../plans.ts';
import { timeOn, uploaded } from './devices.ts';
import { isQuicklyPlanned } from './inputs.ts';
import { type ChoiceData, choicesOf, runningAs } from './kernels.ts';
import type { Values } from './parameters.ts';
import type { Target } from './target.ts';
import type { Context } from './verb.ts';

/** Milliseconds by stage; those that the device cannot tell apart are missing. */
export type StageTimes = Readonly<Partial<Record<Stage, number>>>;

export interface Made {
  readonly planned: Pick<PlannedCall, 'shape' | 'dtype' | 'chosen'>;
  /** Undefined where planning on the host would take longer than anybody waits. */
  readonly plans: Explanation | undefined;
  /** How the attention kernels are made, one for each distinct pattern; on a GPU. */
  readonly kernels?: readonly ChoiceData[];
  readonly result: AttendResult<AnySets>;
  /** The tensors where the device has them. */
  readonly there: AttentionInputs;
  /** The estimate, on the CPU with the plans, and attention. */
  readonly ms: { readonly estimate: number; readonly attention: number; readonly device?: number };
  readonly stages: StageTimes | undefined;
  /** `batch * heads + head` of those that attend to all that their mask could allow. */
  readonly dense: {
    /** They choose nothing. */
    readonly before: readonly number[];
    /** What they chose would cost as much as dense attention. */
    readonly after: readonly number[];
  };
  /** Query heads of which scores decide how much they choose: what they cost is known after that. */
  readonly open: readonly number[];
}

/** A call that was made, but for what is known of it before. */
type Making = Omit<Made, 'open'>;

export interface Request {
  readonly target: Target;
  readonly inputs: AttentionInputs;
  readonly params: Values;
  readonly device: Device;
  readonly context: Context;
  /** What heads do whose keys would cost more to choose; nothing special unless stated. */
  readonly fallback?: Fallback | undefined;
}

/** Performs a call on its device. */
export async function performCall(request: Request): Promise<Made> {
  const { target, inputs, params, device, fallback } = request;
  const call = checkCall(target.pattern, inputs, params);
  // Sets that are passed are asked, whatever is in them.
  const split = inputs.chosen ? undefined : splitHulls(call.parts, call.inputs, fallback ?? 'none');
  const running = split ? runningAs(call, split) : call;
  const fallbacks =
    fallback === 'dense' && !inputs.chosen && !call.inputs.segments
      ? running.parts.map((part, i) => fallbackLimits(part, running.inputs.given[i]!, call.shape))
      : [];
  const open = call.parts.flatMap((part, i) => openHeads(part, call.inputs.given[i]!, call.shape));
  const made =
    split || fallbacks.some(Boolean)
      ? attendWhole(request, { call, split, running: { ...running, fallbacks } })
      : device.kind === 'cpu'
        ? attendTo(request)
        : attendOn(request, device);
  return { ...(await made), open };
}

interface Whole {
  readonly call: CheckedCall;
  readonly split: HullSplit | undefined;
  /** The parts that run in place of the pattern's. */
  readonly running: CheckedCall;
}

/** Which heads attend to the hull of their mask, by the sets that they had. */
function denseUnits({ call, split, running }: Whole, chosen: AnySets): Made['dense'] {
  const { batch, heads, kvHeads } = call.shape;
  const before = new Set(split?.heads);
  const mayFall = new Set(running.fallbacks?.flatMap((one) => [...(one?.heads.keys() ?? [])]));
  const setsOf = (head: number): ChosenSetsData => {
    const i = call.parts.findIndex((part) => part.heads.includes(head));
    return [chosen].flat()[i]!;
  };
  const isFull = (unit: number): boolean =>
    Object.values(setsOf(unit % heads)).every(
      ({ dense, perGroup }) => dense[perGroup ? Math.floor(unit / (heads / kvHeads)) : unit],
    );
  const units = Array.from({ length: batch * heads }, (_, unit) => unit);
  return {
    before: units.filter((unit) => before.has(unit % heads)),
    after: units.filter((unit) => mayFall.has(unit % heads) && isFull(unit)),
  };
}

const noneDense = { before: [], after: [] } as const;

/** In one step, as there is no estimate for all heads: what a head has for a set is known only afterwards. */
async function attendWhole(request: Request, whole: Whole): Promise<Making> {
  const { call, running } = whole;
  const { target, inputs, params, device, context, fallback } = request;
  const { pattern } = target;
  const { shape, dtype } = call;
  const options = { ...shape, dtype, device, ...(fallback && { fallback }) };
  const attend = await compile(pattern as Pattern, options);
  const there = device.kind === 'cpu' ? inputs : await uploaded(inputs, device);
  const spent: Partial<Record<Stage, number>> = {};
  const onTime = (stage: Stage, ms: number) => {
    spent[stage] = (spent[stage] ?? 0) + ms;
  };
  const work = () => attend(there, params, { onTime, signal: context.signal });
  if (device.kind === 'cuda') for (const tensor of tensorsOf(await work())) tensor.dispose();
  const { value, hostMs, deviceMs } = await timeOn(device, work);
  const chosen = value.chosen as AnySets;
  for (const sets of [chosen].flat()) await readChosen(sets);
  const planned = { shape, dtype, chosen };
  const plans = isQuicklyPlanned(target.definitions, shape)
    ? await explained(await planCall(pattern, { ...inputs, chosen }, params), context)
    : undefined;
  const before = Object.values(spent).reduce((sum, one) => sum + one, 0);
  const ms = {
    estimate: before,
    attention: hostMs - before,
    ...(deviceMs !== undefined && { device: deviceMs }),
  };
  const stages =
    device.kind === 'cpu' ? { ...spent, attention: ms.attention } : await stagesOn(device, work);
  const kernels = device.kind === 'cuda' ? await choicesOf(running, device.machine) : undefined;
  const dense = denseUnits(whole, chosen);
  const made = { planned, plans, result: value, there, ms, stages, dense };
  return { ...made, ...(kernels && { kernels }) };
}

/** What the plans of a call visit; nothing of it is proved once more. */
async function explained(
  planned: PlannedCall,
  { terminal, signal }: Context,
): Promise<Explanation> {
  const progress = terminal.callProgress();
  const options = { onProgress: progress.update, signal, proveTiles: 0 };
  const explanation = await explainPlans(planned, options);
  progress.done();
  return explanation;
}

const tensorsOf = ({ out, lse }: AttendResult<unknown>) => [out, lse];

/** The sets first, then attention on them, so that each has its own time and the plans are those that ran. */
async function attendTo({ target, inputs, params, device, context }: Request): Promise<Making> {
  const { terminal, signal } = context;
  const start = performance.now();
  const estimating = terminal.progress('estimating');
  const stages: Partial<Record<Stage, number>> = {};
  const onTime = (stage: Stage, ms: number) => {
    stages[stage] = (stages[stage] ?? 0) + ms;
  };
  const options = { onProgress: estimating.update, onTime, signal };
  const planned = await planCall(target.pattern, inputs, params, options);
  estimating.done();
  const { heads, kvHeads, headDim, valueDim } = planned.shape;
  const { dtype } = planned;
  const attend = await compile(target.pattern as Pattern, {
    heads,
    kvHeads,
    headDim,
    valueDim,
    dtype,
    device,
  });
  const middle = performance.now();
  const attending = terminal.progress('attending');
  const call = { onProgress: attending.update, signal };
  const result = await attend(
    { ...inputs, chosen: planned.chosen as ChosenSetsData },
    params,
    call,
  );
  attending.done();
  const ms = { estimate: middle - start, attention: performance.now() - middle };
  onTime('attention', ms.attention);
  const plans = await explained(planned, context);
  return { planned, plans, result, there: inputs, ms, stages, dense: noneDense };
}

/** Everything on a device that is not the CPU: tensors brought over once, sets chosen there, times there. */
async function attendOn(request: Request, device: GpuDevice): Promise<Making> {
  const { target, inputs, params, context } = request;
  const { pattern } = target;
  const { shape, dtype } = checkCall(pattern, inputs, params);
  const attend = await compile(pattern as Pattern, { ...shape, dtype, device });
  const there = await uploaded(inputs, device);
  const call = { signal: context.signal };
  // Of a pattern without an estimate too: they are none.
  let chosen: AnySets = isHeadPatterns(pattern) ? target.definitions.map(() => ({})) : {};
  let estimate = 0;
  if (inputs.chosen) {
    chosen = inputs.chosen;
  } else if (target.definitions.some(({ estimates }) => estimates.length > 0)) {
    // Once to compile: what a call costs is what the next one takes.
    if (device.kind === 'cuda') await attend.estimate(there, params, call);
    const timed = await timeOn(device, () => attend.estimate(there, params, call));
    chosen = timed.value as AnySets;
    estimate = timed.hostMs;
  }
  const given = { ...there, chosen: chosen as ChosenSetsData };
  if (device.kind === 'cuda') {
    for (const tensor of tensorsOf(await attend(given, params, call))) tensor.dispose();
  }
  const { value, hostMs, deviceMs } = await timeOn(device, () => attend(given, params, call));
  const planned = { shape, dtype, chosen };
  const plans = isQuicklyPlanned(target.definitions, shape)
    ? await explained(await planCall(pattern, { ...inputs, chosen }, params), context)
    : undefined;
  const ms = { estimate, attention: hostMs, ...(deviceMs !== undefined && { device: deviceMs }) };
  const kernels =
    device.kind === 'cuda'
      ? await choicesOf(checkCall(pattern, inputs, params), device.machine)
      : undefined;
  const own = inputs.chosen && { chosen };
  const stages = await stagesOn(device, () => attend({ ...there, ...own } as never, params, call));
  return {
    planned,
    plans,
    ...(kernels && { kernels }),
    result: value,
    there,
    ms,
    stages,
    dense: noneDense,
  };
}

/** What a kernel of a call is for, by its name. */
export function stageOf(kernel: string): Stage {
  if (kernel.startsWith('attention')) return 'attention';
  if (!kernel.startsWith('estimate')) return 'convert';
  if (/^estimate_(topk|above|cover|fill)/.test(kernel)) return 'select';
  return /^estimate_(dilate|verdict|choice|count|fallback|full)/.test(kernel)
    ? 'convert'
    : 'estimate';
}

/** Each stage of a call by the clock of a GPU, step by step; undefined where there is none. */
async function stagesOn(
  { machine }: GpuDevice,
  call: () => Promise<AttendResult<unknown>>,
): Promise<StageTimes | undefined> {
  if (!(machine instanceof Gpu)) return undefined;
  const steps = await machine.timeSteps(async () => {
    for (const tensor of tensorsOf(await call())) tensor.dispose();
  });
  const times: Partial<Record<Stage, number>> = {};
  let before = 0;
  for (const { name, ms } of steps) {
    // Memory is filled for the kernel after it.
    if (name === 'fill') {
      before += ms;
      continue;
    }
    const stage = stageOf(name);
    times[stage] = (times[stage] ?? 0) + ms + before;
    before = 0;
  }
  return times;
}
