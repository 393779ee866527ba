// Warm calls on a GPU: what they ask of the driver, and that memory which is used again at once is nobody's. On the
// simulated driver, whose kernels compute nothing.

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, expect, it, vi } from 'vitest';
import { causal, compile, i32, openDevice, pattern, tensor, verticalSlash } from '../../index.ts';
import { stageOf } from '../../runtime/commands/performed.ts';
import { BlockMemory } from '../../runtime/cuda/block.ts';
import type { Gpu } from '../../runtime/cuda/gpu.ts';
import { Sequences } from '../../runtime/cuda/sequence.ts';
import { type DeviceSet, readChosen } from '../../runtime/cuda/sets.ts';
import { aliveObjects, driverCalls, useSimulatedDriver } from '../native/simulated.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const memory = 2 ** 26;
useSimulatedDriver({ memory });
const device = await openDevice('cuda');
const machine = device.machine as Gpu;
afterAll(() => device.dispose());

const sizes = { heads: 2, headDim: 16, dtype: 'bf16' as const, device };
const q = await device.upload(tensor.random([1, 2, 100, 16], { dtype: 'bf16' }));
const inputs = { q, k: q, v: q };
const attend = await compile(causal, sizes);
/** With budgets that leave something out: else there is nothing to estimate. */
const sparsePattern = verticalSlash.with({ verticals: 5, slashes: 9 });

const addressOf = ({ memory: own }: { readonly memory: unknown }): number => {
  if (!(own instanceof BlockMemory)) throw new Error('the tensor is not on the device');
  return own.address;
};

/** How often a call asks the native core for each of these. */
async function countOf(call: () => Promise<void>): Promise<Record<string, number>> {
  const spies = (['alloc', 'free', 'write', 'upload', 'replay'] as const).map(
    (method) => [method, vi.spyOn(machine.device, method)] as const,
  );
  await call();
  return Object.fromEntries(
    spies.map(([method, spy]) => {
      const { length } = spy.mock.calls;
      spy.mockRestore();
      return [method, length];
    }),
  );
}

it('a warm call launches, and asks for nothing else', async () => {
  const call = async () => {
    const { out, lse } = await attend(inputs);
    out.dispose();
    lse.dispose();
  };
  await call();
  expect(await countOf(call)).toEqual({ alloc: 0, free: 0, write: 0, upload: 0, replay: 1 });
});

it('a warm call with an estimate does so too, and its sets go with its results', async () => {
  const sparse = await compile(sparsePattern, sizes);
  const call = async () => {
    const { out, lse } = await sparse(inputs);
    out.dispose();
    lse.dispose();
  };
  await call();
  expect(await countOf(call)).toEqual({ alloc: 0, free: 0, write: 0, upload: 0, replay: 1 });
});

it('sets that were asked for outlive the results, others do not', async () => {
  const sparse = await compile(sparsePattern, sizes);
  const result = await sparse(inputs);
  const { chosen } = result;
  for (const tensor of [result.out, result.lse]) tensor.dispose();
  expect(result.chosen).toBe(chosen);
  const later = await sparse(inputs);
  const places = ({ columns }: typeof chosen) => (columns as DeviceSet).address;
  expect(places(later.chosen)).not.toBe(places(chosen));
  await readChosen(chosen);

  const late = await sparse(inputs);
  late.out.dispose();
  late.lse.dispose();
  expect(() => late.chosen).toThrow(expect.objectContaining({ code: 'R003' }));
});

it('a warm call with the sets of an earlier one launches its attention alone, wherever they are', async () => {
  const sparse = await compile(sparsePattern, sizes);
  const { chosen } = await sparse(inputs);
  const inHost = Object.fromEntries(
    Object.entries(await readChosen(chosen)).map(([name, { axes, perGroup, units, dense }]) => [
      name,
      { axes, perGroup, units, dense },
    ]),
  );
  const call = (sets: typeof chosen) => async () => {
    const { out, lse } = await sparse({ ...inputs, chosen: sets });
    out.dispose();
    lse.dispose();
  };
  for (const [sets, write] of [
    [chosen, 0],
    [inHost, 2],
    [chosen, 0],
  ] as const) {
    await call(sets)();
    expect(await countOf(call(sets))).toEqual({ alloc: 0, free: 0, write, upload: 0, replay: 1 });
  }
});

it('results that are held at the same time lie apart', async () => {
  const results = await Promise.all(Array.from({ length: 30 }, () => attend(inputs)));
  const places = results.flatMap(({ out, lse }) => [addressOf(out), addressOf(lse)]);
  expect(new Set(places).size).toBe(places.length);
  for (const { out, lse } of results) {
    out.dispose();
    expect(await lse.read()).toHaveLength(200);
    lse.dispose();
    lse.dispose();
  }
});

it('what is disposed of while it is read stays until it was read', async () => {
  const { out, lse } = await attend(inputs);
  const place = addressOf(out);
  const reading = out.read();
  out.dispose();
  lse.dispose();
  const other = await attend(inputs);
  expect(addressOf(other.out)).not.toBe(place);
  expect(await reading).toHaveLength(3200);
  const last = await attend(inputs);
  expect(addressOf(last.out)).toBe(place);
  for (const one of [other, last]) {
    one.out.dispose();
    one.lse.dispose();
  }
});

