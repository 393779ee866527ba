// Law 14 for running: every code of group R, and the codes of lifting as a call
// gives them. The words of the command line: test/cli.

import { Worker } from 'node:worker_threads';
import { describe, expect, it, vi } from 'vitest';
import { count, pattern } from '../../dsl/index.ts';
import { fromMInference, patterns } from '../../patterns/index.ts';
import { compile } from '../../runtime/attend.ts';
import { errorBound } from '../../runtime/bound.ts';
import { findTarget } from '../../runtime/commands/target.ts';
import type { Job } from '../../runtime/cpu/job.ts';
import { Pool } from '../../runtime/cpu/pool.ts';
import { openDevice } from '../../runtime/device.ts';
import { reference } from '../../runtime/reference/attention.ts';
import { tensor } from '../../runtime/tensor.ts';
import { tune } from '../../runtime/tuner/tune.ts';
import { attend, options, oracle, refused, takenByBoth, tensors } from './cases.ts';

const causal = pattern('causal').mask(({ q, k }) => k <= q);
let changing = 2;

describe('R001: a pattern that cannot be found', () => {
  it('a name that no pattern has', async () => {
    const find = (name: string) => () =>
      findTarget(name, { patterns, readHeads: fromMInference, modules: {} });
    expect(await refused('R001', find('a-shap'))).toMatch(
      /there is no pattern 'a-shap'\n.*a-shape/,
    );
    expect((await find('a-shape')()).name).toBe('a-shape');
  });
});

describe('R002: a device that is not there', () => {
  it('by name', async () => {
    expect(await refused('R002', () => openDevice('tpu'))).toMatchInlineSnapshot(`
      "error[R002]: there is no device 'tpu'
        = help: this version has: cpu, cuda, emulated:sm_80, emulated:sm_90a; 'cuda:1' is the second GPU"
    `);
    expect((await openDevice('cpu', { threads: 0 })).kind).toBe('cpu');
  });

  it('by WARPLOOM_DEVICE', async () => {
    vi.stubEnv('WARPLOOM_DEVICE', 'tpu');
    await refused('R002', () => openDevice());
    vi.stubEnv('WARPLOOM_DEVICE', 'cpu');
    expect((await openDevice(undefined, { threads: 0 })).kind).toBe('cpu');
    vi.unstubAllEnvs();
  });
});

describe('R003: used after dispose', () => {
  it('the function', async () => {
    const call = await compile(causal, options);
    await call(tensors());
    await call.dispose();
    expect(await refused('R003', () => call(tensors()))).toMatchInlineSnapshot(`
      "error[R003]: this function was disposed
        = help: compile the pattern again"
    `);
    await refused('R003', () => call.estimate(tensors()));
    // Its device was not its own: others go on.
    await attend(causal);
  });

  it('the device', async () => {
    const own = await openDevice('cpu', { threads: 0 });
    const call = await compile(causal, { ...options, device: own });
    await call(tensors());
    await own.dispose();
    expect(await refused('R003', () => call(tensors()))).toMatchInlineSnapshot(`
      "error[R003]: this device was disposed
        = help: open another with openDevice()"
    `);
  });

  it('the device, while it works', async () => {
    const own = await openDevice('cpu', { threads: 1 });
    const call = await compile(causal, { heads: 4, headDim: 64, dtype: 'fp32', device: own });
    const long = tensor.zeros([1, 4, 2048, 64]);
    const running = refused('R003', () => call({ q: long, k: long, v: long }));
    await new Promise((resolve) => setTimeout(resolve, 20));
    await own.dispose();
    expect(await running).toMatchInlineSnapshot(`
      "error[R003]: the device was disposed while it worked
        = help: await its calls before you dispose of it"
    `);
  });

  it('the device, while it chooses sets: no thread is started for the attention', async () => {
    const own = await openDevice('cpu', { threads: 2 });
    const options = { heads: 8, kvHeads: 2, headDim: 64, dtype: 'fp32', device: own } as const;
    const call = await compile(patterns.get('vertical-slash')!, options);
    const [q, k] = [8, 2].map((heads) => tensor.random([1, heads, 1500, 64]));
    const start = vi.spyOn(Worker.prototype, 'postMessage');
    const running = refused('R003', () => call({ q: q!, k: k!, v: k! }, { verticals: 100 }));
    await own.dispose();
    expect(await running).toContain('the device was disposed while it worked');
    expect(start).not.toHaveBeenCalled();
    start.mockRestore();
  });
});

