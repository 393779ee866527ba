// Law 11 for one call: splitting the keys and merging by log-sum equals not splitting.

import { count } from '../../../dsl/given.ts';
import { pattern } from '../../../dsl/pattern.ts';
import type { Device } from '../../../runtime/device.ts';
import { inputsOf, paramsOf, patternOf, type RandomCall } from '../arbitraries.ts';
import { assertClose, attendWith, boundOf, largest, type Numbers } from '../attention.ts';

/** The keys before a cut. */
export const before = pattern('before', { cut: count }).mask(({ k }, { cut }) => k < cut);
const after = pattern('after', { cut: count }).mask(({ k }, { cut }) => k >= cut);

/** Two results over disjoint keys as one. */
function merge(a: Numbers, b: Numbers, dim: number): Numbers {
  const lse = a.lse.map((one, row) => {
    const other = b.lse[row]!;
    const most = Math.max(one, other);
    return most === -Infinity
      ? most
      : most + Math.log(Math.exp(one - most) + Math.exp(other - most));
  });
  const out = a.out.map((_, at) => {
    const row = Math.floor(at / dim);
    if (lse[row] === -Infinity) return 0;
    const weigh = (part: Numbers) => Math.exp(part.lse[row]! - lse[row]!) * part.out[at]!;
    return weigh(a) + weigh(b);
  });
  return { out, lse };
}

/** Cuts the keys in two. The pattern has no score and no stand-ins. */
export async function checkSplit(
  device: Device,
  { pattern: random, data }: RandomCall,
  cut: number,
): Promise<void> {
  const { valueDim } = data.shape;
  const [inputs, own] = [inputsOf(data), paramsOf(data)];
  const made = patternOf(random);
  const knobs = random.knobs as never;
  const whole = await attendWith(made, data, inputs, own, device);
  const [left, right] = [made.and(before).schedule(knobs), made.and(after).schedule(knobs)];
  const params = { ...own, cut };
  const merged = merge(
    await attendWith(left, data, inputs, params, device),
    await attendWith(right, data, inputs, params, device),
    valueDim,
  );
  const value = largest(await inputs.v.read());
  const bound = boundOf(data, value);
  // A log-sum that is off by e changes the weight of its half by a factor within e^-2e .. e^2e.
  const out = 2 * bound.out + value * Math.expm1(2 * bound.lse);
  assertClose(merged, whole, { out, lse: 2 * bound.lse }, data.shape);
}
