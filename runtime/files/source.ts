// Tensors on their way into a file: in memory, or made piece by piece. No headers and no formats.

import { diagnostic, ShapeError } from '../../dsl/diagnostic.ts';
import { isObject, shown } from '../../dsl/shown.ts';
import {
  bytesOf,
  bytesPerElement,
  countOf,
  type DType,
  type Elements,
  holds,
  type Layout,
  reorder,
  showShape,
} from '../dtype.ts';
import type { Sink } from './atomic.ts';

/** What a tensor in memory has; a `bshd` one is written as `[batch, head, sequence, dim]`. */
export interface TensorInMemory {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly layout?: Layout;
  readonly data: Elements;
}

/** A tensor that need not fit in memory: its elements in order, row-major, in pieces of any size. */
export interface TensorSource {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly chunks: Iterable<Elements> | AsyncIterable<Elements>;
}

/** throws: ShapeError T012 for what is no tensor, T003 for a dtype that there is not. */
export function checkWritten(what: string, tensor: unknown): void {
  const help = 'give a tensor: { dtype, shape, data }, or one of tensor(...)';
  const refused = (code: 'T003' | 'T012', is: string) =>
    new ShapeError([diagnostic(code, `${what} is ${is}`, { help })]);
  if (!isObject(tensor) || !Array.isArray(tensor.shape)) throw refused('T012', shown(tensor));
  if (!Object.keys(bytesPerElement).includes(tensor.dtype as DType))
    throw refused('T003', `of the dtype ${shown(tensor.dtype)}`);
}

/**
 * Writes the elements of a tensor, row-major over its shown shape. `what` names it in errors.
 * Throws ShapeError T003 for data of another kind than the dtype, T012 for another number of elements.
 */
export async function writeElements(
  sink: Sink,
  what: string,
  tensor: TensorInMemory | TensorSource,
): Promise<void> {
  const { dtype, shape } = tensor;
  const total = countOf(shape);
  const misfit = (written: string) =>
    new ShapeError([
      diagnostic('T012', `${what} of shape ${showShape(shape)} got ${written} elements`, {
        help: `give exactly ${total}`,
      }),
    ]);
  let written = 0;
  for await (const piece of pieces(tensor)) {
    if (!holds(dtype, piece)) {
      const help = 'fp32 is a Float32Array, fp16 and bf16 a Uint16Array of bits, i32 an Int32Array';
      throw new ShapeError([
        diagnostic('T003', `${what} of ${dtype} got data of another kind`, { help }),
      ]);
    }
    written += piece.length;
    if (written > total) throw misfit('more');
    for (let at = 0; at < piece.byteLength; ) {
      const bytes = bytesOf(piece, at);
      await sink.write(bytes);
      at += bytes.length;
    }
  }
  if (written < total) throw misfit(`only ${written}`);
}

function pieces(
  tensor: TensorInMemory | TensorSource,
): Iterable<Elements> | AsyncIterable<Elements> {
  if ('chunks' in tensor) return tensor.chunks;
  const { data, dtype, shape, layout = 'bhsd' } = tensor;
  return [reorder(data, dtype, shape, layout, 'bhsd')];
}
