// Packed sequences: the rows of each are, to the bit, those of a call of its own.

import { afterAll, expect, it } from 'vitest';
import { attentionKernel } from '../../codegen/attention/kernel.ts';
import { attentionLaunch, paramsOf } from '../../codegen/attention/launch.ts';
import { lifted } from '../../dsl/definition.ts';
import { count } from '../../dsl/given.ts';
import { pattern } from '../../dsl/pattern.ts';
import { compile } from '../../runtime/attend.ts';
import { openDevice } from '../../runtime/device.ts';
import { bytesOf } from '../../runtime/dtype.ts';
import { runEmulated } from '../../runtime/emulator/run.ts';
import { tensor } from '../../runtime/tensor.ts';

const device = await openDevice('emulated:sm_80');
afterAll(() => device.dispose());

const knobs = { qTile: 32, kTile: 16, warps: 2, stages: 2 };
const windowed = pattern('windowed', { window: count.default(24) })
  .mask(({ q, k, row, batch }, { window }) => k <= q && (q - k < window + batch || row < 3))
  .schedule(knobs);
const [heads, kvHeads, dim] = [4, 2, 16];
const windows = [24, 0, 7, 1000];

/** As many queries as keys; none; fewer; more; one. */
const segments = { q: [0, 40, 40, 75, 140, 141], k: [0, 40, 90, 150, 170, 203] };
const [qTotal, kTotal] = [segments.q.at(-1)!, segments.k.at(-1)!];

it('sequences packed one after another do not see each other', async () => {
  const { declarations, mask } = lifted(windowed.definition);
  const attention = attentionKernel({
    declarations,
    mask,
    score: undefined,
    fixed: {},
    gather: undefined,
    restSize: undefined,
    perGroup: new Set(),
    dtype: 'bf16',
    headDim: dim,
    valueDim: dim,
    segments: true,
    knobs: { ...knobs, blocks: 1 },
  });
  const batch = segments.q.length - 1;
  const rowsOf = (total: number) => ({ batch: 0, head: total * dim, row: dim });
  const params = { window: windows };
  const list = attentionLaunch({
    multiprocessors: 1,
    attention,
    declarations,
    dtype: 'bf16',
    // The longest of each.
    shape: { batch, heads, kvHeads, qLen: 65, kLen: 60, headDim: dim, valueDim: dim },
    strides: { q: rowsOf(qTotal), k: rowsOf(kTotal), v: rowsOf(kTotal), out: rowsOf(qTotal) },
    params,
    sets: {},
    captured: {},
    segments,
  });
  const random = (count: number, total: number, seed: number) =>
    tensor.random([1, count, total, dim], { dtype: 'bf16', seed });
  const [q, k, v] = [
    random(heads, qTotal, 1),
    random(kvHeads, kTotal, 2),
    random(kvHeads, kTotal, 3),
  ];
  const whole = (data: ArrayBufferView) => bytesOf(data as never, 0, Number.POSITIVE_INFINITY);
  const after = await runEmulated(list, {
    q: whole(q.data),
    k: whole(k.data),
    v: whole(v.data),
    out: { bytes: heads * qTotal * dim * 2 },
    lse: { bytes: heads * qTotal * 4 },
    error: new Uint8Array(8).fill(0xff),
    params: whole(paramsOf(declarations, params, heads)),
    q_starts: whole(Int32Array.from(segments.q)),
    k_starts: whole(Int32Array.from(segments.k)),
  });
  const out = new Uint16Array(after.out.buffer);
  const lse = new Float32Array(after.lse.buffer);

  const attend = await compile(windowed, { heads, kvHeads, headDim: dim, dtype: 'bf16', device });
  /** Rows [from, to) of every head. */
  const rows = (data: ArrayLike<number>, total: number, size: number, from: number, to: number) =>
    Array.from({ length: data.length / (total * size) }, (_, head) =>
      Array.from(
        { length: (to - from) * size },
        (__, i) => data[(head * total + from) * size + i]!,
      ),
    ).flat();
  for (let i = 0; i < batch; i += 1) {
    const [q0, q1, k0, k1] = [
      segments.q[i]!,
      segments.q[i + 1]!,
      segments.k[i]!,
      segments.k[i + 1]!,
    ];
    const cut = async (from: typeof q, count: number, total: number, a: number, b: number) =>
      tensor(Float32Array.from(rows(await from.read(), total, dim, a, b)), {
        shape: [1, count, b - a, dim],
        dtype: 'bf16',
      });
    const own = await attend(
      {
        q: await cut(q, heads, qTotal, q0, q1),
        k: await cut(k, kvHeads, kTotal, k0, k1),
        v: await cut(v, kvHeads, kTotal, k0, k1),
      },
      // The number of the sequence is its batch index.
      { window: windows.map((window) => window + i) },
    );
    const bits = tensor(Float32Array.from(await own.out.read()), {
      shape: own.out.shape,
      dtype: 'bf16',
    });
    expect(rows(out, qTotal, dim, q0, q1), `sequence ${i}`).toEqual([
      ...(bits.data as Uint16Array),
    ]);
    expect(rows(lse, qTotal, 1, q0, q1)).toEqual([...(await own.lse.read())]);
  }
});
