// What goes wrong on a CUDA device, on a simulated driver: every failing call is named, nothing is left
// behind, and the device goes on. What goes right: cuda-native.test.ts.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeLaunchList, type LaunchRecord } from '../../runtime/cuda/launch-list.ts';
import { type CudaDevice, openCudaDevice } from '../../runtime/cuda/native.ts';
import {
  aliveObjects,
  argument,
  failCall,
  image,
  kernels,
  useSimulatedDriver,
} from '../native/simulated.ts';

const memory = 2 ** 24;
useSimulatedDriver({ memory });

let device: CudaDevice;
let module: number;
let handle: number;
let address: number;

beforeAll(async () => {
  device = await openCudaDevice();
  module = await device.load(kernels);
  handle = device.function(module, 'add_one', 0).handle;
  address = device.alloc(4096);
});

afterAll(() => device.dispose());

const view = new Uint8Array(64);
const launch = (rest: Partial<LaunchRecord> = {}): LaunchRecord =>
  ({
    op: 'launch',
    handle,
    grid: [1, 1, 1],
    block: [32, 1, 1],
    sharedBytes: 0,
    args: argument(address, 4),
    ...rest,
  }) as LaunchRecord;
const run = (...records: LaunchRecord[]) => device.run(encodeLaunchList(records));

/** Something to do, which gives back what it took. */
const actions: Record<string, { calls: readonly string[]; act: () => unknown }> = {
  alloc: { calls: ['cuMemAllocFromPoolAsync'], act: () => device.free(device.alloc(64)) },
  upload: {
    calls: [
      'cuEventCreate',
      'cuEventRecord',
      'cuEventSynchronize',
      'cuMemcpyHtoDAsync',
      'cuStreamSynchronize',
    ],
    act: () => device.upload(address, view),
  },
  download: {
    calls: [
      'cuEventCreate',
      'cuEventRecord',
      'cuEventSynchronize',
      'cuMemcpyDtoHAsync',
      'cuStreamSynchronize',
    ],
    act: () => device.download(address, new Uint8Array(64)),
  },
  write: {
    calls: ['cuMemcpyHtoDAsync', 'cuEventRecord', 'cuEventSynchronize'],
    act: () => {
      // Once around the ring of staging memory: all of it is used again.
      for (let i = 0; i < 33; i++) device.write(address, view);
    },
  },
  load: {
    calls: ['cuModuleLoadDataEx', 'cuModuleUnload'],
    act: async () => device.unload(await device.load(kernels)),
  },
  function: {
    calls: ['cuModuleGetFunction', 'cuFuncGetAttribute', 'cuFuncSetAttribute'],
    act: async () => {
      const fresh = await device.load(kernels);
      try {
        device.function(fresh, 'shape', 100_000);
      } finally {
        await device.unload(fresh);
      }
    },
  },
  run: {
    calls: ['cuLaunchKernel', 'cuLaunchKernelEx', 'cuMemsetD8Async', 'cuMemcpyDtoDAsync'],
    act: () =>
      run(
        launch(),
        launch({ cluster: [1, 1, 1] }),
        { op: 'fill', address, bytes: 64, value: 0 },
        { op: 'copy', to: address, from: address + 64, bytes: 64 },
      ),
  },
  events: {
    calls: ['cuEventCreate', 'cuEventRecord', 'cuEventSynchronize', 'cuEventElapsedTime'],
    act: async () => {
      const event = device.event();
      try {
        await device.elapsed(event, event);
      } finally {
        device.drop(event);
      }
    },
  },
  memory: { calls: ['cuMemGetInfo'], act: () => device.memory() },
};

