// What runs under the sanitizer: a call of each built-in pattern, small enough for a tool that slows kernels down a
// hundred times, with budgets that leave keys out. Not what the tool says of it: findings.ts.

import { setTimeout } from 'node:timers/promises';
import { patterns } from '../../../patterns/index.ts';
import { compile } from '../../../runtime/attend.ts';
import { readChosen } from '../../../runtime/cuda/sets.ts';
import { openDevice } from '../../../runtime/device.ts';
import { type CallSample, tensorsOfCall } from '../../../runtime/testing/calls.ts';

const sizes = { heads: 4, kvHeads: 2, headDim: 128, valueDim: 128 };

/** The child's lines, by which findings are told apart: of a pattern from here on, and of none any more. */
export const startOf = (name: string): string => `warploom calls ${name}`;
export const start = /^warploom calls (\S+)$/;
export const end = 'warploom has called them all';

/** The tool prints what it found a little after the kernel has ended. */
const settleMs = 100;

/** Numbers of each pattern, for so many keys; where none stands, the pattern takes none or its defaults do. */
const budgets: Readonly<Record<string, (keys: number) => CallSample['params']>> = {
  'sliding-window': (keys) => ({ window: Math.ceil(keys / 4) }),
  dilated: (keys) => ({ window: Math.ceil(keys / 8), step: 2 }),
  'prefix-lm': (keys) => ({ prefix: Math.ceil(keys / 4) }),
  'a-shape': (keys) => ({ sinks: 16, window: Math.ceil(keys / 4) }),
  'tri-shape': (keys) => ({ sinks: 16, window: Math.ceil(keys / 4), tail: Math.ceil(keys / 8) }),
  'vertical-slash': (keys) => ({ verticals: Math.ceil(keys / 8), slashes: Math.ceil(keys / 3) }),
  'block-sparse': () => ({ blocksPerRow: 2 }),
  'x-attention': () => ({ mass: 0.5 }),
  // Every other head takes blocks, the rest columns and distances.
  'flex-prefill': () => ({ mass: 0.5, tau: [0, 1, 0, 1] }),
  // With blocks of 128 the first two and the last four would be all of them.
  'flash-prefill': (keys) => ({ block: 32, tile: 32, share: 0.5, tail: Math.ceil(keys / 8) }),
  'nsa-selection': (keys) => ({ blocksPerQuery: 2, window: Math.ceil(keys / 8) }),
};

/** Calls each pattern on a device of its own, whose memory nobody has written yet, and says so first. */
export async function callEach(
  names: readonly string[],
  where: string,
  keys: number,
): Promise<void> {
  for (const name of names) {
    console.log(startOf(name));
    await callOne(name, where, keys);
    await setTimeout(settleMs);
  }
  console.log(end);
}

/** One call, and for a pattern that chooses one more: where nothing can be left out the first has not estimated. */
async function callOne(name: string, where: string, keys: number): Promise<void> {
  const pattern = patterns.get(name)!;
  const { definition } = pattern;
  const call: CallSample = {
    shape: { ...sizes, batch: 1, qLen: keys, kLen: keys },
    dtype: 'bf16',
    layouts: ['bhsd', 'bhsd', 'bhsd'],
    seed: 1,
    scale: 1,
    params: budgets[name]?.(keys) ?? {},
  };
  const device = await openDevice(where);
  const attend = await compile(pattern, { ...sizes, dtype: call.dtype, device });
  const inputs = tensorsOfCall(definition, call);
  /** A launch is over once its results are here. */
  const run = async (given: typeof inputs): Promise<void> => {
    const { out, lse, chosen } = await attend(given, call.params);
    await readChosen(chosen);
    await Promise.all([out.read(), lse.read()]);
  };
  await run(inputs);
  if (definition.estimates.length > 0) {
    const chosen = await readChosen(await attend.estimate(inputs, call.params));
    await run({ ...inputs, chosen } as never);
  }
  await device.dispose();
}
