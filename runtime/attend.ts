// compile(): a pattern and its dimensions become a function from tensors to tensors.

import type { Choice } from '../codegen/attention/choice.ts';
import type { ChosenSetsData } from '../dsl/chosen.ts';
import { lifted } from '../dsl/definition.ts';
import {
  DeviceError,
  type Diagnostic,
  diagnostic,
  ShapeError,
  throwIfAny,
} from '../dsl/diagnostic.ts';
import type { ChosenSets } from '../dsl/estimate/values.ts';
import type { Given, ParameterValues } from '../dsl/given.ts';
import { type HeadPatterns, isHeadPatterns } from '../dsl/heads.ts';
import type { AnyPattern, Pattern } from '../dsl/pattern.ts';
import { checkCallArguments, checkCompileOptions, checkPattern } from './arguments.ts';
import type { BackendCall } from './backend.ts';
import { type Device, openDevice } from './device.ts';
import type { FloatType } from './dtype.ts';
import { fallbackLimits } from './fallback.ts';
import { type Fallback, type HullSplit, splitHulls } from './hulls.ts';
import { type AttentionInputs, type CheckedInputs, checkAllInputs, passedSets } from './inputs.ts';
import { CallKinds, type CheckedCall } from './kinds.ts';
import { type AnySets, type CallOptions, type Part, partsOf } from './parts.ts';
import type { FloatTensor } from './tensor.ts';

export interface CompileOptions {
  /** Query heads, KV heads (default: as many), and the dimensions of a head. */
  readonly heads: number;
  readonly kvHeads?: number;
  readonly headDim: number;
  /** Dimension of V; default: `headDim`. */
  readonly valueDim?: number;
  readonly dtype: FloatType;
  /**
   * 'dense': heads that are predicted to cost no less than dense attention attend to the hull of their mask, all sets
   * full; `chosen` then says so. Predicted from numbers and lengths where budgets are numbers of members, and nothing is
   * chosen then; from what was chosen, on the device, where scores decide how much that is. Default: 'none'.
   */
  readonly fallback?: Fallback;
  /** Default: the best device there is, opened for this function and disposed with it. */
  readonly device?: Device;
  /** @internal The attention kernel to take, whatever is best: for tuning. */
  readonly choice?: Choice;
}

export interface AttendResult<Sets = ChosenSetsData> {
  /** Shape [batch, heads, qLen, valueDim], in the dtype and layout of q; 0 for rows without a key. */
  readonly out: FloatTensor;
  /** Natural-log sum of the exponentials of each row's logits, fp32, shape [batch, heads, qLen]; -Infinity for rows without a key. */
  readonly lse: FloatTensor;
  /**
   * The sets that were used; with `byHead` a list, one entry per distinct pattern in the order of first appearance.
   * What a device estimated goes with the last of `out` and `lse` unless it was taken from here before: asking after
   * both were disposed of throws DeviceError R003.
   */
  readonly chosen: Sets;
}

