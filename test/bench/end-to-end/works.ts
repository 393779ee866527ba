// The works of `npm run bench -- end-to-end`: whole calls, estimate and all, and what each is held against.

import type { LaunchShape } from '../../../dsl/shape.ts';
import { type AnyPattern, blockSparse, verticalSlash } from '../../../index.ts';

/** A whole call on planted heads, bf16, batch 1, as many queries as keys. */
export interface WholeWork {
  readonly name: string;
  readonly pattern: AnyPattern;
  readonly shape: LaunchShape;
  /** Share of the causal pairs that is planted, in the mean of the heads; each has others. */
  readonly density: number;
  /**
   * `planted`: each head has the budgets that find what is planted into it. `usual`: the pattern's own. `spread`: every
   * head other budgets, beside calls of one budget for all heads.
   */
  readonly budgets: 'planted' | 'usual' | 'spread';
  readonly fallback?: 'dense';
  /** Of a call with the queue of the device empty enough: microseconds of host time. */
  readonly bars: {
    /** At most so many milliseconds. */
    readonly ms?: number;
    /** At least so many times as fast as our dense causal attention. */
    readonly dense?: number;
    /** At most so many times the mean of the calls of one budget. */
    readonly uniform?: number;
    /** At most so many microseconds of the host. */
    readonly host?: number;
  };
  /** By rival: a work of the bench of attention, and how many times as fast as the rival's we have to be. */
  readonly against?: { readonly rival: string; readonly work: string; readonly bar: number };
  /** Dense attention is too long to time: it is scaled by its pairs from the work of this length. */
  readonly denseFrom?: number;
}

const [heads, kvHeads, headDim] = [32, 8, 128];
const shapeOf = (length: number): LaunchShape => ({
  batch: 1,
  heads,
  kvHeads,
  qLen: length,
  kLen: length,
  headDim,
  valueDim: headDim,
});
const [long, million] = [128 * 1024, 2 ** 20];

export const wholeWorks: readonly WholeWork[] = [
  ...[1, 4, 10].flatMap((kilo) =>
    [verticalSlash, blockSparse].map(
      (pattern): WholeWork => ({
        name: `${pattern.name} ${kilo}K, usual budgets`,
        pattern,
        shape: shapeOf(kilo * 1024),
        density: 0.3,
        budgets: 'usual',
        fallback: 'dense',
        bars: { dense: 1 / 1.05, host: 30 },
      }),
    ),
  ),
  {
    name: 'vertical-slash 128K, planted 10 %',
    pattern: verticalSlash,
    shape: shapeOf(long),
    density: 0.1,
    budgets: 'planted',
    bars: { host: 50 },
    against: { rival: 'cuDNN', work: 'causal 128K', bar: 9 },
  },
  {
    name: 'vertical-slash 128K, 32 budgets',
    pattern: verticalSlash,
    shape: shapeOf(long),
    density: 0.1,
    budgets: 'spread',
    bars: { uniform: 1.05 },
  },
  {
    name: 'vertical-slash 1M, planted 2 %',
    pattern: verticalSlash,
    shape: shapeOf(million),
    density: 0.02,
    budgets: 'planted',
    bars: { ms: 400, dense: 30 },
    denseFrom: long,
  },
];

/** The same at sizes for a device that is slow, to see that all of it runs. */
export const tinyWholeWorks: readonly WholeWork[] = wholeWorks.map((work) => {
  const length = Math.max(64, Math.round(work.shape.kLen / 512));
  const sizes = { heads: 4, kvHeads: 2, qLen: length, kLen: length, headDim: 32, valueDim: 32 };
  const { denseFrom, ...rest } = work;
  return {
    ...rest,
    shape: { ...work.shape, ...sizes },
    ...(denseFrom !== undefined && { denseFrom: denseFrom / 512 }),
  };
});
