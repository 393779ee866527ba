// Law 14 for estimates on CUDA: what the CPU device computes and no kernel does yet.

import { describe, expect, it } from 'vitest';
import { estimateLaunch } from '../../codegen/estimate/index.ts';
import {
  type EstimateGraph,
  type EstimateProgram,
  traceEstimate,
} from '../../dsl/estimate/trace.ts';
import type { Inputs } from '../../dsl/estimate/values.ts';
import { refused } from './cases.ts';

const trace = (program: (inputs: Inputs) => Record<string, unknown>): EstimateGraph =>
  traceEstimate(program as unknown as EstimateProgram, {});
const shape = { batch: 1, heads: 2, kvHeads: 1, qLen: 5, kLen: 7, headDim: 8, valueDim: 8 };
const strides = { q: [80, 40, 8], k: [56, 56, 8] } as const;
const launch = (graphs: readonly EstimateGraph[]) =>
  estimateLaunch({ graphs, shape, dtype: 'bf16', strides });

const sums = ({ q, k }: Inputs) => q.last(4).dot(k).causal().softmax().sumPerKey();

describe('E010: an estimate that has no kernels', () => {
  it('heads that choose by different steps', async () => {
    const largest = trace((inputs) => ({ keys: sums(inputs).topk(2) }));
    const mass = trace((inputs) => ({ keys: sums(inputs).cover(0.5) }));
    expect(await refused('E010', () => launch([largest, mass]))).toMatchInlineSnapshot(`
      "error[E010]: heads choose 'keys' by different steps
        = help: give each kind of head its own pattern with byHead, or use the CPU device"
    `);
    const more = trace((inputs) => ({ keys: sums(inputs).topk(3) }));
    expect(launch([largest, more]).kernels.length).toBeGreaterThan(0);
  });

  it('vectors that no copy of 16 bytes is a part of', async () => {
    const graph = trace((inputs) => ({ keys: sums(inputs).topk(2) }));
    const of = (headDim: number) =>
      estimateLaunch({
        graphs: [graph, graph],
        shape: { ...shape, headDim },
        dtype: 'bf16',
        strides,
      });
    expect(await refused('E010', () => of(12))).toMatchInlineSnapshot(`
      "error[E010]: vectors of 12 elements have no kernels
        = help: append zeros to q and k: kernels take multiples of 8 up to 256; or use the CPU device"
    `);
    expect(await refused('E010', () => of(264))).toContain('vectors of 264 elements');
    expect(of(24).kernels.length).toBeGreaterThan(0);
  });
});
