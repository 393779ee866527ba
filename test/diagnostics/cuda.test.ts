// Law 14 for CUDA devices, on a simulated driver: the codes that the driver's errors become. What the core does
// about them: test/runtime/cuda-native-*.test.ts.

import { describe, expect, it } from 'vitest';
import { encodeLaunchList } from '../../runtime/cuda/launch-list.ts';
import { openCudaDevice } from '../../runtime/cuda/native.ts';
import { argument, kernels, useSimulatedDriver } from '../native/simulated.ts';
import { refused } from './cases.ts';

useSimulatedDriver({ memory: 2 ** 24 });

const launch = (handle: number, block: number) =>
  encodeLaunchList([
    {
      op: 'launch',
      handle,
      grid: [2, 1, 1],
      block: [block, 1, 1],
      sharedBytes: 0,
      args: argument(0, 0),
    },
  ]);

describe('R006: the CUDA driver reports an error', () => {
  it('for a launch that the device does not take', async () => {
    const device = await openCudaDevice();
    const { handle } = device.function(await device.load(kernels), 'add_one', 0);
    expect(await refused('R006', () => device.run(launch(handle, 1024)))).toMatchInlineSnapshot(`
      "error[R006]: the CUDA driver reports an error (cuLaunchKernel: CUDA_ERROR_INVALID_VALUE (1): invalid argument; kernel 'add_one', grid 2 x 1 x 1, block 1024 x 1 x 1, 0 bytes of dynamic shared memory)
        = help: the launch is outside what the device takes: choose smaller tiles"
    `);
    device.run(launch(handle, 512));
    await device.dispose();
  });
});

describe('R007: the device is out of memory', () => {
  it('and takes a smaller call', async () => {
    const device = await openCudaDevice();
    const half = device.alloc(2 ** 23);
    expect(await refused('R007', () => device.alloc(2 ** 23 + 256))).toMatchInlineSnapshot(`
      "error[R007]: the device is out of memory (cuMemAllocFromPoolAsync: CUDA_ERROR_OUT_OF_MEMORY (2): out of memory; 8388864 bytes were asked for, 8388608 are held)
        = help: dispose of tensors that are not needed any more, or call with fewer heads"
    `);
    device.free(half);
    device.alloc(2 ** 23 + 256);
    await device.dispose();
  });
});

describe('R008: the device faulted and stays refused', () => {
  // The last of this file: the device is lost for the process.
  it('until the process ends', async () => {
    const device = await openCudaDevice();
    const { handle } = device.function(await device.load(kernels), 'fault', 0);
    await device.synchronize();
    device.run(launch(handle, 32));
    // Which call sees it first is a matter of time.
    expect(await refused('R008', () => device.synchronize())).toMatch(
      /faulted in an earlier launch \(cu\w+: CUDA_ERROR_ILLEGAL_ADDRESS \(700\): .*\n.*new process/,
    );
    await refused('R008', () => device.alloc(256));
    await device.dispose();
    await refused('R008', () => openCudaDevice());
  });
});
