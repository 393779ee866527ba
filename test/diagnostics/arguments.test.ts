// What programs in JavaScript, or numbers out of a file, may hand over: every mistake is a message, none a TypeError.

import { expect, it } from 'vitest';
import { byHead, pattern } from '../../dsl/index.ts';
import { aShape, blockSparse, causal } from '../../patterns/index.ts';
import { type CompileOptions, compile } from '../../runtime/attend.ts';
import { openDevice } from '../../runtime/device.ts';
import { draw } from '../../runtime/draw.ts';
import { explain } from '../../runtime/explain.ts';
import { reference } from '../../runtime/reference/attention.ts';
import { Tensor, tensor } from '../../runtime/tensor.ts';
import { tune } from '../../runtime/tuner/tune.ts';
import { refused } from './cases.ts';

const usual = { heads: 8, kvHeads: 2, headDim: 64, dtype: 'fp32' } as const;
const device = await openDevice('cpu', { threads: 2 });

const compiled = (options: unknown) => () => compile(causal, options as CompileOptions);
const made = (one: unknown) => () => compile(one as typeof causal, { ...usual, device });

it('what is no pattern', async () => {
  const help = "  = help: a pattern ends with its mask: pattern('name').mask(({ q, k }) => k <= q)";
  const said = async (one: unknown) => (await refused('R005', made(one))).split('\n');
  expect(await said(undefined)).toEqual(['error[R005]: undefined is no pattern', help]);
  expect(await said('causal')).toEqual(["error[R005]: 'causal' is no pattern", help]);
  expect(await said(pattern('x'))).toEqual(['error[R005]: an object is no pattern', help]);
  expect(await said(byHead([causal, 5 as never]))).toEqual([
    'error[R005]: entry 1 of byHead is no pattern',
    help,
  ]);
  expect((await said({ byHead: 3 }))[0]).toBe('error[R005]: byHead lists 3');
});

it('heads, dimensions and a dtype that no call has', async () => {
  for (const heads of [0, -2, 1.5, Number.NaN, '2', undefined, 1e9, 2 ** 32])
    expect(await refused('T007', compiled({ ...usual, kvHeads: undefined, heads }))).toContain(
      `heads is ${typeof heads === 'string' ? `'${heads}'` : heads}\n  = help: give a whole number from 1 to 65536`,
    );
  expect(await refused('T007', compiled({ ...usual, kvHeads: 3 }))).toMatchInlineSnapshot(`
    "error[T007]: 8 query heads do not divide among 3 KV heads
      = help: the query heads are a multiple of the KV heads, both from 1"
  `);
  expect(await refused('T002', compiled({ ...usual, headDim: 0 }))).toContain('headDim is 0');
  expect(await refused('T002', compiled({ ...usual, valueDim: '8' }))).toContain("valueDim is '8'");
  expect(await refused('T003', compiled({ ...usual, dtype: 'fp8' }))).toMatchInlineSnapshot(`
    "error[T003]: dtype is 'fp8'
      = help: attention takes fp32, fp16 or bf16"
  `);
});

it('what explain, draw, reference and tune are given', async () => {
  const asked: ((inputs: unknown) => unknown)[] = [
    (inputs) => explain(causal, inputs as never),
    (inputs) => draw(causal, inputs as never),
    (inputs) => tune(causal, { inputs } as never),
  ];
  for (const ask of asked) {
    expect(await refused('R005', () => ask(undefined))).toContain(
      'the tensors of a call are undefined',
    );
    expect(await refused('R005', () => ask({ qLen: 9 }))).toContain(
      'the shape of a call is undefined',
    );
    const said = await refused('T002', () => ask({ shape: { qLen: 9, kLen: Number.NaN } }));
    expect(said).toContain('batch of the shape is undefined');
    expect(said).toContain('kLen of the shape is NaN');
  }
  await refused('R005', () => explain(5 as never, {} as never));
  await refused('R005', () => reference(5 as never, {} as never));
  await refused('R005', () => reference(causal, null as never));
  await refused('R005', () => compile(byHead(5 as never), { ...usual, device }));
});

it('elements of no dtype', async () => {
  const makers = [
    (dtype: never) => tensor([1], { dtype }),
    (dtype: never) => tensor.zeros([2], { dtype }),
    (dtype: never) => tensor.zeros([2]).to(dtype),
    (dtype: never) => new Tensor({ data: new Float32Array(2), shape: [2], dtype }),
  ];
  for (const make of makers)
    expect(await refused('T003', () => make('fp8' as never))).toBe(
      "error[T003]: dtype is 'fp8'\n  = help: it is one of fp32, fp16, bf16, i32",
    );
});

