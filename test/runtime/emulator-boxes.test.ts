// Walks whose rounds are full: warpgroups that ask for more boxes than fit in a round, runs of distances that share boxes
// and lists of columns, at a length where each happens; the ends of runs, and of walks. Smaller calls are in test/laws
// and emulator-mutants.test.ts.

import { expect, it } from 'vitest';
import type { ChosenSetsData } from '../../dsl/chosen.ts';
import {
  type AnyPattern,
  blockSparse,
  compile,
  openDevice,
  pattern,
  readChosen,
  reference,
  tensor,
  verticalSlash,
} from '../../index.ts';
import { emptySets } from '../bench/attention/sets.ts';
import { assertClose, boundOf, largest } from '../laws/attention.ts';

const usual = { batch: 1, heads: 2, kvHeads: 1, qLen: 200, kLen: 2600, headDim: 64, valueDim: 64 };

/** A call on the emulator is the oracle's, of the sets that it chooses or of those that it is given. */
async function check(
  pattern: AnyPattern,
  params: Readonly<Record<string, number>>,
  given?: ChosenSetsData,
  shape: typeof usual = usual,
): Promise<void> {
  const { heads, kvHeads, qLen, kLen, headDim } = shape;
  const random = (count: number, length: number, seed: number) =>
    tensor.random([1, count, length, headDim], { dtype: 'bf16', seed });
  const [q, k, v] = [random(heads, qLen, 1), random(kvHeads, kLen, 2), random(kvHeads, kLen, 3)];
  const device = await openDevice('emulated:sm_90a');
  try {
    const attend = await compile(pattern, { heads, kvHeads, headDim, dtype: 'bf16', device });
    const inputs = { q, k, v, ...(given && { chosen: given }) };
    const { out, lse, chosen } = await attend(inputs as never, params as never);
    const sets = given ?? (await readChosen(chosen as never));
    if (!given) expect(Object.keys(sets)).not.toEqual([]);
    const right = reference(pattern, { q, k, v, chosen: sets } as never, params as never);
    const got = { out: await out.read(), lse: await lse.read() } as never;
    const bound = boundOf({ shape, dtype: 'bf16', scale: 1 }, largest(await v.read()));
    assertClose(got, right as never, bound, shape);
  } finally {
    await device.dispose();
  }
}

it.each([
  // The first 100 distances always are members: 25 that are scattered make boxes of two rounds or three.
  ['vertical-slash', verticalSlash as AnyPattern, { verticals: 300, slashes: 125 }],
  ['block-sparse', blockSparse as AnyPattern, { blocksPerRow: 30 }],
])('%s with more boxes than a round', { timeout: 240_000 }, async (_, pattern, params) =>
  check(pattern, params),
);

it('boxes judged as a whole, in more than a round', { timeout: 240_000 }, async () => {
  const apart = pattern('gap')
    .mask(({ q, k }) => k <= q && (k < 100 || q - k < 1500))
    .schedule({ boxes: 2, kTile: 128 });
  await check(apart as AnyPattern, {}, {});
});

it('takes the ends of runs of distances key by key', { timeout: 240_000 }, async () => {
  const slashes = verticalSlash as AnyPattern;
  const sets = emptySets(slashes, usual);
  // 64 distances, widened by the grain, are all keys of a box and all but the first of the next; others end in its middle.
  const runs = [[0, 127], [640, 127], [832, 191], [1280, 113], [1999, 127], [2400, 64]] as const; // biome-ignore format: a table
  for (const unit of sets.distances!.units)
    for (const [from, count] of runs) unit.addRange(0, from, from + count);
  for (const unit of sets.columns!.units) for (const key of [0, 77, 1500]) unit.add(0, key);
  await check(slashes, { verticals: 3, slashes: 600 }, sets);
});

it('has no member of a set of blocks left over where its first blocks have none', {
  timeout: 240_000,
}, async () => {
  const blocks = blockSparse as AnyPattern;
  const shape = { ...usual, heads: 1, qLen: 2, kLen: 64 * 4200 }; // a warp holds the bits of 4096 blocks
  const sets = emptySets(blocks, shape);
  for (const unit of sets.blocks!.units)
    for (const block of [4199, 4000, 3001, 200, 150]) unit.add(4199, block);
  await check(blocks, {}, sets, shape);
});
