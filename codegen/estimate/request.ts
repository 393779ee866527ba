// What the launch list of an estimate is made from.

import type { FallbackLimits } from '../../dsl/estimate/limits.ts';
import type { NeededRows } from '../../dsl/estimate/needed.ts';
import type { EstimateGraph } from '../../dsl/estimate/trace.ts';
import type { LaunchShape } from '../../dsl/shape.ts';
import type { ProductBackend } from './products.ts';
import type { HalfType, Strides } from './vectors.ts';

export interface EstimateLaunchRequest {
  /** One graph per query head: equal steps and sizes, any numbers. */
  readonly graphs: readonly EstimateGraph[];
  readonly shape: LaunchShape;
  /** Of q and k. */
  readonly dtype: HalfType;
  /** Elements from one batch entry, head and row to the next; the last axis has no gaps. */
  readonly strides: { readonly q: Strides; readonly k: Strides };
  /** The query heads whose sets are needed; the sets of the others stay empty. All, when left out. */
  readonly only?: readonly number[] | undefined;
  /** What the kernels multiply by; 'portable', when left out. */
  readonly backend?: ProductBackend | undefined;
  /** The rows of each set that matter; the others stay empty, and are not computed. All, when left out. */
  readonly rows?: NeededRows | undefined;
  /** The heads that attend to the hull of their mask where they choose too much. None, when left out. */
  readonly fallback?: FallbackLimits | undefined;
  /** Of the device: over so many blocks the keys are spread. 132, when left out. */
  readonly multiprocessors?: number | undefined;
  /** Bytes of scores held at once; for tests. */
  readonly scoreBytes?: number | undefined;
}