it('sets of a device that became plain data', async () => {
  const emulated = await openDevice('emulated:sm_80');
  const options = { heads: 1, headDim: 8, dtype: 'bf16', device: emulated } as const;
  const attend = await compile(blockSparse, options);
  const x = tensor.random([1, 1, 300, 8], { dtype: 'bf16' });
  const inputs = { q: x, k: x, v: x };
  const numbers = { blocksPerRow: 2 };
  const chosen = JSON.parse(JSON.stringify(await attend.estimate(inputs, numbers)));
  expect(await refused('T011', () => attend({ ...inputs, chosen }, numbers))).toContain("'blocks'");
  await emulated.dispose();
});

it('options that are not understood', async () => {
  expect(await refused('R005', compiled(undefined))).toMatchInlineSnapshot(`
    "error[R005]: the options of compile are undefined
      = help: give { heads: 8, headDim: 64, dtype: 'bf16' }"
  `);
  expect(await refused('R005', compiled({ ...usual, fallback: 'yes' }))).toMatchInlineSnapshot(`
    "error[R005]: fallback is 'yes'
      = help: it is 'none' or 'dense'"
  `);
  expect(await refused('R005', compiled({ ...usual, device: 'cpu' }))).toMatchInlineSnapshot(`
    "error[R005]: device is 'cpu'
      = help: open it: device: await openDevice('cpu')"
  `);
});

it('options of a device', async () => {
  for (const seed of [-1, 1.5, Number.NaN, 'a' as never])
    expect(await refused('R005', () => openDevice('emulated:sm_80', { seed }))).toBe(
      `error[R005]: seed is ${seed}\n  = help: give a whole number from 0`,
    );
});

it('arguments of a call', async () => {
  const attend = await compile(aShape, { ...usual, device });
  const [q, k] = [8, 2].map((heads) => tensor.random([1, heads, 40, 64]));
  const x = { q: q!, k: k!, v: k! };
  const call = attend as unknown as (...given: unknown[]) => Promise<unknown>;
  const said = async (...given: unknown[]) =>
    (await refused('R005', () => call(...given))).split('\n')[0];
  expect(await said()).toBe('error[R005]: the tensors of a call are undefined');
  expect(await said(null)).toBe('error[R005]: the tensors of a call are null');
  expect(await said(x, null)).toBe('error[R005]: the parameters of a call are null');
  expect(await said(x, 5)).toBe('error[R005]: the parameters of a call are 5');
  expect(await said(x, {}, null)).toBe('error[R005]: the options of a call are null');
  expect(await said(x, {}, { signal: {} })).toBe('error[R005]: signal is an object');
  expect(await said(x, {}, { onProgress: 5 })).toBe('error[R005]: onProgress is 5');
  expect(await refused('T006', () => call(x, { window: 3n }))).toContain("parameter 'window' is 3");
  expect(await call(x, { window: 3 }, {})).toHaveProperty('out');
});

it('what a function throws that is told of progress is what the call rejects with', async () => {
  const attend = await compile(causal, { heads: 8, headDim: 64, dtype: 'fp32', device });
  const long = tensor.random([1, 8, 2048, 64]);
  const mine = new Error('mine');
  const onProgress = (): never => {
    throw mine;
  };
  const call = () => attend({ q: long, k: long, v: long }, {}, { onProgress });
  await expect(call()).rejects.toBe(mine);
  // The threads go on with the next.
  expect((await attend({ q: long, k: long, v: long })).out.shape).toEqual([1, 8, 2048, 64]);
});

it('many calls share a signal, and Node sees no leak', async () => {
  const attend = await compile(causal, { heads: 8, headDim: 64, dtype: 'fp32', device });
  const x = tensor.random([1, 8, 700, 64]);
  const warnings: unknown[] = [];
  const hear = (warning: unknown) => warnings.push(warning);
  process.on('warning', hear);
  const { signal } = new AbortController();
  await Promise.all(Array.from({ length: 12 }, () => attend({ q: x, k: x, v: x }, {}, { signal })));
  await new Promise((resolve) => setTimeout(resolve, 10));
  process.off('warning', hear);
  expect(warnings).toEqual([]);
});
