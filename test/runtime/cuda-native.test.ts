// The CUDA core on a simulated driver: that work happens in the order it is asked for, that memory is given
// back, and what a call costs. Errors: cuda-native-errors.test.ts. Processes and threads:
// cuda-native-processes.test.ts.

import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeLaunchList, type LaunchRecord } from '../../runtime/cuda/launch-list.ts';
import { type CudaDevice, cudaDevices, openCudaDevice } from '../../runtime/cuda/native.ts';
import { encodeTensorMap } from '../../runtime/cuda/tensor-map.ts';
import { aliveObjects, argument, image, kernels, useSimulatedDriver } from '../native/simulated.ts';

const memory = 2 ** 28;
useSimulatedDriver({ memory });

let device: CudaDevice;
let launch: (kernel: string, address: number, count: number) => LaunchRecord;

beforeAll(async () => {
  device = await openCudaDevice();
  const module = await device.load(kernels);
  const handles = new Map(
    ['add_one', 'wait', 'shape'].map((name) => [name, device.function(module, name, 0).handle]),
  );
  launch = (kernel, address, count) => ({
    op: 'launch',
    handle: handles.get(kernel)!,
    grid: [1, 1, 1],
    block: [32, 1, 1],
    sharedBytes: 0,
    args: argument(address, count),
  });
});

afterAll(() => device.dispose());

const run = (...records: LaunchRecord[]) => device.run(encodeLaunchList(records));
/** Keeps the stream busy, so that what must wait for it is seen to wait. */
const busy = (milliseconds = 30) => run(launch('wait', 0, milliseconds * 1000));
const rising = (count: number) => Uint32Array.from({ length: count }, (_, i) => i);

describe('the devices', () => {
  it('are listed with their properties, without being opened', () => {
    const { driver, error, devices } = cudaDevices();
    expect({ driver, error, count: devices.length }).toEqual({
      driver: '13.0',
      error: undefined,
      count: 1,
    });
    const { driver: version, ...opened } = device.properties;
    expect(devices[0]).toEqual(opened);
    expect(version).toBe('13.0');
    expect(opened).toMatchObject({ name: 'Simulated 0', major: 9, minor: 0, memoryBytes: memory });
  });
});

describe('memory', () => {
  it('is counted while it is held', () => {
    const before = device.memory().held;
    const address = device.alloc(1000);
    expect(address % 256).toBe(0);
    expect(device.memory()).toMatchObject({ total: memory, held: before + 1000 });
    device.free(address);
    expect(device.memory().held).toBe(before);
  });

  it('that a download reads lives until it is read', async () => {
    const count = 100_000;
    const address = device.alloc(4 * count);
    await device.upload(address, rising(count));
    busy();
    const out = new Uint32Array(count);
    const reading = device.download(address, out);
    device.free(address);
    // Nobody else may use it from now on, although it is still read.
    expect(() => device.write(address, new Uint8Array(4))).toThrow(RangeError);
    expect(() => device.free(address)).toThrow(RangeError);
    const other = device.alloc(4 * count);
    run({ op: 'fill', address: other, bytes: 4 * count, value: 9 });
    await reading;
    expect(out.every((x, i) => x === i)).toBe(true);
    device.free(other);
    expect(device.memory().held).toBe(0);
  });

  it('stays in the pool for the next call, until the device is out of it', () => {
    const large = device.alloc(memory / 2);
    device.free(large);
    const again = device.alloc(memory / 2);
    expect(again).toBe(large);
    device.free(again);
    device.free(device.alloc(memory * 0.75));
  });
});

