// Whether a result is right: some rows of it against the author's own functions in float64, over the random
// values that the inputs repeat. It reads those rows alone: whole results are gigabytes.

import type { ChosenSetsData } from '../../../dsl/chosen.ts';
import { type Definition, restSize } from '../../../dsl/definition.ts';
import { bindParameters, parametersOf } from '../../../dsl/given.ts';
import { kvHeadOf, type LaunchShape } from '../../../dsl/shape.ts';
import type { AttendResult, Device, FloatType, Tensor } from '../../../index.ts';
import type { BlockMemory } from '../../../runtime/cuda/block.ts';
import { bytesPerElement, elementsOver } from '../../../runtime/dtype.ts';
import { decode } from '../../../runtime/half.ts';
import type { CheckedGiven } from '../../../runtime/inputs.ts';
import { arrowsOf } from '../../../runtime/reference/arrows.ts';
import { dice } from './draws.ts';
import type { Inputs } from './inputs.ts';
import { numbersOf, shapeOf, subjects } from './subjects.ts';
import type { Work } from './works.ts';

/** How far a result is from what it should be, over the rows that were looked at. */
export interface Errors {
  /** Of the output: the norm of the difference over the norm of what is right, the largest of all rows. */
  readonly out: number;
  /** Of the natural-log LSE: the largest difference. */
  readonly lse: number;
}

/** What rounding explains: weights and outputs are rounded once each, sums are of single precision. */
const mostErrors: Readonly<Record<FloatType, Errors>> = {
  fp32: { out: 1e-4, lse: 1e-3 },
  fp16: { out: 2e-3, lse: 5e-3 },
  bf16: { out: 1e-2, lse: 5e-3 },
};

/** NaN is no error that is small enough. */
export const areSmall = ({ out, lse }: Errors, dtype: FloatType): boolean =>
  out <= mostErrors[dtype].out && lse <= mostErrors[dtype].lse;

const rowsChecked = 12;

/** One row of one head. */
export interface RowPlace {
  readonly head: number;
  readonly row: number;
}

const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from }, (_, i) => from + i);

/** The first row, the last row, and others at random, each of a head at random. */
export function rowsOf(heads: number, length: number, count = rowsChecked): RowPlace[] {
  const roll = dice(length);
  return Array.from({ length: count }, (_, i) => {
    const row = i === 0 ? 0 : i === 1 ? length - 1 : roll(length);
    return { head: roll(heads), row };
  });
}

/** Copies elements of a tensor, from one on. */
export type ElementReader = (from: number, into: Float32Array) => void;

/** A call whose rows are looked at; batch 1. */
export interface CheckedCall {
  readonly definition: Definition;
  readonly shape: LaunchShape;
  readonly given: CheckedGiven;
  readonly sets: ChosenSetsData;
  readonly read: Readonly<Record<'q' | 'k' | 'v', ElementReader>>;
}

export async function errorsOf(
  work: Work,
  result: AttendResult<unknown>,
  sets: ChosenSetsData,
  inputs: Inputs,
  device: Device,
): Promise<Errors> {
  const { headDim: dim, kvHeads, length, dtype } = work;
  const subject = subjects[work.subject];
  const { definition } = subject.pattern(work);
  const { bound } = bindParameters(definition.name, definition.given, numbersOf(work), work.heads);
  const [q, k, v] = await Promise.all([
    inputs.reader('q', [1, work.heads, length, dim], dtype),
    inputs.reader('k', [1, kvHeads, length, dim], dtype),
    inputs.reader('v', [1, kvHeads, length, dim], dtype),
  ]);
  const call: CheckedCall = {
    definition,
    shape: shapeOf(work),
    given: { params: bound, captured: subject.captured?.(work) ?? {} },
    sets,
    read: { q, k, v },
  };
  return errorsOfRows(rowsOf(work.heads, length), call, result, device);
}

