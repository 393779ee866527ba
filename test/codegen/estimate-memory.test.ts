// What estimates keep in memory at lengths that count: of the launch lists alone, nothing runs.

import { expect, it } from 'vitest';
import { estimateLaunch } from '../../codegen/estimate/index.ts';
import type { Buffer } from '../../codegen/kernel.ts';
import { traceSets } from '../../dsl/definition.ts';
import { verticalSlash } from '../../patterns/index.ts';

const [heads, kvHeads, headDim] = [32, 8, 128];

function bytesOf(length: number): { readonly lasting: number; readonly passing: number } {
  const { definition } = verticalSlash;
  const graph = traceSets(definition, { verticals: 1000, slashes: 6096, probe: 64, grain: 64 });
  const { list, results } = estimateLaunch({
    graphs: Array.from({ length: heads }, () => graph),
    shape: { batch: 1, heads, kvHeads, qLen: 128, kLen: length, headDim, valueDim: headDim },
    dtype: 'bf16',
    strides: { q: [128 * 4096, 128, 4096], k: [kvHeads * length * 128, length * 128, 128] },
    backend: 'hopper',
  });
  const perHead = (buffers: readonly Buffer[]) =>
    buffers.reduce((sum, { bytes }) => sum + bytes, 0) / heads;
  return { lasting: perHead(results), passing: perHead(list.workspace) };
}

it('the sets of vertical-slash at 1M tokens take less than 1 MB a head', () => {
  expect(bytesOf(2 ** 20).lasting).toBeLessThan(0.27e6);
});

it('what making them takes besides grows with the length by bits alone', () => {
  // Sums of two axes in fp32, of so many heads at once as 32 MiB hold: of one KV head at 1M.
  expect(bytesOf(2 ** 20).passing).toBeLessThan(1.3e6);
  // And of each row that is selected from, 16,384 weights at the threshold.
  expect(bytesOf(2 ** 17).passing).toBeLessThan(1.45e6);
});
