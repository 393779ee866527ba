// Law 6 where scores are far apart: the CPU device and emulated kernels give what the float64 oracle gives.

import fc from 'fast-check';
import { afterAll } from 'vitest';
import { openDevice } from '../../runtime/device.ts';
import { inline } from './attention.ts';
import { spikesAgree } from './properties/spikes.ts';
import { law, runs } from './settings.ts';

const emulated = await openDevice('emulated:sm_80');
afterAll(() => emulated.dispose());

law('scores that are far apart: the CPU device', () =>
  fc.assert(spikesAgree(inline, ['fp32', 'bf16', 'fp16']), runs(200)),
);

// Few kernels: each is compiled.
const dims = { headDim: 16, valueDim: 24 };
const tile = { qTile: 32, kTile: 16, warps: 2, stages: 2 };

law('scores that are far apart: emulated kernels', () =>
  fc.assert(spikesAgree(emulated, ['bf16', 'fp16'], { dims }, tile), runs(40)),
);
