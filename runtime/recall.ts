// How much of the dense attention's mass a sparse pattern keeps: two LSEs are enough, no weights are needed.

import { checkAlike } from './arguments.ts';
import type { Tensor } from './tensor.ts';

export interface HeadRecall {
  readonly batch: number;
  readonly head: number;
  /** Mean and smallest share of the dense mass over the rows that see any key, 0 .. 1 (stand-ins may exceed it). */
  readonly mean: number;
  readonly min: number;
}

/** `exp(lse_sparse - lse_dense)` per row, by head. Both are [batch, heads, qLen]. throws: ShapeError T002 where they differ. */
export async function recall(sparse: Tensor, dense: Tensor): Promise<HeadRecall[]> {
  checkAlike('LSEs', sparse, dense);
  const [batch = 0, heads = 0, rows = 0] = sparse.shape;
  const [a, b] = [await sparse.read(), await dense.read()];
  const result: HeadRecall[] = [];
  for (let unit = 0; unit < batch * heads; unit += 1) {
    let [sum, min, count] = [0, Infinity, 0];
    for (let row = unit * rows; row < (unit + 1) * rows; row += 1) {
      if (b[row] === -Infinity) continue;
      const share = Math.exp(a[row]! - b[row]!);
      sum += share;
      min = Math.min(min, share);
      count += 1;
    }
    const head = unit % heads;
    result.push({
      batch: (unit - head) / heads,
      head,
      mean: count ? sum / count : 1,
      min: count ? min : 1,
    });
  }
  return result;
}