describe('the order of work', () => {
  it.each([16, 64 * 1024, 1 << 20])(
    'an upload of %i bytes waits for the work before',
    async (bytes) => {
      const count = bytes / 4;
      const address = device.alloc(bytes);
      await device.upload(address, rising(count));
      busy();
      run(launch('add_one', address, count));
      const sum = device.alloc(bytes);
      run({ op: 'copy', to: sum, from: address, bytes });
      await device.upload(address, new Uint32Array(count).fill(7));
      run(launch('add_one', address, count));
      const [first, second] = [new Uint32Array(count), new Uint32Array(count)];
      await Promise.all([device.download(sum, first), device.download(address, second)]);
      expect(first.every((x, i) => x === i + 1)).toBe(true);
      expect(second.every((x) => x === 8)).toBe(true);
      device.free(address);
      device.free(sum);
    },
  );

  it.each([1, 2 ** 22 - 1, 2 ** 22, 2 ** 22 + 1, 2 ** 23 + 1, 37_654_321])(
    'every one of %i bytes arrives, by however many lanes, and no other changes',
    async (bytes) => {
      const address = device.alloc(bytes + 2);
      run({ op: 'fill', address, bytes: bytes + 2, value: 200 });
      const given = Buffer.alloc(bytes);
      for (let i = 0; i < bytes; i++) given[i] = (i * 31) ^ (i >> 12);
      await device.upload(address + 1, given);
      const out = Buffer.alloc(bytes + 4, 9);
      await device.download(address, out.subarray(1, bytes + 3));
      expect([...out.subarray(0, 2), ...out.subarray(bytes + 2)]).toEqual([9, 200, 200, 9]);
      expect(out.subarray(2, bytes + 2).equals(given)).toBe(true);
      device.free(address);
    },
  );

  it('writes are in order, and take their bytes at once', async () => {
    const slots = 100; // more than the ring of staging memory has
    const address = device.alloc(4 * slots);
    const copies = device.alloc(4 * slots);
    const view = new Uint32Array(1);
    busy();
    for (let i = 0; i < slots; i++) {
      view[0] = 2 * i;
      device.write(address, view);
      run(launch('add_one', address, 1), {
        op: 'copy',
        to: copies + 4 * i,
        from: address,
        bytes: 4,
      });
    }
    view[0] = 0;
    const out = new Uint32Array(slots);
    await device.download(copies, out);
    expect(out).toEqual(rising(slots).map((i) => 2 * i + 1));
    device.free(address);
    device.free(copies);
  });

  it('any mix of writes, launches, fills and copies gives what one after the other gives', async () => {
    const cells = 8;
    const step = fc.oneof(
      fc.record({ do: fc.constant('write' as const), at: fc.nat(cells - 1), value: fc.nat(99) }),
      fc.record({ do: fc.constant('add' as const), at: fc.nat(cells - 1) }),
      fc.record({ do: fc.constant('fill' as const), at: fc.nat(cells - 1), value: fc.nat(255) }),
      fc.record({ do: fc.constant('copy' as const), at: fc.nat(cells - 1), to: fc.nat(cells - 1) }),
      fc.record({ do: fc.constant('upload' as const), at: fc.nat(cells - 1), value: fc.nat(99) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const address = device.alloc(4 * cells);
        run({ op: 'fill', address, bytes: 4 * cells, value: 0 });
        const model = new Uint32Array(cells);
        for (const one of steps) {
          const place = address + 4 * one.at;
          if (one.do === 'write') {
            device.write(place, Uint32Array.of(one.value));
            model[one.at] = one.value;
          } else if (one.do === 'upload') {
            await device.upload(place, Uint32Array.of(one.value));
            model[one.at] = one.value;
          } else if (one.do === 'add') {
            run(launch('add_one', place, 1));
            model[one.at]!++;
          } else if (one.do === 'fill') {
            run({ op: 'fill', address: place, bytes: 4, value: one.value });
            model[one.at] = one.value * 0x01010101;
          } else if (one.to !== one.at) {
            run({ op: 'copy', to: address + 4 * one.to, from: place, bytes: 4 });
            model[one.to] = model[one.at]!;
          }
        }
        const out = new Uint32Array(cells);
        const reading = device.download(address, out);
        device.free(address);
        await reading;
        expect(out).toEqual(model);
      }),
      { numRuns: 50 },
    );
  });

  it('views over shared memory, with an offset, and DataViews are views too', async () => {
    const address = device.alloc(16);
    const shared = new Uint16Array(new SharedArrayBuffer(64), 8, 8).fill(5);
    await device.upload(address, shared);
    const out = new DataView(new ArrayBuffer(32), 4, 16);
    await device.download(address, out);
    expect([...new Uint8Array(out.buffer)]).toEqual(
      Array.from({ length: 32 }, (_, i) => (i >= 4 && i < 20 && i % 2 === 0 ? 5 : 0)),
    );
    device.free(address);
  });

  it('synchronize waits for all of it', async () => {
    const start = performance.now();
    busy(40);
    await device.synchronize();
    expect(performance.now() - start).toBeGreaterThan(38);
  });
});

