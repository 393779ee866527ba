// Law 5 for one call: legal knobs change the output within rounding only; the same knobs give the same bits.

import assert from 'node:assert/strict';
import { legalKnobs } from '../../../codegen/attention/legal.ts';
import type { Knobs } from '../../../dsl/schedule.ts';
import { compile } from '../../../runtime/attend.ts';
import type { GpuDevice } from '../../../runtime/cuda/device.ts';
import type { Device } from '../../../runtime/device.ts';
import { inputsOf, paramsOf, patternOf, type RandomCall } from '../arbitraries.ts';
import { assertClose, attendWith, boundOf, largest, type Numbers, times } from '../attention.ts';

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

/**
 * As `checkKnobs`, for kernels as a tuner makes them: `picks` choose among all that are legal on the device. The tile
 * of the pattern does not matter.
 */
export async function checkChoices(
  device: GpuDevice,
  { pattern, data }: RandomCall,
  picks: readonly number[],
): Promise<void> {
  const { gather } = pattern.knobs;
  const own = patternOf({ ...pattern, knobs: gather === undefined ? {} : { gather } });
  const [inputs, params, { shape, dtype }] = [inputsOf(data), paramsOf(data), data];
  const { arch, blockSharedBytes } = device.machine;
  // Random patterns have many numbers and tensors, which lie beside the tiles.
  const all = legalKnobs({ ...shape, arch, blockSharedBytes, unitBytes: 1024 }).filter(
    ({ backend }) => backend === 'portable' || (gather === undefined && shape.kLen > 0),
  );
  const first = await attendWith(own, data, inputs, params, device);
  const bound = boundOf(data, largest(await inputs.v.read()));
  for (const pick of picks) {
    const choice = all[pick % all.length]!;
    const attend = await compile(own, { ...shape, dtype, device, choice });
    const { out, lse } = await attend(inputs as never, params as never);
    const other = { out: await out.read(), lse: await lse.read() } as Numbers;
    assertClose(other, first, times(bound, 2), shape);
  }
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
