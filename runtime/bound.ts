// How far a device's output may be from the float64 oracle: one function, used by every test.

import { stepError } from '../codegen/attention/steps.ts';
import { coarseError } from '../codegen/attention/tanh.ts';
import { type Definition, lifted } from '../dsl/definition.ts';
import { DeviceError, diagnostic, ShapeError } from '../dsl/diagnostic.ts';
import { type Expression, mentions, walk } from '../dsl/expression.ts';
import { isObject, shown } from '../dsl/shown.ts';
import { type FloatType, floatTypes } from './dtype.ts';

/** Half the distance between neighbouring numbers near 1. */
const roundoff: Readonly<Record<FloatType, number>> = {
  fp32: 2 ** -24,
  fp16: 2 ** -11,
  bf16: 2 ** -8,
};

/** Half the distance between neighbouring numbers near 0, which does not shrink with them. */
const leastRoundoff: Readonly<Record<FloatType, number>> = {
  fp32: 2 ** -150,
  fp16: 2 ** -25,
  bf16: 2 ** -134,
};

export interface Magnitudes {
  /** Largest |v|. */
  readonly value: number;
  /** Largest |logit| that the softmax sees; 8 covers standard normal q and k. */
  readonly logit?: number;
  /** How much further than its rounding a score may be off. */
  readonly moved?: number;
}

export interface Bound {
  /** Largest absolute error of an output element. */
  readonly out: number;
  /** Largest absolute error of a natural-log LSE. */
  readonly lse: number;
}

/**
 * Twice the error of the same computation in straightforward low precision: weights and output rounded
 * to the dtype (two roundings), logits and sums accumulated in fp32 (errors grow as the root of their
 * length, logits in proportion to their size). throws: ShapeError T003 for another dtype, DeviceError R005 for what is no
 * size.
 */
export function errorBound(
  dtype: FloatType,
  length: number,
  headDim: number,
  magnitudes: Magnitudes,
): Bound {
  checkMagnitudes(dtype, { length, headDim }, magnitudes);
  const { value, logit = 8, moved = 0 } = magnitudes;
  const single = roundoff.fp32;
  const logits = single * Math.sqrt(headDim) * Math.max(1, logit);
  const sums = single * Math.sqrt(Math.max(1, length));
  return {
    // Logits that move by m change every weight by a factor within e^(-2m) .. e^(2m).
    out:
      2 * value * (2 * roundoff[dtype] + logits + sums) +
      value * Math.expm1(2 * moved) +
      2 * leastRoundoff[dtype],
    // An LSE is stored in fp32, whatever the dtype.
    lse: 2 * (logits + sums + single * Math.max(1, logit + Math.log(Math.max(1, length)))) + moved,
  };
}

function checkMagnitudes(dtype: unknown, sizes: object, magnitudes: unknown): void {
  if (!floatTypes.includes(dtype as FloatType)) {
    const help = `it is ${floatTypes.join(', ')}`;
    throw new ShapeError([diagnostic('T003', `the dtype is ${shown(dtype)}`, { help })]);
  }
  const all = isObject(magnitudes) ? { ...sizes, value: undefined, ...magnitudes } : { magnitudes };
  const isOptional = (name: string): boolean => name === 'logit' || name === 'moved';
  for (const [name, size] of Object.entries(all)) {
    if (typeof size === 'number' ? size >= 0 : size === undefined && isOptional(name)) continue;
    const help = 'give numbers from 0: errorBound(dtype, length, headDim, { value: 4 })';
    throw new DeviceError([diagnostic('R005', `${name} is ${shown(size)}`, { help })]);
  }
}

/** How far kernels may move a score of so many keys: they take small tanhs coarsely, and keys as steps from another. */
export function scoreError(definition: Definition, kLen: number): number {
  const { score } = lifted(definition);
  if (!score) return 0;
  const isTanh = (part: Expression): boolean => part.op === 'unary' && part.name === 'tanh';
  const ofTanhs = coarseError * [...walk(score)].filter(isTanh).length;
  return ofTanhs + (mentions(score, 'index', 'k') ? stepError(kLen) : 0);
}
