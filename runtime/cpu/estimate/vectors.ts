// fp32 vectors of one head: tokens, pools, last queries, cells of an antidiagonal. A range of rows at a
// time, so that a long tensor is never held in fp32 as a whole unless that is small. No products.

import {
  firstPosition,
  type Line,
  lastPosition,
  line,
  lineOf,
} from '../../../dsl/estimate/axes.ts';
import type { VectorNode } from '../../../dsl/estimate/node.ts';
import { type LaunchShape, queryOffset } from '../../../dsl/shape.ts';
import { fp32FromBf16, fp32FromFp16 } from '../../half.ts';
import type { Tensor } from '../../tensor.ts';

/** The vectors of the members of a line. */
export interface Vectors {
  readonly line: Line;
  /** Numbers per vector. */
  readonly width: number;
  /** Members `[from, to)`, row-major without gaps; the memory is good until the next call. */
  rows(from: number, to: number): Float32Array;
}

/** The tensors of a call, and one head of each. */
export interface HeadInputs {
  readonly q: Tensor;
  readonly k: Tensor;
  readonly shape: LaunchShape;
  readonly batch: number;
  readonly head: number;
  readonly kvHead: number;
}

/** Keys that need converting are kept whole up to this many bytes; longer ones are converted in parts. */
const heldBytes = 64 * 2 ** 20;

/** Grows, never shrinks: memory for one range of rows. */
class Scratch {
  #memory = new Float32Array(0);

  of(length: number): Float32Array {
    if (this.#memory.length < length) this.#memory = new Float32Array(length);
    return this.#memory.subarray(0, length);
  }
}

/** The tokens of q or k at the positions of a line of single tokens. */
function tokens(inputs: HeadInputs, of: 'q' | 'k', positions: Line): Vectors {
  const tensor = inputs[of];
  const width = inputs.shape.headDim;
  const [batchStep = 0, headStep = 0, rowStep = 0] = tensor.strides;
  const first = inputs.batch * batchStep + (of === 'q' ? inputs.head : inputs.kvHead) * headStep;
  const offset = of === 'q' ? queryOffset(inputs.shape) : 0;
  const scratch = new Scratch();
  const { data, dtype } = tensor;
  const convert = (from: number, count: number, target: Float32Array): void => {
    if (data instanceof Float32Array) target.set(data.subarray(from, from + count));
    else {
      const bits = data.subarray(from, from + count) as Uint16Array;
      if (dtype === 'fp16') fp32FromFp16(bits, target);
      else fp32FromBf16(bits, target);
    }
  };
  return {
    line: positions,
    width,
    rows(from, to) {
      const start = first + (from - offset) * rowStep;
      const count = (to - from) * width;
      if (rowStep === width && data instanceof Float32Array) {
        return data.subarray(start, start + count);
      }
      const target = scratch.of(count);
      if (rowStep === width) convert(start, count, target);
      else {
        for (let i = 0; i < to - from; i++) {
          convert(start + i * rowStep, width, target.subarray(i * width, (i + 1) * width));
        }
      }
      return target;
    },
  };
}

/** Means or maxima of the valid tokens of each block. */
function pooled(of: Vectors, size: number, how: 'mean' | 'max'): Vectors {
  const { width } = of;
  const blocks = line(size, of.line.start, of.line.end);
  const scratch = new Scratch();
  const sums = new Float64Array(width);
  const part = 512;
  return {
    line: blocks,
    width,
    rows(from, to) {
      const target = scratch.of((to - from) * width);
      for (let block = from; block < to; block++) {
        const a = firstPosition(blocks, block);
        const b = lastPosition(blocks, block) + 1;
        sums.fill(how === 'mean' ? 0 : -Infinity);
        for (let at = a; at < b; at += part) {
          const rows = of.rows(at, Math.min(b, at + part));
          for (let i = 0; i < rows.length; i += width) {
            // Math.max, not a comparison: a NaN has to stay one.
            if (how === 'mean') for (let d = 0; d < width; d++) sums[d]! += rows[i + d]!;
            else for (let d = 0; d < width; d++) sums[d] = Math.max(sums[d]!, rows[i + d]!);
          }
        }
        const scale = how === 'mean' ? 1 / (b - a) : 1;
        for (let d = 0; d < width; d++) target[(block - from) * width + d] = sums[d]! * scale;
      }
      return target;
    },
  };
}

/** All rows in memory, each made when it is first asked for, so that no single call is long. */
function held(of: Vectors): Vectors {
  const { line: members, width } = of;
  const memory = new Float32Array((members.to - members.from) * width);
  let filled = members.from;
  return {
    line: members,
    width,
    rows(from, to) {
      if (to > filled) {
        memory.set(of.rows(filled, to), (filled - members.from) * width);
        filled = to;
      }
      return memory.subarray((from - members.from) * width, (to - members.from) * width);
    },
  };
}

/** The vectors of a node; `whole` keeps them in fp32 where that is small, for those read many times. */
export function vectorsOf(node: VectorNode, inputs: HeadInputs, whole: boolean): Vectors {
  const positions = lineOf(node, inputs.shape);
  let inner = node;
  while (inner.op !== 'input') inner = inner.of;
  if (node.op !== 'pool') {
    const result = tokens(inputs, inner.of, positions);
    return whole && needsConverting(inputs[inner.of]) ? heldIfSmall(result) : result;
  }
  const result = pooled(
    tokens(inputs, inner.of, lineOf(node.of, inputs.shape)),
    node.size,
    node.how,
  );
  return whole ? held(result) : result;
}

const needsConverting = (tensor: Tensor): boolean =>
  tensor.dtype !== 'fp32' || tensor.strides[2] !== tensor.shape[3];

function heldIfSmall(of: Vectors): Vectors {
  const bytes = 4 * (of.line.to - of.line.from) * of.width;
  return bytes <= heldBytes ? held(of) : of;
}

/**
 * Cells of `stride` tokens as one vector each, missing tokens as zeros: keys in their order, queries in
 * reverse, so that one dot product is the sum along the cell's antidiagonal.
 */
export function cellsOf(inputs: HeadInputs, of: 'q' | 'k', cells: Line): Vectors {
  const source = tokens(inputs, of, line(1, cells.start, cells.end));
  const { size } = cells;
  const width = size * source.width;
  const scratch = new Scratch();
  const reversed = of === 'q';
  return {
    line: cells,
    width,
    rows(from, to) {
      const a = Math.max(cells.start, from * size);
      const b = Math.min(cells.end, to * size);
      const rows = source.rows(a, b);
      if (!reversed && rows.length === (to - from) * width) return rows;
      const target = scratch.of((to - from) * width);
      target.fill(0);
      for (let position = a; position < b; position++) {
        const cell = Math.floor(position / size);
        const i = position - cell * size;
        const phase = reversed ? size - 1 - i : i;
        const at = (cell - from) * width + phase * source.width;
        const start = (position - a) * source.width;
        target.set(rows.subarray(start, start + source.width), at);
      }
      return target;
    },
  };
}
