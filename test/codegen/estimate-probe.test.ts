// The sums of the probe's kernels, executed on the CPU, against float64: over many splits and parts of the
// keys, groups of heads and numbers of queries.

import { expect, it } from 'vitest';
import { estimateLaunch } from '../../codegen/estimate/index.ts';
import type { ProductBackend } from '../../codegen/estimate/products.ts';
import type { HalfType, Strides } from '../../codegen/estimate/vectors.ts';
import type { Inputs } from '../../dsl/estimate/values.ts';
import { runEmulated } from '../../runtime/emulator/run.ts';
import { Oracle } from '../../runtime/reference/estimate.ts';
import { tensor } from '../../runtime/tensor.ts';
import { type Call, type CallSizes, callOf, emulate, trace } from './estimate-calls.ts';

/** Sums are compared from here on, relative to their size. */
const least = 1e-6;
const bound = 1e-4;

const sumsOf =
  (probe: number, causal: boolean) =>
  ({ q, k }: Inputs) => {
    const scores = q.last(probe).dot(k);
    const weight = (causal ? scores.causal() : scores).softmax();
    return { keys: weight.sumPerKey().topk(200), distances: weight.sumPerDistance().topk(200) };
  };

const cases: [string, number, boolean, number, CallSizes][] = [
  ['four heads, several splits', 64, true, 24, { batch: 1, heads: 8, kvHeads: 2, headDim: 64 }],
  ['three heads of two blocks', 64, true, 12, { batch: 1, heads: 6, kvHeads: 2, headDim: 200 }],
  ['few queries', 5, true, 12, { batch: 1, heads: 2, kvHeads: 1, headDim: 72, dtype: 'fp16' }],
  ['queries in two launches', 100, true, 12, { heads: 2, kvHeads: 2, headDim: 32 }],
  ['queries in three launches', 192, false, 3, { batch: 1, heads: 5, kvHeads: 1, headDim: 16 }],
  ['no future left out', 40, false, 8, { batch: 1, heads: 2, kvHeads: 1, headDim: 24 }],
  ['boxes of two lines', 100, true, 6, { batch: 2, heads: 6, kvHeads: 2, headDim: 128 }],
  [
    'boxes of four lines',
    64,
    true,
    12,
    { batch: 1, heads: 2, kvHeads: 1, headDim: 256, dtype: 'fp16' },
  ],
  // Who selects from the distances counts first, and adds what diagonals have in the next part.
  // Five multiprocessors have two rounds of blocks for the sums of rows.
  ['long rows', 100, true, 5, { batch: 1, heads: 2, kvHeads: 2, headDim: 8, kLen: 33_000 }],
  ['parts without keys', 64, true, 500, { batch: 1, heads: 2, kvHeads: 1, headDim: 8, kLen: 700 }],
];

const both = (['portable', 'hopper'] as const).flatMap((backend) =>
  cases.map((one) => [backend, ...one] as const),
);

const callOfCase = (probe: number, causal: boolean, sizes: CallSizes): Call =>
  callOf(trace(sumsOf(probe, causal)), { qLen: 300, kLen: 1801, ...sizes });

/** The same call with some numbers of the keys changed. */
async function withKeys(call: Call, change: (numbers: Float32Array) => void): Promise<Call> {
  const numbers = Float32Array.from(await call.k.read());
  change(numbers);
  return { ...call, k: tensor(numbers, { shape: call.k.shape, dtype: 'bf16' }) };
}

it.each(both)('%s, %s: sums are those of float64', async (backend, _, ...one) => {
  const [probe, causal, processors, sizes] = one;
  await checkSums(callOfCase(probe, causal, sizes), processors, backend);
});

const boxed: CallSizes = { batch: 1, heads: 4, kvHeads: 1, headDim: 64 };

