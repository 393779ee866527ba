// Rows of a [batch, head, sequence, dim] tensor as fp32, gathered or contiguous, and back. What the
// tile interpreter loads and stores; the memory layout and the dtype end here.

import type { DType, Elements } from '../dtype.ts';
import { bf16FromFp32, fp16FromFp32, fp32FromBf16, fp32FromFp16 } from '../half.ts';

/** A tensor's elements and where row (batch, head, position) starts in them. */
export interface RowSource {
  readonly data: Elements;
  readonly dtype: DType;
  readonly strides: readonly number[];
  readonly dim: number;
  /** Positions before those of each batch entry, where entries are packed along the sequence axis. */
  readonly starts?: readonly number[] | undefined;
}

/** Where row 0 of one head starts. */
const baseOf = ({ strides, starts }: RowSource, batch: number, head: number): number =>
  (starts ? starts[batch]! * strides[2]! : batch * strides[0]!) + head * strides[1]!;

/** Copies `count` rows from position `from` (or the listed positions) of one head to `out` [count, dim]. */
export function loadRows(
  source: RowSource,
  batch: number,
  head: number,
  from: number,
  count: number,
  out: Float32Array,
  positions?: Int32Array,
): void {
  const { data, dtype, strides, dim } = source;
  const base = baseOf(source, batch, head);
  const step = strides[2]!;
  if (positions === undefined && step === dim) {
    widen(data, dtype, base + from * dim, count * dim, out, 0);
    return;
  }
  for (let i = 0; i < count; i += 1) {
    widen(
      data,
      dtype,
      base + (positions === undefined ? from + i : positions[i]!) * step,
      dim,
      out,
      i * dim,
    );
  }
}

function widen(
  data: Elements,
  dtype: DType,
  from: number,
  count: number,
  out: Float32Array,
  at: number,
): void {
  const source = data.subarray(from, from + count);
  if (dtype === 'fp16') fp32FromFp16(source as Uint16Array, out.subarray(at, at + count));
  else if (dtype === 'bf16') fp32FromBf16(source as Uint16Array, out.subarray(at, at + count));
  else out.set(source, at);
}

/** Stores `count` rows [count, dim] at position `from` of one head, rounded to the dtype. */
export function storeRows(
  target: RowSource,
  batch: number,
  head: number,
  from: number,
  count: number,
  rows: Float32Array,
): void {
  const { data, dtype, strides, dim } = target;
  const base = baseOf(target, batch, head);
  for (let i = 0; i < count; i += 1) {
    const start = base + (from + i) * strides[2]!;
    const place = data.subarray(start, start + dim);
    const row = rows.subarray(i * dim, (i + 1) * dim);
    if (dtype === 'fp16') fp16FromFp32(row, place as Uint16Array);
    else if (dtype === 'bf16') bf16FromFp32(row, place as Uint16Array);
    else place.set(row);
  }
}