describe('kernels', () => {
  it('say what the compiler made of them', async () => {
    const module = await device.load(kernels);
    expect(device.function(module, 'add_one', 200_000)).toMatchObject({
      registers: 40,
      spillBytes: 8,
      staticShared: 16,
      maxThreads: 512,
    });
    await device.unload(module);
  });

  it('keep their handle and their room for large launches when they are asked for again', async () => {
    const module = await device.load(kernels);
    const address = device.alloc(64);
    const [large, small] = [200_000, 0].map((bytes) => device.function(module, 'shape', bytes));
    expect(small).toEqual(large);
    const args = argument(address, 0);
    run({
      ...launch('wait', 0, 0),
      handle: small!.handle,
      args,
      sharedBytes: 200_000,
    } as LaunchRecord);
    device.free(address);
    await device.unload(module);
  });

  it('get their grid, block, cluster and shared memory', async () => {
    const module = await device.load(kernels);
    const { handle } = device.function(module, 'shape', 100_000);
    const address = device.alloc(64);
    const shape = {
      op: 'launch',
      handle,
      grid: [4, 5, 6],
      block: [32, 2, 3],
      args: argument(address, 0),
    } as const;
    const out = new Uint32Array(10);
    run({ ...shape, sharedBytes: 99_000 });
    await device.download(address, out);
    expect([...out]).toEqual([4, 5, 6, 32, 2, 3, 0, 0, 0, 99_000]);
    run({ ...shape, cluster: [2, 1, 1], overlaps: true, sharedBytes: 7 });
    await device.download(address, out);
    expect([...out]).toEqual([4, 5, 6, 32, 2, 3, 2, 1, 1, 7]);
    device.free(address);
    await device.unload(module);
  });

  it('of an unloaded module cannot be launched, and unloading waits for those that run', async () => {
    const module = await device.load(kernels);
    const { handle } = device.function(module, 'wait', 0);
    run({ ...launch('wait', 0, 20_000), handle } as LaunchRecord);
    await device.unload(module);
    expect(() => run({ ...launch('wait', 0, 1), handle } as LaunchRecord)).toThrow(
      /module of kernel 'wait' was unloaded/,
    );
  });

  it('events measure what lies between them', async () => {
    const events = [device.event()];
    for (let i = 0; i < 3; i++) {
      busy(10);
      events.push(device.event());
    }
    for (let i = 0; i < 3; i++) {
      expect(await device.elapsed(events[i]!, events[i + 1]!)).toBeGreaterThan(9);
    }
    expect(await device.elapsed(events[0]!, events[3]!)).toBeGreaterThan(29);
    for (const event of events) device.drop(event);
  });
});