describe('R004: a worker that failed', () => {
  it('a worker that ends, and the next job', async () => {
    const rows = { data: new Float32Array(8), dtype: 'fp32', strides: [8, 8, 8], dim: 8 } as const;
    const shape = {
      batch: 1,
      heads: 1,
      kvHeads: 1,
      qLen: 4096,
      kLen: 8192,
      headDim: 8,
      valueDim: 8,
    };
    // No honest mask ends a worker: this one calls what it should only name.
    const job = (name: string): Job => ({
      shape: { ...shape, qLen: name === 'k' ? 1 : shape.qLen },
      mask: { op: 'compare', kind: 'bool', name: 'lt', args: [index(name), index('q')] },
      score: undefined,
      params: {},
      captured: {},
      sets: {},
      headList: [0],
      qTile: 64,
      kTile: 64,
      order: undefined,
      gather: undefined,
      restSize: undefined,
      stated: undefined,
      buffers: { q: rows, k: rows, v: rows, out: rows, lse: rows },
    });
    const index = (name: string) => ({ op: 'index', kind: 'int', name }) as never;
    const pool = new Pool(1);
    expect(await refused('R004', () => pool.run(job('process.exit(3)')))).toMatchInlineSnapshot(`
      "error[R004]: a worker thread of the CPU device failed: a worker ended with code 3
        = help: run it on one thread: openDevice('cpu', { threads: 0 })"
    `);
    await pool.run(job('k'));
    await pool.close();
  });
});

describe('R005: an option that is not understood', () => {
  it.each([null, 5, { sed: 7 }])('options that are %j', async (given) => {
    const wrong = given as never;
    await refused('R005', () => openDevice('cpu', wrong));
    await refused('R005', () => tune(causal, wrong));
    await refused('R005', () => compile(causal, wrong));
    await refused('R005', () => reference(causal, tensors(), {}, wrong));
  });

  it.each<[string, () => unknown]>([
    ['rows', () => reference(causal, tensors(), {}, { rows: 5 as never })],
    ['a magnitude', () => errorBound('fp32', 10, 64, undefined as never)],
    ['a length', () => errorBound('fp32', -10, 64, { value: 1 })],
    ['a misspelled option', () => compile(causal, { ...options, fallbak: 'dense' } as never)],
  ])('%s', async (_, make) => {
    await refused('R005', make as never);
  });

  it.each([-1, 1.5, Number.NaN, 5000, '2'])('%s threads', async (threads) => {
    await refused('R005', () => openDevice('cpu', { threads: threads as number }));
  });

  it('says what is', async () => {
    expect(await refused('R005', () => openDevice('cpu', { threads: -1 }))).toMatchInlineSnapshot(`
      "error[R005]: threads is -1
        = help: give an integer from 0 to 1024"
    `);
    expect((await openDevice('cpu', { threads: 2 })).threads).toBe(2);
  });
});

describe('a mask that cannot be lifted is refused before anything runs', () => {
  it('a free variable that can change', async () => {
    const bad = pattern('free').mask(({ q, k }) => q - k < changing);
    changing = 3;
    expect(await refused('L004', () => compile(bad, options))).toMatchInlineSnapshot(`
      "error[L004]: 'changing' can change, so the source does not say its value
        --> running.test.ts:L:C
        |
      N |     const bad = pattern('free').mask(({ q, k }) => q - k < changing);
        |                                                            ^^^^^^^^
        = note: declared here
        --> running.test.ts:L:C
        |
      N | let changing = 2;
        |     ^^^^^^^^^^^^
        = help: write const changing = ..., or declare it: pattern('free', { changing: count })"
    `);
  });

  it('an impure mask', async () => {
    const bad = pattern('impure').mask(({ k }) => Math.random() * 8 < k);
    expect(await refused('L006', () => compile(bad, options))).toMatchInlineSnapshot(`
      "error[L006]: 'Math.random' is not pure
        --> running.test.ts:L:C
        |
      N |     const bad = pattern('impure').mask(({ k }) => Math.random() * 8 < k);
        |                                                   ^^^^^^^^^^^
        = help: capture a tensor of random numbers: pattern('impure', { noise: f32('batch', 'k') })"
    `);
  });

  it('a mask that throws', async () => {
    const bad = pattern('thrower').mask(({ q, k }) => {
      if (q < k) throw new Error('no luck');
      return true;
    });
    expect(await refused('L001', () => compile(bad, options))).toMatchInlineSnapshot(`
      "error[L001]: a device has no exceptions
        --> running.test.ts:L:C
        |
      N |       if (q < k) throw new Error('no luck');
        |                  ^^^^^^^^^^^^^^^^^^^^^^^^^^^
        = help: check values where they are declared: z.int().min(1)"
    `);
    expect(await refused('L018', () => oracle(bad))).toMatchInlineSnapshot(
      `"error[L018]: the mask of 'thrower' throws at (q 2, k 3, row 0, head 0, batch 0): no luck"`,
    );
  });

  it('a mask that is no function', async () => {
    for (const mask of [undefined, 5, 'k <= q', null]) {
      const bad = pattern('none').mask(mask as never);
      await expect(compile(bad, options)).rejects.toThrow(
        /^error\[S008\]: \.mask of 'none' is given/,
      );
    }
  });

  it('all of it at once', async () => {
    const bad = pattern('worst', { window: count })
      // biome-ignore lint/suspicious/noDoubleEquals: what is tested
      .mask(({ q, k }, { window }) => q == k || q / window < changing)
      .schedule({ tile: 3 } as never);
    const text = await refused('S001', () => compile(bad, options));
    const codes = [...text.matchAll(/^error\[(....)\]/gm)].map(([, code]) => code);
    expect(codes).toEqual(['S001', 'L002', 'L004', 'L013']);
  });

  it('and the process lives', () => takenByBoth(causal));
});
