// Tiles of Hopper kernels as they were measured. Written by `npm run tune:defaults`, which keeps rows of other origin as
// they are: `measured` says what a row is of.

import { hopperTile } from './knobs.ts';
import type { DefaultRow } from './plan-forms.ts';

export const rows: readonly DefaultRow[] = [
  { form: 'ranges', dim: 64, upTo: Number.POSITIVE_INFINITY, knobs: hopperTile(3, 128, { pingPong: true }), measured: 'NVIDIA H200, driver 13.0, warploom tune, 2026-11-29' },
  { form: 'ranges', dim: 96, upTo: Number.POSITIVE_INFINITY, knobs: hopperTile(3, 112, { qBuffers: 1, pingPong: true }), measured: 'NVIDIA H200, driver 13.0, warploom tune, 2026-11-29' },
  { form: 'ranges', dim: 128, upTo: Number.POSITIVE_INFINITY, knobs: hopperTile(2, 128), measured: 'NVIDIA H200, driver 13.0, warploom tune, 2026-11-29' },
  { form: 'ranges', dim: 192, upTo: 32768, knobs: hopperTile(2, 64, { qBuffers: 1 }), measured: 'NVIDIA H200, driver 13.0, warploom tune, 2026-11-29' },
  { form: 'ranges', dim: 192, upTo: Number.POSITIVE_INFINITY, knobs: hopperTile(2, 96, { qBuffers: 1 }), measured: 'NVIDIA H200, driver 13.0, warploom tune, 2026-11-29' },
  { form: 'ranges', dim: 256, upTo: 32768, knobs: hopperTile(2, 80, { qBuffers: 1, work: 'heads' }), measured: 'NVIDIA H200, driver 13.0, warploom tune, 2026-11-29' },
  { form: 'ranges', dim: 256, upTo: Number.POSITIVE_INFINITY, knobs: hopperTile(2, 64, { qBuffers: 1 }), measured: 'an H100, hand-written kernels, 2026-11-23' },
  { form: 'full', dim: 128, upTo: 4096, knobs: hopperTile(2, 128), measured: 'not timed: 704 tiles of 192 rows fill 5.3 of 6 waves, 1,024 of 128 rows 7.8 of 8' },
  { form: 'full', dim: 128, upTo: 32768, knobs: hopperTile(3, 80, { stages: 3, qBuffers: 1, work: 'heads' }), measured: 'NVIDIA H200, driver 13.0, warploom tune, 2026-11-29' },
  { form: 'causal', dim: 128, upTo: 32768, knobs: hopperTile(2, 128), measured: 'NVIDIA H200, driver 13.0, warploom tune, 2026-11-29' },
  { form: 'causal', dim: 128, upTo: Number.POSITIVE_INFINITY, knobs: hopperTile(3, 80, { pingPong: true }), measured: 'NVIDIA H200, driver 13.0, bench rounds of 400 ms, 2026-11-29' },
  { form: 'scored', dim: 128, upTo: 32768, knobs: hopperTile(2, 128, { pingPong: true }), measured: 'NVIDIA H200, driver 13.0, warploom tune, 2026-11-29' },
  { form: 'scored', dim: 128, upTo: Number.POSITIVE_INFINITY, knobs: hopperTile(3, 80, { pingPong: true, work: 'heads' }), measured: 'NVIDIA H200, driver 13.0, warploom tune, 2026-11-29' },
  { form: 'capped', dim: 64, upTo: 32768, knobs: hopperTile(3, 128, { stages: 3, qBuffers: 1, pingPong: true, work: 'longest' }), measured: 'NVIDIA H200, driver 13.0, warploom tune, 2026-11-29' },
  { form: 'capped', dim: 64, upTo: Number.POSITIVE_INFINITY, knobs: hopperTile(3, 128, { stages: 3, qBuffers: 1, pingPong: true, work: 'heads' }), measured: 'NVIDIA H200, driver 13.0, warploom tune, 2026-11-29' },
  { form: 'capped', dim: 96, upTo: Number.POSITIVE_INFINITY, knobs: hopperTile(3, 112, { stages: 3, qBuffers: 1, pingPong: true }), measured: 'NVIDIA H200, driver 13.0, warploom tune, 2026-11-29' },
  { form: 'capped', dim: 128, upTo: 32768, knobs: hopperTile(3, 80, { qBuffers: 1 }), measured: 'NVIDIA H200, driver 13.0, warploom tune, 2026-11-29' },
  { form: 'capped', dim: 128, upTo: Number.POSITIVE_INFINITY, knobs: hopperTile(3, 80, { stages: 3, qBuffers: 1 }), measured: 'NVIDIA H200, driver 13.0, warploom tune, 2026-11-29' },
  { form: 'capped', dim: 192, upTo: Number.POSITIVE_INFINITY, knobs: hopperTile(2, 96, { qBuffers: 1, work: 'heads' }), measured: 'NVIDIA H200, driver 13.0, warploom tune, 2026-11-29' },
  { form: 'capped', dim: 256, upTo: Number.POSITIVE_INFINITY, knobs: hopperTile(2, 80, { qBuffers: 1, work: 'heads' }), measured: 'NVIDIA H200, driver 13.0, warploom tune, 2026-11-29' },
  { form: 'distances', dim: 64, upTo: Number.POSITIVE_INFINITY, knobs: hopperTile(2, 128, { qBuffers: 1, boxes: 3, work: 'head' }), measured: 'NVIDIA H200, driver 13.0, warploom tune, 2026-11-29' },
  { form: 'distances', dim: 128, upTo: Number.POSITIVE_INFINITY, knobs: hopperTile(2, 128, { qBuffers: 1, boxes: 3, work: 'head' }), measured: 'NVIDIA H200, driver 13.0, warploom tune, 2026-11-29' },
  { form: 'distances', dim: 256, upTo: Number.POSITIVE_INFINITY, knobs: hopperTile(2, 64, { qBuffers: 1, boxes: 2 }), measured: 'NVIDIA H200, driver 13.0, warploom tune, 2026-11-29' },
  { form: 'blocks', dim: 64, upTo: 32768, knobs: hopperTile(2, 128, { qBuffers: 1, boxes: 3, work: 'longest' }), measured: 'NVIDIA H200, driver 13.0, warploom tune, 2026-11-29' },
  { form: 'blocks', dim: 64, upTo: Number.POSITIVE_INFINITY, knobs: hopperTile(2, 128, { qBuffers: 1, boxes: 3 }), measured: 'NVIDIA H200, driver 13.0, warploom tune, 2026-11-29' },
  { form: 'blocks', dim: 96, upTo: Number.POSITIVE_INFINITY, knobs: hopperTile(2, 128, { qBuffers: 1, pingPong: true, boxes: 3 }), measured: 'NVIDIA H200, driver 13.0, warploom tune, 2026-11-29' },
  { form: 'blocks', dim: 128, upTo: 32768, knobs: hopperTile(2, 128, { qBuffers: 1, boxes: 3 }), measured: 'NVIDIA H200, driver 13.0, warploom tune, 2026-11-29' },
  { form: 'blocks', dim: 128, upTo: Number.POSITIVE_INFINITY, knobs: hopperTile(2, 128, { qBuffers: 1, boxes: 3, work: 'head' }), measured: 'NVIDIA H200, driver 13.0, warploom tune, 2026-11-29' },
  { form: 'blocks', dim: 192, upTo: Number.POSITIVE_INFINITY, knobs: hopperTile(2, 64, { qBuffers: 1, boxes: 3, work: 'heads' }), measured: 'NVIDIA H200, driver 13.0, warploom tune, 2026-11-29' },
  { form: 'blocks', dim: 256, upTo: 32768, knobs: hopperTile(2, 64, { qBuffers: 1, boxes: 2, work: 'longest' }), measured: 'NVIDIA H200, driver 13.0, warploom tune, 2026-11-29' },
  { form: 'blocks', dim: 256, upTo: Number.POSITIVE_INFINITY, knobs: hopperTile(2, 64, { qBuffers: 1, pingPong: true, boxes: 2, work: 'heads' }), measured: 'NVIDIA H200, driver 13.0, warploom tune, 2026-11-29' },
  { form: 'shared', dim: 64, upTo: Number.POSITIVE_INFINITY, knobs: hopperTile(2, 128, { headsPerTile: 4 }), measured: 'NVIDIA H200, driver 13.0, warploom tune, 2026-11-29' },
  { form: 'shared', dim: 96, upTo: Number.POSITIVE_INFINITY, knobs: hopperTile(2, 128, { headsPerTile: 4 }), measured: 'NVIDIA H200, driver 13.0, warploom tune, 2026-11-29' },
  { form: 'shared', dim: 128, upTo: Number.POSITIVE_INFINITY, knobs: hopperTile(2, 128, { headsPerTile: 4 }), measured: 'NVIDIA H200, driver 13.0, warploom tune, 2026-11-29' },
  { form: 'shared', dim: 192, upTo: Number.POSITIVE_INFINITY, knobs: hopperTile(2, 64, { qBuffers: 1, headsPerTile: 4 }), measured: 'NVIDIA H200, driver 13.0, warploom tune, 2026-11-29' },
  { form: 'shared', dim: 256, upTo: Number.POSITIVE_INFINITY, knobs: hopperTile(2, 64, { qBuffers: 1, headsPerTile: 4 }), measured: 'NVIDIA H200, driver 13.0, warploom tune, 2026-11-29' },
]; // biome-ignore format: a table
