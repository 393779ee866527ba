// Law 5 for one call: legal knobs change the output within rounding only; the same knobs give the same bits.

import assert from 'node:assert/strict';
import type { Knobs } from '../../../dsl/schedule.ts';
import type { Device } from '../../../runtime/device.ts';
import { inputsOf, paramsOf, patternOf, type RandomCall } from '../arbitraries.ts';
import { assertClose, attendWith, boundOf, largest, times } from '../attention.ts';

/** Other knobs give the same within rounding. The pattern has no score: its bound is not known. */
export async function checkKnobs(
  device: Device,
  { pattern, data }: RandomCall,
  knobs: Knobs,
): Promise<void> {
  const [inputs, params] = [inputsOf(data), paramsOf(data)];
  const first = await attendWith(patternOf(pattern), data, inputs, params, device);
  const other = await attendWith(patternOf({ ...pattern, knobs }), data, inputs, params, device);
  const bound = boundOf(data, largest(await inputs.v.read()));
  assertClose(other, first, times(bound, 2), data.shape);
}

/** So many calls, all enqueued before the first is read, give the same bits. */
export async function checkSameBits(
  device: Device,
  { pattern, data }: RandomCall,
  calls: number,
): Promise<void> {
  const [first, ...others] = await Promise.all(
    Array.from({ length: calls }, () =>
      attendWith(patternOf(pattern), data, inputsOf(data), paramsOf(data), device),
    ),
  );
  for (const other of others) assert.deepEqual(other, first);
}