it.each(['portable', 'hopper'] as const)(
  '%s: scores may grow far beyond those of the first tile',
  async (backend) => {
    const call = await withKeys(callOfCase(64, true, boxed), (numbers) => {
      // Keys that are read late, each larger than the ones before.
      for (const [key, factor] of [
        [900, 6],
        [401, 12],
        [400, 18],
        [7, 24],
      ] as const)
        for (let i = 0; i < 64; i += 1) numbers[key * 64 + i]! *= factor;
    });
    await checkSums(call, 3, backend);
  },
);

it.each(
  (['portable', 'hopper'] as const).flatMap((backend) =>
    [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY].map(
      (value) => [backend, value] as const,
    ),
  ),
)('%s: a key of %d is told, however late it is read', async (backend, value) => {
  const call = await withKeys(callOfCase(64, true, boxed), (numbers) => {
    numbers[7 * 64 + 3] = value;
  });
  const { error } = await emulate(call, { backend });
  expect(error).toEqual({ batch: 0, head: 0, row: 1801 - 64 });
});

// Of long rows, a wave leaves some of its choice to the next.
const inWaves: [string, readonly number[], CallSizes][] = [
  ['short rows', [0, 1, 4, 5], { batch: 2, heads: 6, kvHeads: 3, headDim: 64, kLen: 700 }],
  ['long rows', [0, 1, 2], { batch: 1, heads: 3, kvHeads: 3, headDim: 8, kLen: 33_000 }],
];

it.each(
  (['portable', 'hopper'] as const).flatMap((backend) =>
    inWaves.map((one) => [backend, ...one] as const),
  ),
)(
  '%s, %s: waves of one KV head choose what one of all chooses',
  async (backend, _, only, sizes) => {
    const call = callOfCase(100, true, sizes);
    const [whole, waves] = await Promise.all([
      emulate(call, { backend, only }),
      emulate(call, { backend, only, scoreBytes: 1 }),
    ]);
    expect(waves.sets).toEqual(whole.sets);
  },
);

async function checkSums(call: Call, processors: number, backend: ProductBackend): Promise<void> {
  const { q, k, shape, graphs } = call;
  const [first, second] = [q, k].map(({ strides }) => strides.slice(0, 3) as unknown as Strides);
  const launch = estimateLaunch({
    graphs,
    shape,
    dtype: q.dtype as HalfType,
    strides: { q: first!, k: second! },
    multiprocessors: processors,
    backend,
  });
  const bytes = ({ data }: typeof q) =>
    new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const sums = launch.list.workspace.filter(({ name }) => /^sums \d/.test(name));
  const known = Object.fromEntries(
    [...launch.results, ...sums].map(({ name, bytes: size }) => [name, { bytes: size }]),
  );
  const list = {
    ...launch.list,
    workspace: launch.list.workspace.filter((one) => !sums.includes(one)),
  };
  const after: Record<string, Uint8Array> = await runEmulated(list, {
    q: bytes(q),
    k: bytes(k),
    ...known,
  });
  const names = ['sums 0', 'sums 1'] as const;
  for (let batch = 0; batch < shape.batch; batch++) {
    for (let head = 0; head < shape.heads; head++) {
      const oracle = new Oracle(call, batch, Math.floor(head / (shape.heads / shape.kvHeads)));
      for (const [i, set] of (['keys', 'distances'] as const).entries()) {
        const leaf = graphs[head]![set]!;
        if (leaf.op !== 'topk') throw new Error('a leaf');
        const [row] = oracle.weigh(leaf.of, head).rows;
        const all = new Float32Array(after[names[i]!]!.slice().buffer);
        const stride = all.length / (shape.batch * shape.heads);
        const own = all.subarray((batch * shape.heads + head) * stride);
        const wrong = [...row!.values].flatMap((value, at) => {
          const off = Math.abs(own[at]! - value) / Math.max(value, least);
          return off <= bound ? [] : [`${set} ${at} of head ${head}: ${own[at]} for ${value}`];
        });
        expect(wrong).toEqual([]);
      }
    }
  }
}
