// The matrix products of a warpgroup: Q K^T with both operands in shared memory, P V with P in registers.

import { productText } from '../../wgmma.ts';
import type { KernelContext } from '../backend.ts';
import { padded } from '../tiles.ts';
import { boxKeys, type HopperKnobs, isApart } from './knobs.ts';

/**
 * `begin_scores` and `add_scores`: one step each. `multiply_values`: all steps. Where warpgroups ask apart, also
 * `begin_box`, `add_box` and `multiply_box_values`, of one box of keys.
 */
export function productsText({ dtype, knobs, valueDim }: KernelContext<HopperKnobs>): string {
  const { kTile } = knobs;
  // In one statement as well, some kernels would have too few registers (C7511).
  const scores = (name: string, columns: number): string[] => {
    const step = { dtype, columns, blocks: kTile / 8, from: 'shared' } as const;
    return [
      productText({ ...step, name: `begin_${name}`, result: 'overwritten' }),
      productText({ ...step, name: `add_${name}`, result: 'added' }),
    ];
  };
  const values = (name: string, keys: number): string =>
    productText({
      name,
      dtype,
      columns: padded(valueDim),
      from: 'registers',
      result: 'added',
      further: Array.from({ length: keys / 16 - 1 }, (_, i) => (i + 1) * 128),
    });
  return [
    '// ---- products: steps of 16 along the sum; accumulators as those of mma.sync, 16 rows a warp ----',
    '// d = a b^T, or d += a b^T: both in shared memory, rows of 16 elements along the sum.',
    ...scores('scores', kTile),
    ...(isApart(knobs)
      ? [
          '// The same into the first half of d: the keys of one box.',
          ...scores('box', boxKeys(knobs)),
        ]
      : []),
    `// d += a b, all steps: a in registers, b in shared memory with its rows along the sum.\n${values('multiply_values', kTile)}`,
    ...(isApart(knobs) ? [values('multiply_box_values', boxKeys(knobs))] : []),
  ].join('\n\n');
}