describe.each(Object.entries(actions))('%s', (_, { calls, act }) => {
  it.each(calls)('names %s when it fails, and works afterwards', async (call) => {
    await act(); // what is made once is made
    const before = await aliveObjects(device);
    // A module that failed to unload is still there: only the driver could help that.
    const isLeft = call === 'cuModuleUnload';
    await failCall(device, call, 1);
    await expect((async () => act())()).rejects.toMatchObject({
      code: 'R006',
      message: expect.stringContaining(`${call}: CUDA_ERROR_INVALID_VALUE (1)`),
      cause: expect.objectContaining({ call, cuda: 'CUDA_ERROR_INVALID_VALUE', number: 1 }),
    });
    await act();
    await device.synchronize();
    const modules = before.modules! + 1 + (isLeft ? 1 : 0); // the one that steers the driver
    expect(await aliveObjects(device)).toEqual({ ...before, modules });
  });
});

describe('opening', () => {
  it.each([
    'cuDevicePrimaryCtxRetain',
    'cuStreamCreate',
    'cuMemPoolCreate',
    'cuMemPoolSetAttribute',
  ])('names %s when it fails, and leaves nothing', async (call) => {
    await failCall(device, call, 1);
    const before = await aliveObjects(device);
    await expect(openCudaDevice()).rejects.toMatchObject({
      code: 'R006',
      message: expect.stringContaining(call),
    });
    expect(await aliveObjects(device)).toEqual(before);
  });

  it.each([1, -1, 0.5, Number.NaN])('refuses device %s, which is not there', async (ordinal) => {
    await expect(openCudaDevice(ordinal)).rejects.toMatchObject({
      code: 'R002',
      message: expect.stringContaining(`no CUDA device ${ordinal}`),
    });
  });
});

describe('memory', () => {
  it('that is not there is an error, and less of it works', () => {
    const free = memory - 4096;
    for (let i = 0; i < 3; i++) {
      expect(() => device.alloc(free + 256)).toThrow(expect.objectContaining({ code: 'R007' }));
      device.free(device.alloc(free));
    }
  });

  it('that the pool keeps in pieces is put together', () => {
    const pieces = Array.from({ length: 15 }, (_, i) => device.alloc(1_000_000 + 256 * i));
    for (const piece of pieces) device.free(piece);
    device.free(device.alloc(memory - 4096));
  });
});

describe('a damaged module', () => {
  it.each([
    ['empty', new Uint8Array(0), /the module is empty/],
    [
      'text that is none',
      image('nonsense'),
      /CUDA_ERROR_INVALID_IMAGE \(200\).*unknown word 'nonsense'/,
    ],
    ['ELF cut short', Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, 2, 1), /the cubin is cut short/],
    [
      'ELF whose tables lie beyond its end',
      new Uint8Array(128).fill(200).map((x, i) => [0x7f, 0x45, 0x4c, 0x46][i] ?? x),
      /the cubin is cut short/,
    ],
  ])('%s', async (_, bytes, text) => {
    await expect(device.load(bytes)).rejects.toThrow(text);
  });

  it('without the kernel', () => {
    expect(() => device.function(module, 'absent', 0)).toThrow(
      /cuModuleGetFunction: CUDA_ERROR_NOT_FOUND \(500\): .*; kernel 'absent'/,
    );
  });

  it('with more shared memory than a block can have', () => {
    expect(() => device.function(module, 'shape', 300_000)).toThrow(
      /cuFuncSetAttribute.*kernel 'shape', 300000 bytes of dynamic shared memory/,
    );
  });
});