describe('tensor maps', () => {
  it('are encoded by the driver', () => {
    const map = encodeTensorMap(device, {
      type: 'bf16',
      address: 0x2000,
      sizes: [128, 1000],
      strides: [256],
      box: [64, 32],
      swizzle: 128,
      promotion: 256,
    });
    expect([...new Uint32Array(map.buffer, 0, 10)]).toEqual([9, 2, 0x2000, 128, 64, 1, 0, 3, 3, 0]);
    expect(() =>
      encodeTensorMap(device, {
        type: 'fp16',
        address: 0,
        sizes: [8, 8],
        strides: [8],
        box: [8, 8],
      }),
    ).toThrow(/cuTensorMapEncodeTiled: CUDA_ERROR_INVALID_VALUE/);
  });
});

describe('calls', () => {
  it('ten thousand hold no memory and leave no objects', async () => {
    const before = await aliveObjects(device);
    for (let i = 0; i < 10_000; i++) {
      const out = device.alloc(4096);
      const scratch = device.alloc(65536);
      run(
        { op: 'fill', address: scratch, bytes: 65536, value: 0 },
        launch('add_one', scratch, 16),
        launch('add_one', out, 16),
      );
      device.free(scratch);
      device.free(out);
      if (i % 1000 === 0) device.drop(device.event());
    }
    await device.synchronize();
    expect(device.memory().held).toBe(0);
    expect(await aliveObjects(device)).toEqual(before);
  });

  it('cost less than 50 microseconds of the calling thread', async () => {
    const samples: number[] = [];
    const address = device.alloc(4096);
    for (let i = 0; i < 2000; i++) {
      const start = performance.now();
      const scratch = device.alloc(65536);
      run(
        { op: 'fill', address: scratch, bytes: 256, value: 0 },
        launch('add_one', scratch, 16),
        launch('add_one', address, 16),
      );
      device.free(scratch);
      samples.push(performance.now() - start);
      if (i % 100 === 0) await device.synchronize();
    }
    device.free(address);
    samples.sort((a, b) => a - b);
    const at = (share: number) => 1000 * samples[Math.floor(share * samples.length)]!;
    console.log(
      `host time of a call with 3 records: median ${at(0.5).toFixed(1)} us, 95 % ${at(0.95).toFixed(1)} us`,
    );
    expect(at(0.5)).toBeLessThan(50);
  });
});

describe('dispose', () => {
  it('drains, frees what is left, and gives everything back', async () => {
    const before = await aliveObjects(device);
    const { free } = device.memory();
    const own = await openCudaDevice();
    const address = own.alloc(1 << 20);
    own.write(address, new Uint8Array(64));
    const module = await own.load(kernels);
    const { handle } = own.function(module, 'wait', 0);
    own.event();
    own.run(encodeLaunchList([{ ...launch('wait', 0, 30_000), handle } as LaunchRecord]));
    const out = new Uint8Array(1 << 20);
    const reading = own.download(address, out);
    const start = performance.now();
    await Promise.all([own.dispose(), own.dispose()]);
    expect(performance.now() - start).toBeGreaterThan(25);
    await reading; // what was asked for before is still done
    await own.dispose();
    expect(await aliveObjects(device)).toEqual(before);
    expect(device.memory().free).toBe(free);
  });

  it('refuses what comes after', async () => {
    const own = await openCudaDevice();
    const address = own.alloc(64);
    const disposing = own.dispose();
    const refused = { code: 'R003' };
    const view = new Uint8Array(4);
    for (const call of [
      () => own.alloc(64),
      () => own.free(address),
      () => own.write(address, view),
      () => own.run(encodeLaunchList([])),
      () => own.replay(1, new Float64Array(0)),
      () => own.function(1, 'add_one', 0),
      () => own.event(),
      () => own.drop(1),
      () => own.memory(),
    ]) {
      expect(call).toThrow(expect.objectContaining(refused));
    }
    for (const call of [
      () => own.upload(address, view),
      () => own.download(address, view),
      () => own.load(image('')),
      () => own.unload(1),
      () => own.elapsed(1, 2),
      () => own.synchronize(),
    ]) {
      await expect(call()).rejects.toMatchObject(refused);
    }
    await disposing;
    expect(own.properties.name).toBe('Simulated 0');
  });
});