it('every call has an error word that no other call had, all ones', async () => {
  const words = new Set<number>();
  const run = vi.spyOn(Sequences.prototype, 'run').mockImplementation((_, [places]) => {
    words.add(places!.error!);
  });
  const results = [];
  const calls = 5000;
  for (let i = 0; i < calls; i += 1) results.push(await attend(inputs));
  run.mockRestore();
  expect(words.size).toBe(calls);
  for (const word of [...words].filter((_, i) => i % 997 === 0)) {
    const value = new BigUint64Array(1);
    await machine.download(word, value);
    expect(value[0]).toBe(2n ** 64n - 1n);
  }
  for (const { out, lse } of results) {
    out.dispose();
    lse.dispose();
  }
});

it('results that are dropped are freed', async () => {
  const { held } = machine.device.memory();
  const drop = async () => {
    for (let i = 0; i < 200; i += 1) await attend(inputs);
  };
  await drop();
  expect(machine.device.memory().held).toBeGreaterThan(held + 100 * 3200);
  for (let i = 0; i < 20 && machine.device.memory().held > held; i += 1) {
    collectGarbage();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  expect(machine.device.memory().held).toBeLessThanOrEqual(held + 40_000);
});

it('memory that is kept for the next call is there for others when it is short', async () => {
  const kept = memory / 16;
  const long = await device.upload(tensor.zeros([kept / 2], { dtype: 'bf16' }));
  long.dispose();
  const { held } = machine.device.memory();
  expect(held).toBeGreaterThan(kept);
  const whole = memory - (held - kept) - 2 ** 20;
  const most = await device.upload(tensor.zeros([whole / 2], { dtype: 'bf16' }));
  expect(machine.device.memory().held).toBeLessThan(memory);
  most.dispose();
});

it('integers computed from captured values are proved again where the values are others', async () => {
  const scaled = pattern('scaled', { doc: i32('batch', 'k') }).mask(
    ({ q, k, batch }, { doc }) => k <= q && doc.at(batch, k) * 4 < k + 100,
  );
  const own = await compile(scaled, sizes);
  const doc = (value: number) => tensor(new Int32Array(100).fill(value), { shape: [1, 100] });
  await own({ ...inputs, doc: doc(3) });
  await own({ ...inputs, doc: doc(4) });
  await expect(own({ ...inputs, doc: doc(2 ** 30) })).rejects.toThrow('T009');
  await own({ ...inputs, doc: doc(5) });
});

it('times the steps of its lists one by one when asked, and enqueues them whole again afterwards', async () => {
  const sparse = await compile(sparsePattern, sizes);
  const steps = await machine.timeSteps(() => sparse(inputs));
  expect(steps.map(({ name }) => name)).toContain('attention');
  const stages = new Set(steps.flatMap(({ name }) => (name === 'fill' ? [] : [stageOf(name)])));
  for (const stage of ['estimate', 'select', 'convert', 'attention'])
    expect(stages).toContain(stage);
  for (const { ms } of steps) expect(ms).toBeGreaterThanOrEqual(0);
  const whole = vi.spyOn(machine.device, 'replay');
  await sparse(inputs);
  expect(whole.mock.calls.length).toBe(1);
  whole.mockRestore();
});

it('a call with an estimate is one graph from the second of its kind on, unless graphs are switched off', async () => {
  const call = async (attend: Awaited<ReturnType<typeof compile>>) => {
    await driverCalls(machine.device);
    const { out, lse } = await attend(inputs);
    for (const tensor of [out, lse]) tensor.dispose();
    const { cuLaunchKernel = 0, cuGraphLaunch = 0 } = await driverCalls(machine.device);
    return { kernels: cuLaunchKernel, graphs: cuGraphLaunch };
  };
  const sparse = await compile(sparsePattern.with({ verticals: 7 }), sizes);
  const { kernels } = await call(sparse);
  expect(kernels).toBeGreaterThan(5);
  expect(await call(sparse)).toEqual({ kernels: 0, graphs: 1 });
  expect(await call(sparse)).toEqual({ kernels: 0, graphs: 1 });
  // One kernel is no graph.
  for (let i = 0; i < 3; i += 1)
    expect(await call(attend as never)).toEqual({ kernels: 1, graphs: 0 });
  process.env.WARPLOOM_GRAPHS = 'off';
  try {
    const plain = await compile(sparsePattern.with({ verticals: 8 }), sizes);
    for (let i = 0; i < 3; i += 1) expect(await call(plain)).toEqual({ kernels, graphs: 0 });
  } finally {
    delete process.env.WARPLOOM_GRAPHS;
  }
});

it('graphs of calls that nobody makes any more are given back', async () => {
  const { graphs = 0 } = await aliveObjects(machine.device);
  const make = async (verticals: number) => {
    const own = await compile(sparsePattern.with({ verticals }), sizes);
    for (let i = 0; i < 3; i += 1) await own(inputs);
  };
  for (let i = 0; i < 5; i += 1) await make(10 + i);
  const made = (await aliveObjects(machine.device)).graphs ?? 0;
  expect(made).toBe(graphs + 5);
  let left = made;
  for (let i = 0; i < 20 && left > graphs; i += 1) {
    collectGarbage();
    await new Promise((resolve) => setTimeout(resolve, 5));
    left = (await aliveObjects(machine.device)).graphs ?? 0;
  }
  expect(left).toBeLessThan(made);
});
