// The emulator as a device: patterns compiled and run on it, and the faults that stop it.

import { afterAll, describe, expect, it } from 'vitest';
import type { AnyPattern } from '../../dsl/pattern.ts';
import { aShape, blockSparse, flashPrefill, verticalSlash } from '../../patterns/index.ts';
import { compile } from '../../runtime/attend.ts';
import { GpuDevice } from '../../runtime/cuda/device.ts';
import { readChosen } from '../../runtime/cuda/sets.ts';
import { EmulatedMachine } from '../../runtime/emulator/machine.ts';
import { tensor } from '../../runtime/tensor.ts';
import { compareWithOracle, showDisagreements } from '../../runtime/testing/agree.ts';
import { bytesOf, floats, int, kernelOf, launch, pointer } from './emulator-kernels.ts';

describe('attention on the emulated device', () => {
  const device = new GpuDevice(new EmulatedMachine('sm_80'));
  afterAll(() => device.dispose());
  const shape = { heads: 4, kvHeads: 2, headDim: 32, dtype: 'bf16' } as const;
  const random = (heads: number, rows: number, seed: number) =>
    tensor.random([2, heads, rows, 32], { dtype: 'bf16', seed });
  const inputs = { q: random(4, 150, 1), k: random(2, 190, 2), v: random(2, 190, 3) };

  const calls: readonly (readonly [AnyPattern, Readonly<Record<string, number>>])[] = [
    [aShape, { sinks: 5, window: 70 }],
    [verticalSlash, { verticals: 20, slashes: 110 }],
    [blockSparse, { blocksPerRow: 2 }],
    [flashPrefill, { share: 0.5, tail: 20 }],
  ];

  it.each(calls)('is what the oracle says of it: call %#', async (pattern, params) => {
    const attend = await compile(pattern, { ...shape, device });
    const outcome = await attend(inputs, params);
    await readChosen(outcome.chosen);
    const { disagreements } = await compareWithOracle(pattern, inputs, params, outcome);
    expect(showDisagreements(disagreements)).toBe('');
  });
});

describe('the emulated machine', () => {
  const scale = kernelOf('scale', {
    fields: [pointer('x', 'const float'), pointer('y', 'float'), int('n')],
    body: '  p.y[threadIdx.x] = p.x[threadIdx.x] * (float)p.n;',
  });
  const values = Float32Array.from({ length: 32 }, (_, i) => i);

  it('runs lists in the order of the calls, in parts of allocations', async () => {
    const machine = new EmulatedMachine('sm_80');
    const { address } = machine.alloc(1024);
    machine.write(address + 256, values);
    const twice = await machine.prepare(launch(scale, { n: 2 }));
    machine.run(twice, { x: address + 256, y: address });
    machine.run(twice, { x: address, y: address + 512 });
    const got = new Uint8Array(128);
    await machine.download(address + 512, got);
    expect(floats(got)).toEqual(values.map((x) => 4 * x));
    await machine.dispose();
    expect(() => machine.check()).toThrow('this device was disposed');
  });

  it('has the order of its threads by a seed', async () => {
    const said = kernelOf('said', {
      fields: [pointer('y', 'float')],
      body: '  __syncthreads();\n  printf("%d ", threadIdx.x >> 5);',
      threads: 96,
    });
    const order = async (seed: number): Promise<string> => {
      let printed = '';
      const machine = new EmulatedMachine('sm_90a', { seed, onPrint: (text) => (printed += text) });
      const { address } = machine.alloc(4);
      machine.run(await machine.prepare(launch(said)), { y: address });
      await machine.dispose();
      return printed;
    };
    const [first, second] = [await order(0), await order(7)];
    expect(second).not.toBe(first);
    expect(await order(7)).toBe(second);
    expect([...second].sort()).toEqual([...first].sort());
  });

  it('keeps the first fault', async () => {
    const machine = new EmulatedMachine('sm_80');
    const from = machine.alloc(128);
    const to = machine.alloc(128);
    const ready = await machine.prepare(launch(scale, { n: 2 }));
    machine.run(ready, { x: from.address, y: to.address });
    machine.write(from.address, values);
    const says = /uninitialised: scale, .* reads byte 0 of '\d+', which nothing wrote/;
    await expect(machine.download(to.address, bytesOf(values).slice())).rejects.toThrow(says);
    expect(() => machine.check()).toThrow(says);
    await machine.dispose();
  });

  it('has places for buffers without bytes, and none beyond', async () => {
    const machine = new EmulatedMachine('sm_80');
    const [first, second] = [machine.alloc(256), machine.alloc(0)];
    const nothing = new Uint8Array(0);
    for (const place of [first.address + 256, second.address])
      await machine.download(place, nothing);
    expect(second.address).toBeGreaterThan(first.address + 256);
    await expect(machine.download(first.address + 257, nothing)).rejects.toThrow('nothing is');
    await machine.dispose();
  });

  it('gives workspace guards of its own', async () => {
    const machine = new EmulatedMachine('sm_80');
    const block = machine.alloc(1024);
    machine.write(block.address, values);
    const list = { ...launch(scale, { n: 2 }), workspace: [{ name: 'y', bytes: 64 }] };
    machine.run(await machine.prepare(list), { x: block.address, y: block.address + 256 });
    const says = "writes 4 bytes at byte 64 of 'y', which has 64 bytes";
    await expect(machine.synchronize()).rejects.toThrow(says);
    await machine.dispose();
  });
});