/** How far rows of a result are from what the author's functions say. */
export async function errorsOfRows(
  rows: readonly RowPlace[],
  { definition, shape, given, sets, read }: CheckedCall,
  { out, lse }: AttendResult<unknown>,
  device: Device,
): Promise<Errors> {
  const { headDim: dim, qLen, kLen } = shape;
  const { q, k, v } = read;
  const lses = await lse.read();
  const pool = restSize(definition, parametersOf(given.params, 0));
  const one = new Float32Array(dim);
  /** The mean of rows `[from, to)` of a tensor. */
  const mean = (read: ElementReader, from: number, to: number, into: Float32Array): void => {
    into.fill(0);
    for (let at = from; at < to; at += 1) {
      read(at * dim, one);
      for (let d = 0; d < dim; d += 1) into[d]! += one[d]! / (to - from);
    }
  };
  const [query, key, value] = [0, 1, 2].map(() => new Float32Array(dim)) as [
    Float32Array,
    Float32Array,
    Float32Array,
  ];
  let [worst, far] = [0, 0];
  for (const { head, row } of rows) {
    const kvHead = kvHeadOf(shape, head);
    const arrows = arrowsOf(definition, given, sets, shape, { batch: 0, head, kvHead });
    q((head * qLen + row) * dim, query);
    /** Keys `[from, to)` that one weight is for, and its logarithm. */
    const terms: { readonly from: number; readonly to: number; readonly score: number }[] = [];
    let most = -Infinity;
    const add = (from: number, to: number, scoreOf: (logit: number) => number): void => {
      mean(k, kvHead * kLen + from, kvHead * kLen + to, key);
      let product = 0;
      for (let d = 0; d < dim; d += 1) product += query[d]! * key[d]!;
      const score = scoreOf(product / Math.sqrt(dim));
      terms.push({ from, to, score });
      most = Math.max(most, score);
    };
    for (let at = 0; at < kLen; at += 1)
      if (arrows.mask(row, at)) add(at, at + 1, (logit) => arrows.score(row, at, logit));
    for (let from = 0; from < kLen && pool; from += pool) {
      const to = Math.min(from + pool, kLen);
      const isDropped = (at: number): boolean => arrows.hull(row, at) && !arrows.mask(row, at);
      if (range(from, to).every(isDropped))
        add(from, to, (logit) => arrows.scoreStandIn(logit) + Math.log(to - from));
    }
    const right = new Float64Array(dim);
    let sum = 0;
    for (const { from, to, score } of terms) {
      const weight = Math.exp(score - most);
      sum += weight;
      mean(v, kvHead * kLen + from, kvHead * kLen + to, value);
      for (let d = 0; d < dim; d += 1) right[d]! += weight * value[d]!;
    }
    const ours = await elementsAt(device, out, (head * qLen + row) * dim, dim);
    // Row by row: those of few keys are the longest, and would hide what is wrong with the others.
    let [off, norm] = [0, 0];
    for (let d = 0; d < dim; d += 1) {
      const wanted = right[d]! / sum;
      off += (ours[d]! - wanted) ** 2;
      norm += wanted ** 2;
    }
    worst = Math.max(Math.sqrt(off / norm), worst);
    far = Math.max(Math.abs(lses[head * qLen + row]! - (most + Math.log(sum))), far);
  }
  return { out: worst, lse: far };
}

/** A few elements of a tensor, wherever it is. */
export async function elementsAt(
  device: Device,
  tensor: Tensor,
  from: number,
  count: number,
): Promise<ArrayLike<number>> {
  const { dtype, memory } = tensor;
  if (device.kind === 'cpu') return decode(tensor.data.subarray(from, from + count), dtype);
  const size = bytesPerElement[dtype];
  const elements = elementsOver(dtype, new ArrayBuffer(count * size));
  await device.machine.download((memory as BlockMemory).address + from * size, elements);
  return decode(elements, dtype);
}
