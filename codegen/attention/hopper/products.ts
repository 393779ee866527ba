// The matrix products of a warpgroup: Q K^T with both operands in shared memory, P V with P in registers.

import { productText } from '../../wgmma.ts';
import type { KernelContext } from '../backend.ts';
import { padded } from '../tiles.ts';
import { boxKeys, type HopperKnobs, slotKeys } from './knobs.ts';
import { stepsDiffer } from './pairs.ts';

/**
 * All steps, each in one statement: `multiply_scores` and `multiply_values`, of one box of keys `multiply_box_...`; of a
 * score with a ramp the step `add_ramp`.
 */
export function productsText(context: KernelContext<HopperKnobs>): string {
  const { dtype, knobs, headDim, valueDim, score } = context;
  const { kTile } = knobs;
  const mixed = stepsDiffer(context);
  const rows = slotKeys(knobs) * 128; // bytes of a slab of K
  const scores = (name: string, columns: number): string =>
    productText({
      name,
      dtype,
      columns,
      blocks: kTile / 8,
      from: 'shared',
      result: 'overwritten',
      further: stepsAfterFirst(padded(headDim)).map((step) => {
        const [slab, inside] = [step >> 2, (step & 3) * 32];
        return { a: (slab * 8192 + inside) >> 4, b: (slab * rows + inside) >> 4 };
      }),
    });
  const values = (name: string, keys: number): string =>
    productText({
      name,
      dtype,
      columns: padded(valueDim),
      from: 'registers',
      result: 'added',
      further: stepsAfterFirst(keys).map((step) => ({ b: step * 128 })),
    });
  return [
    '// ---- products: steps of 16 along the sum; accumulators as those of mma.sync, 16 rows a warp ----',
    `// d = a b^T: both in shared memory, in rows along the sum.\n${scores('multiply_scores', kTile)}`,
    ...(mixed
      ? [
          `// The same into the first half of d: the keys of one box.\n${scores('multiply_box_scores', boxKeys(knobs))}`,
        ]
      : []),
    ...(score?.ramp
      ? [
          `// d += a b, one step of a ramp.\n${productText({ name: 'add_ramp', dtype: 'bf16', columns: kTile, from: 'registers', result: 'added' })}`,
        ]
      : []),
    `// d += a b: a in registers, b in shared memory with its rows along the sum.\n${values('multiply_values', kTile)}`,
    ...(mixed ? [values('multiply_box_values', boxKeys(knobs))] : []),
  ].join('\n\n');
}

/** The numbers of the steps of 16 after the first. */
const stepsAfterFirst = (length: number): number[] =>
  Array.from({ length: length / 16 - 1 }, (_, i) => i + 1);
