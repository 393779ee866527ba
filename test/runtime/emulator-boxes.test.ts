// Walks whose rounds are full: warpgroups that ask for more boxes than fit in a round, runs of distances that share boxes
// and lists of columns, at a length where each happens. Smaller calls are in test/laws and emulator-mutants.test.ts.

import { expect, it } from 'vitest';
import {
  type AnyPattern,
  blockSparse,
  compile,
  openDevice,
  readChosen,
  reference,
  tensor,
  verticalSlash,
} from '../../index.ts';
import { assertClose, boundOf, largest } from '../laws/attention.ts';

const shape = { batch: 1, heads: 2, kvHeads: 1, qLen: 200, kLen: 2600, headDim: 64, valueDim: 64 };

it.each([
  // The first 100 distances always are members: 25 that are scattered make boxes of two rounds or three.
  ['vertical-slash', verticalSlash as AnyPattern, { verticals: 300, slashes: 125 }],
  ['block-sparse', blockSparse as AnyPattern, { blocksPerRow: 30 }],
])('%s with more boxes than a round', { timeout: 240_000 }, async (name, pattern, params) => {
  const { heads, kvHeads, qLen, kLen, headDim } = shape;
  const random = (count: number, length: number, seed: number) =>
    tensor.random([1, count, length, headDim], { dtype: 'bf16', seed });
  const [q, k, v] = [random(heads, qLen, 1), random(kvHeads, kLen, 2), random(kvHeads, kLen, 3)];
  const device = await openDevice('emulated:sm_90a');
  try {
    const attend = await compile(pattern, { heads, kvHeads, headDim, dtype: 'bf16', device });
    const { out, lse, chosen } = await attend({ q, k, v } as never, params as never);
    const sets = await readChosen(chosen as never);
    expect(Object.keys(sets), name).not.toEqual([]);
    const right = reference(pattern, { q, k, v, chosen: sets } as never, params as never);
    const got = { out: await out.read(), lse: await lse.read() } as never;
    const bound = boundOf({ shape, dtype: 'bf16', scale: 1 }, largest(await v.read()));
    assertClose(got, right as never, bound, shape);
  } finally {
    await device.dispose();
  }
});