/** A compiled pattern. */
export interface Attend<G extends Given = Given, Sets = ChosenSetsData> {
  (
    inputs: AttentionInputs<Sets>,
    params?: ParameterValues<G>,
    options?: CallOptions,
  ): Promise<AttendResult<Sets>>;
  /** The chosen sets alone: to inspect, keep, or pass back as `chosen`. */
  estimate(
    inputs: AttentionInputs<Sets>,
    params?: ParameterValues<G>,
    options?: CallOptions,
  ): Promise<Sets>;
  readonly device: Device;
  /** Refuses further calls; a device that this function opened itself is closed. */
  dispose(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Compiles a pattern (or one per head) for these dimensions. Throws LiftError or PlanError with all that
 * is wrong with the pattern, ShapeError for heads, dimensions and a dtype that no call could have, DeviceError where the device
 * has no kernel for it (R013) or cannot make it, and for options that are not understood (R005).
 */
export async function compile<G extends Given, S extends ChosenSets>(
  pattern: Pattern<G, S>,
  options: CompileOptions,
): Promise<Attend<G>>;
export async function compile(
  pattern: HeadPatterns,
  options: CompileOptions,
): Promise<Attend<Given, readonly ChosenSetsData[]>>;
export async function compile(pattern: AnyPattern, options: CompileOptions): Promise<Attend>;
export async function compile(
  pattern: AnyPattern | HeadPatterns,
  options: CompileOptions,
): Promise<unknown> {
  checkPattern(pattern);
  checkCompileOptions(options);
  options.device?.check();
  const parts = partsOf(pattern, options.heads);
  for (const { definition } of parts) lifted(definition);
  const { heads, kvHeads = heads, headDim, valueDim = headDim, dtype, choice } = options;
  const device = options.device ?? (await openDevice());
  try {
    await device.backend.prepare(parts, { heads, kvHeads, headDim, valueDim, dtype, choice });
  } catch (error) {
    if (!options.device) await device.dispose();
    throw error;
  }
  const compiled = new Compiled(parts, isHeadPatterns(pattern), options, device);
  const dispose = async () => {
    compiled.disposed = true;
    if (!options.device) await device.dispose();
  };
  const attend = (inputs: AnyInputs, params?: AnyParams, call?: CallOptions) =>
    compiled.attend(inputs, params, call);
  return Object.assign(attend, {
    estimate: (inputs: AnyInputs, params?: AnyParams, call?: CallOptions) =>
      compiled.estimate(inputs, params, call),
    device,
    dispose,
    [Symbol.asyncDispose]: dispose,
  });
}

type AnyInputs = AttentionInputs<AnySets>;
type AnyParams = Readonly<Record<string, unknown>>;

/** What a compiled pattern keeps between calls, and the steps of a call. */
class Compiled {
  readonly #parts: readonly Part[];
  readonly #isPerHead: boolean;
  readonly #options: CompileOptions;
  readonly #device: Device;
  readonly #kinds = new CallKinds();
  readonly #splits = new WeakMap<object, HullSplit | undefined>();
  readonly #limits = new WeakMap<object, BackendCall['fallbacks']>();
  disposed = false;

  constructor(parts: readonly Part[], isPerHead: boolean, options: CompileOptions, device: Device) {
    this.#parts = parts;
    this.#isPerHead = isPerHead;
    this.#options = options;
    this.#device = device;
  }

  async estimate(
    inputs: AnyInputs,
    params: AnyParams = {},
    options: CallOptions = {},
  ): Promise<AnySets> {
    const chosen = await this.#device.backend.estimate(this.#call(inputs, params, options));
    return this.#isPerHead ? chosen : chosen[0]!;
  }

  async attend(
    inputs: AnyInputs,
    params: AnyParams = {},
    options: CallOptions = {},
  ): Promise<AttendResult<AnySets>> {
    const call = this.#call(inputs, params, options);
    const split = inputs.chosen === undefined ? this.#split(call) : undefined;
    const running = split ? split.call(call) : call;
    const fallbacks = this.#fallbacks(running);
    const result = await this.#device.backend.attend({ ...running, fallbacks });
    const isPerHead = this.#isPerHead;
    let sets: AnySets | undefined;
    return {
      out: result.out as FloatTensor,
      lse: result.lse as FloatTensor,
      get chosen() {
        if (sets === undefined) {
          const chosen = split ? split.chosen(call, result.chosen()) : result.chosen();
          sets = isPerHead ? chosen : chosen[0]!;
        }
        return sets;
      },
    };
  }

  #call(inputs: AnyInputs, params: AnyParams, options: CallOptions): BackendCall {
    this.#checkUsable();
    checkCallArguments(inputs, params, options);
    const { kind, call } = this.#kinds.take(inputs, params, () => this.#check(inputs, params));
    const passed = passedSets(inputs.chosen, this.#isPerHead, this.#parts.length);
    const { choice } = this.#options;
    return { kind, parts: this.#parts, checked: call, given: call.given, passed, options, choice };
  }

  /** Decided once for all calls of a kind; a kernel that is stated is one for the mask with its sets. */
  #split({ kind, parts, checked, given, choice }: BackendCall): HullSplit | undefined {
    if (choice) return undefined;
    if (!this.#splits.has(kind)) {
      const { shape, segments } = checked;
      const { fallback = 'none' } = this.#options;
      this.#splits.set(kind, splitHulls(parts, { shape, given, segments }, fallback));
    }
    return this.#splits.get(kind);
  }

  /** Decided once for all calls of a kind, too. */
  #fallbacks({
    kind,
    parts,
    checked,
    given,
    passed,
    choice,
  }: BackendCall): BackendCall['fallbacks'] {
    const { shape, segments } = checked;
    if (this.#options.fallback !== 'dense' || choice || segments) return undefined;
    if (passed.every(Boolean)) return undefined;
    if (!this.#limits.has(kind)) {
      const limits = parts.map((part, i) => fallbackLimits(part, given[i]!, shape));
      this.#limits.set(kind, limits.some(Boolean) ? limits : undefined);
    }
    return this.#limits.get(kind);
  }

  #checkUsable(): void {
    if (this.disposed) {
      const help = 'compile the pattern again';
      throw new DeviceError([diagnostic('R003', 'this function was disposed', { help })]);
    }
    this.#device.check();
  }

  #check(inputs: AnyInputs, params: AnyParams): CheckedCall {
    const definitions = this.#parts.map(({ definition }) => definition);
    const own = this.#parts.map(({ heads }) => heads);
    const call = checkAllInputs(definitions, inputs, params, own);
    checkDimensions(call, this.#options);
    return call;
  }
}

function checkDimensions({ q, shape }: CheckedInputs, options: CompileOptions): void {
  const { heads, kvHeads = heads, headDim, valueDim = headDim, dtype } = options;
  const findings: Diagnostic[] = [];
  const expect = (
    name: string,
    got: number | string,
    wanted: number | string,
    code: 'T002' | 'T003' | 'T007',
  ) => {
    if (got !== wanted) {
      findings.push(
        diagnostic(code, `${name} is ${got}, and was compiled as ${wanted}`, {
          help: 'compile the pattern for the tensors at hand',
        }),
      );
    }
  };
  expect('heads', shape.heads, heads, 'T007');
  expect('kvHeads', shape.kvHeads, kvHeads, 'T007');
  expect('headDim', shape.headDim, headDim, 'T002');
  expect('valueDim', shape.valueDim, valueDim, 'T002');
  expect('dtype', q.dtype, dtype, 'T003');
  throwIfAny(findings, ShapeError);
}
