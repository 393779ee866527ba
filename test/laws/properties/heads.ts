// Law 10 for one call: a pattern per head is each head's own pattern, to the bit.

import assert from 'node:assert/strict';
import { byHead } from '../../../dsl/heads.ts';
import type { Device } from '../../../runtime/device.ts';
import {
  type CallData,
  capturedOf,
  chosenOf,
  inputsOf,
  paramsOf,
  patternOf,
  type RandomPattern,
  tensorsOf,
} from '../arbitraries.ts';
import { attendWith, type Numbers } from '../attention.ts';

/** Head h has the second of the pair where `isSecond[h % length]`. */
export async function checkHeads(
  device: Device,
  pair: readonly [RandomPattern, RandomPattern],
  data: CallData,
  isSecond: readonly boolean[],
): Promise<void> {
  const { heads, valueDim, qLen, batch } = data.shape;
  const own = pair.map((one) => patternOf(one));
  const which = Array.from({ length: heads }, (_, head) =>
    Number(isSecond[head % isSecond.length]),
  );
  const perHead = byHead(which.map((i) => own[i]!));
  const [sets, params] = [chosenOf(data), paramsOf(data)];
  const chosen = [...new Set(which)].map(() => sets);
  const inputs = { ...tensorsOf(data), ...capturedOf(data), chosen };
  const { out, lse } = await attendWith(perHead, data, inputs, params, device);
  const alone: Numbers[] = [];
  for (const pattern of own)
    alone.push(await attendWith(pattern, data, inputsOf(data), params, device));
  for (let unit = 0; unit < batch * heads; unit += 1) {
    const expected = alone[which[unit % heads]!]!;
    const part = (values: Float32Array, size: number) =>
      values.subarray(unit * size, (unit + 1) * size);
    assert.deepEqual(part(out, qLen * valueDim), part(expected.out, qLen * valueDim));
    assert.deepEqual(part(lse, qLen), part(expected.lse, qLen));
  }
}
