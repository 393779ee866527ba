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

  it('scores of all queries that no kernel sums as it makes them, where they are too many', async () => {
    const graph = trace(({ q, k }) => ({
      keys: q.dot(k).causal().softmax().sumPerKey().topk(2),
    }));
    const of = (length: number) =>
      estimateLaunch({
        graphs: [graph, graph],
        shape: { ...shape, qLen: length, kLen: length },
        dtype: 'bf16',
        strides,
      });
    expect(await refused('E010', () => of(2 ** 20))).toMatchInlineSnapshot(`
      "error[E010]: the scores behind 'keys', 1048576 rows of 1048576, have no kernel that keeps none: they take 43692 rounds of launches, of 16384 at most
        = help: score fewer rows with q.last(n), or pools with q.pool(size) and k.pool(size); no scores are kept of a softmax of q.last(n), n up to 256, that is summed per key or per distance, of exp() of q with pools of k, summed per block, and of antidiagonal scores, summed per block; or use the CPU device"
    `);
    expect(of(2 ** 14).kernels.length).toBeGreaterThan(0);
    // Whole blocks of rows, of all query heads of a KV head, are kept at once.
    const blocks = trace(({ q, k }) => ({
      blocks: q.dot(k).causal().softmax().sumPerBlock(4096).sumPerGroup().topk(2),
    }));
    const many = { ...shape, heads: 16, kvHeads: 2, qLen: 2 ** 16, kLen: 2 ** 16 };
    expect(
      await refused('E010', () =>
        estimateLaunch({
          graphs: Array.from({ length: 16 }, () => blocks),
          shape: many,
          dtype: 'bf16',
          strides,
        }),
      ),
    ).toContain('bytes at once');
  });
});
