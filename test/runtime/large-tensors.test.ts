// Tensors of more bytes than Node 20 has in one view: the queries of 32 heads and a million tokens are 8 GiB. Their memory
// is never touched here, so it takes addresses alone.

import { expect, it } from 'vitest';
import { Block, BlockMemory } from '../../runtime/cuda/block.ts';
import { GpuDevice } from '../../runtime/cuda/device.ts';
import { PlacedTensors } from '../../runtime/cuda/inputs.ts';
import type { Machine } from '../../runtime/cuda/machine.ts';
import { allocate } from '../../runtime/dtype.ts';
import { Tensor } from '../../runtime/tensor.ts';

const shape = [1, 32, 2 ** 20 + 1, 64] as const;
const elements = shape.reduce((product, size) => product * size, 1);

/** A machine that notes how many bytes go to it, and come from it. */
function recorder() {
  const moved: string[] = [];
  const machine = {
    check() {},
    alloc: (bytes: number) => ({ address: 256, bytes }),
    free() {},
    upload: async (_: number, view: NodeJS.ArrayBufferView) => moved.push(`to ${view.byteLength}`),
    download: async (_: number, view: NodeJS.ArrayBufferView) =>
      moved.push(`from ${view.byteLength}`),
  } as unknown as Machine;
  return { machine, moved };
}

it('goes to a device and comes back whole where it is larger than 4 GiB', async () => {
  const { machine, moved } = recorder();
  const tensor = new Tensor({ data: allocate('bf16', elements), shape, dtype: 'bf16' });
  expect(2 * elements).toBeGreaterThan(2 ** 32);

  await new GpuDevice(machine, {} as never).upload(tensor);
  await new PlacedTensors(machine).place('q', tensor);
  const memory = new BlockMemory(new Block(machine, 2 * elements));
  await memory.read(allocate('bf16', elements));
  expect(moved).toEqual([`to ${2 * elements}`, `to ${2 * elements}`, `from ${2 * elements}`]);
});
