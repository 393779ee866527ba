// Law 5: tuning. Legal knobs change the output within rounding only; the same knobs give the same bits,
// on any number of threads.

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { afterAll, beforeAll } from 'vitest';
import type { AnyPattern } from '../../dsl/pattern.ts';
import { aShape, blockSparse, verticalSlash } from '../../patterns/index.ts';
import { type Device, openDevice } from '../../runtime/device.ts';
import { tensor } from '../../runtime/tensor.ts';
import { arbitraryCall, arbitraryKnobs } from './arbitraries.ts';
import { attendWith, inline } from './attention.ts';
import { checkKnobs, checkSameBits } from './properties/tuning.ts';
import { law, runs } from './settings.ts';

law('legal knobs change the output within rounding only', () =>
  fc.assert(
    fc.asyncProperty(arbitraryCall({ score: false }), arbitraryKnobs, (call, knobs) =>
      checkKnobs(inline, call, knobs),
    ),
    runs(150),
  ),
);

law('the same knobs give the same bits', () =>
  fc.assert(
    fc.asyncProperty(arbitraryCall(), (call) => checkSameBits(inline, call, 2)),
    runs(100),
  ),
);

const devices: Device[] = [];
beforeAll(async () => {
  for (const threads of [0, 1, 2]) devices.push(await openDevice('cpu', { threads }));
});
afterAll(async () => {
  for (const device of devices) await device.dispose();
});

// As small as work may be that the device gives to its threads: 2^28 multiply-adds.
const shape = { batch: 1, heads: 8, kvHeads: 2, qLen: 1024, kLen: 1024, headDim: 16, valueDim: 16 };
const dtype = 'bf16';

law('no number of threads changes a bit', async () => {
  const q = tensor.random([1, 8, 1024, 16], { dtype, seed: 1 });
  const k = tensor.random([1, 2, 1024, 16], { dtype, seed: 2 });
  const v = tensor.random([1, 2, 1024, 16], { dtype, seed: 3 });
  const patterns: [AnyPattern, Record<string, number>][] = [
    [aShape, { sinks: 10, window: 100 }],
    [verticalSlash, { verticals: 50, slashes: 120 }],
    [blockSparse, { blocksPerRow: 3 }],
  ];
  for (const [pattern, params] of patterns) {
    const results = [];
    for (const device of devices)
      results.push(await attendWith(pattern, { shape, dtype }, { q, k, v }, params, device));
    assert.deepEqual(results[1], results[0]);
    assert.deepEqual(results[2], results[0]);
  }
});
