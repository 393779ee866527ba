// What a device does for a compiled pattern: choose the sets of a call, and attend.

import type { Choice } from '../codegen/attention/choice.ts';
import type { ChosenSetsData } from '../dsl/chosen.ts';
import type { FallbackLimits } from '../dsl/estimate/limits.ts';
import type { FloatType } from './dtype.ts';
import type { CheckedGiven, CheckedInputs } from './inputs.ts';
import type { CallOptions, Part } from './parts.ts';
import type { Tensor } from './tensor.ts';

/** A checked call of the parts of a pattern; `given` and `passed` are in the order of the parts. */
export interface BackendCall {
  /** One object for calls of the same parts that differ in the elements of their tensors and in `passed` alone. */
  readonly kind: object;
  readonly parts: readonly Part[];
  readonly checked: CheckedInputs;
  readonly given: readonly CheckedGiven[];
  /** Sets to use instead of running the estimates. */
  readonly passed: readonly (ChosenSetsData | undefined)[];
  readonly options: CallOptions;
  /**
   * By part, which heads attend to the hull of their mask where they choose too much; one object for all calls of the
   * kind. It is for estimates that run: passed sets are asked, whatever is in them.
   */
  readonly fallbacks?: readonly (FallbackLimits | undefined)[] | undefined;
  /** The attention kernel to take, whatever is best. */
  readonly choice?: Choice | undefined;
}

export interface BackendResult {
  readonly out: Tensor;
  readonly lse: Tensor;
  /** Asked for at most once, and by most callers never: a device need not keep what it estimated for them. */
  chosen(): readonly ChosenSetsData[];
}

/** Dimensions that a pattern is compiled for. */
export interface BackendShape {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly valueDim: number;
  readonly dtype: FloatType;
  readonly choice?: Choice | undefined;
}

export interface Backend {
  /** Makes ready what does not depend on a call. */
  prepare(parts: readonly Part[], shape: BackendShape): Promise<void>;
  attend(call: BackendCall): Promise<BackendResult>;
  /** The sets alone, in host memory. */
  estimate(call: BackendCall): Promise<readonly ChosenSetsData[]>;
}
