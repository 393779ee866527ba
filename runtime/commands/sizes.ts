// A call by its sizes alone, for verbs that look at its kernels: captured tensors are zeros, as nobody reads them.

import { isTensorInput } from '../../dsl/given.ts';
import { isHeadPatterns } from '../../dsl/heads.ts';
import type { LaunchShape } from '../../dsl/shape.ts';
import type { FloatType } from '../dtype.ts';
import { type CheckedCall, checkCall } from '../plans.ts';
import { type Tensor, tensor } from '../tensor.ts';
import type { Values } from './parameters.ts';
import type { Target } from './target.ts';

/** The query heads that a pattern or its lists of numbers ask for; 1 where they ask for none. */
export function leastHeads({ pattern }: Target, params: Values): number {
  if (isHeadPatterns(pattern)) return pattern.byHead.length;
  const lists = Object.values(params).map((value) =>
    typeof value === 'number' ? 1 : value.length,
  );
  return Math.max(1, ...lists);
}

/** Throws what `checkCall` throws. */
export function callOfSizes(
  { pattern, definitions }: Target,
  params: Values,
  shape: LaunchShape,
  dtype: FloatType,
): CheckedCall {
  const { batch, heads, kvHeads, qLen, kLen } = shape;
  const sizes: Readonly<Record<string, number>> = {
    ...{ batch, head: heads, kvHead: kvHeads },
    ...{ q: qLen, k: kLen },
  };
  const captured: Record<string, Tensor> = {};
  for (const { given } of definitions)
    for (const [name, entry] of Object.entries(given))
      if (isTensorInput(entry)) {
        const axes = entry.dims.map((dim) => sizes[dim] ?? 1);
        captured[name] = tensor.zeros(axes, { dtype: entry.dtype === 'i32' ? 'i32' : 'fp32' });
      }
  return checkCall(pattern, { ...captured, shape, dtype }, params);
}
