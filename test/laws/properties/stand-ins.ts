// Law 13 for one call: stand-ins. With pools of one key they are dense attention on the hull; constant
// blocks make any pool as good.

import * as x from '../../../dsl/expression.ts';
import { hullOf } from '../../../dsl/plan/split.ts';
import type { Knobs } from '../../../dsl/schedule.ts';
import type { Device } from '../../../runtime/device.ts';
import { inputsOf, paramsOf, patternOf, type RandomCall } from '../arbitraries.ts';
import { assertClose, attendWith, boundOf, largest, overwrite, times } from '../attention.ts';

/** Pools of one key give dense attention on the hull. The pattern has no score and no stand-ins. */
export async function checkSinglePools(
  device: Device,
  { pattern, data }: RandomCall,
  knobs: Knobs,
): Promise<void> {
  const [inputs, params] = [inputsOf(data), paramsOf(data)];
  // A mask that asks for what a set lacks may allow pairs outside of the hull.
  const mask = x.or(hullOf(pattern.mask), pattern.mask);
  const [pooled, all] = [
    patternOf({ ...pattern, rest: 1 }),
    patternOf({ ...pattern, mask, knobs }),
  ];
  const rested = await attendWith(pooled, data, inputs, params, device);
  const dense = await attendWith(all, data, inputs, params, device);
  const bound = boundOf(data, largest(await inputs.v.read()));
  assertClose(rested, dense, times(bound, 2), data.shape);
}

const block = (index: 'q' | 'k') => x.binary('floordiv', x.index(index), x.int(16));

/** Blocks of one key and value make pools of `rest` keys as good as all keys; `rest` divides 16. */
export async function checkConstantBlocks(
  device: Device,
  { pattern, data }: RandomCall,
  rest: number,
): Promise<void> {
  const inputs = inputsOf(data);
  const firstOf = async (name: 'k' | 'v') => {
    const numbers = await inputs[name].read();
    const [, heads = 0, length = 0, dim = 0] = inputs[name].shape;
    return overwrite(
      inputs[name],
      (b, h, at) => numbers[((b * heads + h) * length + Math.floor(at / 16) * 16) * dim],
    );
  };
  const constant = { ...inputs, k: await firstOf('k'), v: await firstOf('v') };
  const mask = x.has('blocks', [block('q'), block('k')]);
  const params = paramsOf(data);
  const [pooled, all] = [
    patternOf({ ...pattern, mask, rest }),
    patternOf({ ...pattern, mask: x.bool(true) }),
  ];
  const rested = await attendWith(pooled, data, constant, params, device);
  const dense = await attendWith(all, data, constant, params, device);
  const bound = boundOf(data, largest(await inputs.v.read()));
  // Equal numbers in all dimensions of a key: its norm is up to 6.4 sqrt(dim), as the bound has it.
  assertClose(rested, dense, times(bound, 2), data.shape);
}
