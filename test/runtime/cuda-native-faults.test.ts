// Two CUDA devices of one process, on a simulated driver: neither touches the other, and a kernel that faults
// ends one of them for good.

import { expect, it } from 'vitest';
import { encodeLaunchList, type LaunchRecord } from '../../runtime/cuda/launch-list.ts';
import { type CudaDevice, cudaDevices, openCudaDevice } from '../../runtime/cuda/native.ts';
import { argument, kernels, useSimulatedDriver } from '../native/simulated.ts';

useSimulatedDriver({ devices: 2 });

async function open(ordinal: number) {
  const device = await openCudaDevice(ordinal);
  const module = await device.load(kernels);
  const launch = (kernel: string, address: number, count: number): LaunchRecord => ({
    op: 'launch',
    handle: device.function(module, kernel, 0).handle,
    grid: [1, 1, 1],
    block: [32, 1, 1],
    sharedBytes: 0,
    args: argument(address, count),
  });
  const run = (kernel: string, address = 0, count = 0) =>
    device.run(encodeLaunchList([launch(kernel, address, count)]));
  return { device, run };
}

/** A launch between an upload and a download, on a device that works. */
async function works({ device, run }: Awaited<ReturnType<typeof open>>, value: number) {
  const address = device.alloc(4096);
  await device.upload(address, new Uint32Array(1024).fill(value));
  run('add_one', address, 1024);
  const out = new Uint32Array(1024);
  await device.download(address, out);
  device.free(address);
  return out.every((x) => x === value + 1);
}

const lost = (call: (device: CudaDevice) => unknown, device: CudaDevice) =>
  expect((async () => call(device))(), String(call)).rejects.toMatchObject({
    code: 'R008',
    message: expect.stringContaining('CUDA_ERROR_ILLEGAL_ADDRESS (700)'),
  });

it('two devices work side by side, from one thread', async () => {
  expect(cudaDevices().devices.map(({ name }) => name)).toEqual(['Simulated 0', 'Simulated 1']);
  const both = await Promise.all([open(0), open(1)]);
  const rounds = Array.from({ length: 20 }, (_, i) => works(both[i % 2]!, i));
  expect(await Promise.all(rounds)).toEqual(rounds.map(() => true));
  // Memory of one is not memory of the other.
  const address = both[0].device.alloc(64);
  expect(() => both[1].device.free(address)).toThrow(/nothing is allocated/);
  expect(both[1].device.memory().held).toBe(0);
  await both[0].device.dispose();
  expect(await works(both[1], 5)).toBe(true);
  await both[1].device.dispose();
});

it('two owners of one device do not share what they made', async () => {
  const [a, b] = [await open(0), await open(0)];
  const address = a.device.alloc(64);
  expect(() => b.device.free(address)).toThrow(/nothing is allocated/);
  await a.device.dispose();
  expect(await works(b, 1)).toBe(true);
  await b.device.dispose();
});

it('a fault refuses the device from then on, and only that device', async () => {
  const [good, bad, other] = [await open(1), await open(0), await open(0)];
  const { device } = bad;
  const address = device.alloc(64);
  const view = new Uint8Array(64);
  const module = await device.load(kernels);
  const event = device.event();

  bad.run('wait', 0, 20_000);
  bad.run('fault');
  const reading = device.download(address, view);
  await lost(() => reading, device);
  const calls: ((device: CudaDevice) => unknown)[] = [
    (device) => device.alloc(64),
    (device) => device.free(address),
    (device) => device.write(address, view),
    (device) => device.upload(address, view),
    (device) => device.download(address, view),
    (device) => device.load(kernels),
    (device) => device.unload(module),
    (device) => device.function(module, 'add_one', 0),
    (device) => device.run(new Uint8Array(0)),
    (device) => device.event(),
    (device) => device.drop(event),
    (device) => device.elapsed(event, event),
    (device) => device.synchronize(),
    (device) => device.memory(),
  ];
  for (const call of calls) await lost(call, device);
  // The context is one for the process.
  await lost(() => other.device.alloc(64), other.device);
  await lost(() => openCudaDevice(0), device);
  expect(await works(good, 7)).toBe(true);

  // Leaving works, as far as it can, and changes nothing.
  await device.dispose();
  await device.dispose();
  await other.device.dispose();
  await lost(() => openCudaDevice(0), device);
  await good.device.dispose();
});
