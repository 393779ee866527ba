// Law 6 where heads may fall back after they have chosen: the heads that chose too much attend to the hull of their mask,
// the others to what they chose, and the sets of the call say so.

import assert from 'node:assert/strict';
import type { ChosenSetsData } from '../../../dsl/chosen.ts';
import type { FallbackLimits } from '../../../dsl/estimate/limits.ts';
import type { AnyPattern } from '../../../dsl/pattern.ts';
import type { LaunchShape } from '../../../dsl/shape.ts';
import { compile } from '../../../runtime/attend.ts';
import { readChosen } from '../../../runtime/cuda/sets.ts';
import type { Device } from '../../../runtime/device.ts';
import { fallbackLimits, fallenHeads } from '../../../runtime/fallback.ts';
import { splitHulls } from '../../../runtime/hulls.ts';
import { checkCall } from '../../../runtime/plans.ts';
import { compareWithOracle, showDisagreements } from '../../../runtime/testing/agree.ts';
import type { CallSample, tensorsOfCall } from '../../../runtime/testing/calls.ts';

/** The built-in patterns of which scores decide how much is chosen. */
export const openPatterns = ['x-attention', 'flex-prefill', 'flash-prefill'] as const;

/** From how many members on heads fall back, for a call of such sizes. */
export function limitsOf(
  one: AnyPattern,
  shape: LaunchShape,
  params: Readonly<Record<string, unknown>>,
): FallbackLimits | undefined {
  const { parts, inputs } = checkCall(one, { shape }, params);
  return fallbackLimits(parts[0]!, inputs.given[0]!, shape);
}

/**
 * A call of one pattern: how many heads fell back, and how many chose little enough. None are counted where heads attend
 * to their hull from the start: what the others choose is then another question.
 */
export async function checkFallback(
  device: Device,
  one: AnyPattern,
  { shape, dtype, params }: Pick<CallSample, 'shape' | 'dtype' | 'params'>,
  inputs: ReturnType<typeof tensorsOfCall>,
): Promise<{ fallen: number; others: number }> {
  const attend = await compile(one, { ...shape, dtype, device, fallback: 'dense' });
  const result = await attend(inputs, params);
  const chosen = await readChosen(result.chosen as ChosenSetsData);
  const compared = async (got: Pick<typeof result, 'out' | 'lse'>) => {
    const outcome = { ...got, chosen };
    const { disagreements } = await compareWithOracle(one, inputs as never, params, outcome);
    return showDisagreements(disagreements);
  };
  assert.equal(await compared(result), '');
  // They are values like any others: asked again, they give the same but for the order of sums.
  const again = await attend({ ...inputs, chosen: result.chosen } as never, params);
  assert.equal(await compared(again), '');
  const { parts, inputs: checked } = checkCall(one, { shape }, params);
  const limits = limitsOf(one, shape, params);
  if (!limits || splitHulls(parts, checked, 'dense')) return { fallen: 0, others: 0 };
  const found = await readChosen((await attend.estimate(inputs, params)) as ChosenSetsData);
  const fallen = fallenHeads(found, limits, shape);
  for (const [name, { units, dense, perGroup }] of Object.entries(chosen))
    for (const [unit, set] of units.entries()) {
      const falls = fallen[perGroup ? unit * (shape.heads / shape.kvHeads) : unit]!;
      assert.equal(dense[unit], falls || found[name]!.dense[unit], `${name} of ${unit}`);
      const { rowFrom, rows, columns } = set.domain;
      const before = found[name]!.units[unit]!;
      for (let row = rowFrom; row < rowFrom + rows; row += 1)
        if (falls) assert.equal(set.count(row), columns);
        else assert.deepEqual(set.members(row), before.members(row));
    }
  const count = fallen.filter(Boolean).length;
  return { fallen: count, others: fallen.length - count };
}