describe('a wrong launch list runs nothing', () => {
  const fill: LaunchRecord = { op: 'fill', address: 0, bytes: 4, value: 0 };
  const cases: [string, () => Uint8Array, RegExp][] = [
    ['an unknown kernel', () => encodeLaunchList([launch({ handle: 99 })]), /no function 99/],
    [
      'an argument of another size',
      () => encodeLaunchList([launch({ args: new Uint8Array(24) })]),
      /record 1 .* takes an argument of 16 bytes, not 24/,
    ],
    [
      'a cut record',
      () => encodeLaunchList([fill]).subarray(0, 24),
      /record 0 .* its size is wrong/,
    ],
    ['a cut head', () => Uint8Array.of(1, 0, 0, 0), /its size is wrong/],
    [
      'an unknown operation',
      () => encodeLaunchList([fill]).fill(9, 0, 1),
      /operation 9 is unknown/,
    ],
    [
      'a size that is not a multiple',
      () => encodeLaunchList([fill]).fill(31, 4, 5),
      /its size is wrong/,
    ],
    ['a size of 0', () => encodeLaunchList([fill]).fill(0, 4, 5), /its size is wrong/],
    ['a short fill', () => encodeLaunchList([fill]).fill(8, 4, 5), /record 1 .* it is too short/],
    [
      'a short launch',
      () => encodeLaunchList([launch()]).fill(48, 4, 5),
      /record 1 .* it is too short/,
    ],
    [
      'an argument beyond its record',
      () => encodeLaunchList([launch()]).fill(99, 60, 61),
      /too short/,
    ],
  ];
  it.each(cases)('%s', async (_, bytes, text) => {
    await device.upload(address, new Uint32Array(4));
    const good = encodeLaunchList([launch()]);
    const bad = bytes();
    const both = new Uint8Array(good.length + bad.length);
    both.set(good);
    both.set(bad, good.length);
    expect(() => device.run(bad)).toThrow(text);
    expect(() => device.run(both)).toThrow(RangeError);
    const out = new Uint32Array(4);
    await device.download(address, out);
    expect([...out]).toEqual([0, 0, 0, 0]);
  });

  it('no list at all is fine', () => device.run(new Uint8Array(0)));
});

describe('wrong arguments', () => {
  it('say which', async () => {
    const large = new Uint8Array(65537);
    const cases: [() => unknown, RegExp][] = [
      [() => device.alloc(0), /'bytes' is 0/],
      [() => device.alloc(-1), /'bytes' is not an integer/],
      [() => device.alloc(2 ** 53), /'bytes' is not an integer/],
      [() => device.alloc('8' as never), /'bytes' is not a number/],
      [() => device.free(address + 4), /nothing is allocated at 0x/],
      [() => device.free(0), /nothing is allocated at 0x0/],
      [() => device.write(address, new Uint8Array(4097)), /4097 bytes at 0x\w+ do not lie/],
      [() => device.write(address - 1, view), /do not lie in what is allocated/],
      [() => device.write(2 ** 53 - 1, view), /do not lie in what is allocated/],
      [() => device.write(address, 5 as never), /'view' holds no bytes/],
      [() => device.upload(address + 4096 - 63, view), /do not lie/],
      [() => device.download(0, view), /do not lie/],
      [() => device.upload(address, {} as never), /'view' holds no bytes/],
      [() => device.unload(77), /no module 77/],
      [() => device.function(77, 'add_one', 0), /no module 77/],
      [() => device.function(module, 5 as never, 0), /'name' is not a string/],
      [() => device.function(module, 'add_one', -1), /'sharedBytes' is not a size/],
      [() => device.drop(1e9), /no event 1000000000/],
      [() => device.elapsed(1e9, 1), /no event 1000000000/],
    ];
    for (const [call, text] of cases) {
      await expect((async () => call())(), String(call)).rejects.toThrow(text);
    }
    const own = device.alloc(large.length);
    expect(() => device.write(own, large)).toThrow(/at most 65536 bytes, not 65537/);
    device.free(own);
    await device.upload(address, large.subarray(0, 0));
    await device.upload(address + 4096, large.subarray(0, 0));
  });

  it('a buffer that can shrink is refused, a detached one is empty', async () => {
    const resizable = Reflect.construct(ArrayBuffer, [64, { maxByteLength: 128 }]) as ArrayBuffer;
    await expect(device.upload(address, new Uint8Array(resizable))).rejects.toThrow(/can shrink/);
    const detached = new Uint8Array(64);
    structuredClone(detached, { transfer: [detached.buffer] });
    await device.upload(address, detached);
    device.run(detached);
  });
});
