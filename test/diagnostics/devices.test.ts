// The codes of tensors and calls on a device that is not the CPU: memory of another device, and calls that
// there is no kernel for. The emulated device stands for all of them, and refuses of its own what is too large.

import { afterAll, describe, expect, it } from 'vitest';
import { pattern } from '../../dsl/pattern.ts';
import { GpuDevice } from '../../runtime/cuda/device.ts';
import { openDevice } from '../../runtime/device.ts';
import { EmulatedMachine } from '../../runtime/emulator/machine.ts';
import { tensor } from '../../runtime/tensor.ts';
import { attend, refused } from './cases.ts';

const [device, other] = [await openDevice('emulated:sm_80'), await openDevice('emulated:sm_80')];
afterAll(async () => {
  await device.dispose();
  await other.dispose();
});
if (device.kind === 'cpu' || other.kind === 'cpu') throw new Error('an emulated device is no CPU');

const causal = pattern('causal').mask(({ q, k }) => k <= q);
const dtype = 'bf16';
const host = tensor.random([1, 4, 7, 8], { seed: 1, dtype });
const keys = tensor.random([1, 2, 7, 8], { seed: 2, dtype });
const inputs = { q: host, k: keys, v: keys };

describe('R012: a tensor that is in the memory of a device', () => {
  it('its elements are not at hand', async () => {
    const there = await device.upload(host);
    expect(await refused('R012', () => there.data)).toMatchInlineSnapshot(`
      "error[R012]: the tensor is in the memory of emulated:sm_80
        = help: await tensor.read() for its numbers, or tensor.host() for a copy in host memory"
    `);
    expect((await there.host()).data).toEqual(host.data);
    there.dispose();
  });

  it('another device cannot read it', async () => {
    const there = await other.upload(host);
    const call = () => attend(causal, { ...inputs, q: there }, {}, { device, dtype });
    expect(await refused('R012', call)).toMatchInlineSnapshot(`
      "error[R012]: 'q' is in the memory of emulated:sm_80, and the call runs on another device of that name
        = help: bring it over: await device.upload(await q.host())"
    `);
    const { out } = await attend(
      causal,
      { ...inputs, q: await there.host() },
      {},
      { device, dtype },
    );
    expect(await out.read()).toHaveLength(4 * 7 * 8);
    there.dispose();
  });
});

describe('R013: a call that the device has no kernel for', () => {
  const compile = (headDim: number, type: 'bf16' | 'fp32') => {
    const make = (heads: number) => tensor.random([1, heads, 7, headDim], { seed: 1, dtype: type });
    const [q, k] = [make(4), make(2)];
    return attend(causal, { q, k, v: k }, {}, { device, dtype: type, headDim });
  };

  it('fp32', async () => {
    expect(await refused('R013', () => compile(8, 'fp32'))).toMatchInlineSnapshot(`
      "error[R013]: CUDA has no kernel for fp32
        = help: convert q, k and v: q.to('bf16')"
    `);
    expect((await compile(8, 'bf16')).out.shape).toEqual([1, 4, 7, 8]);
  });

  it('head dimensions that do not fill 16 bytes', async () => {
    expect(await refused('R013', () => compile(12, 'bf16'))).toMatchInlineSnapshot(`
      "error[R013]: CUDA has no kernel for a head dimension of 12
        = help: it takes multiples of 8 up to 256: append zeros"
    `);
    expect((await compile(16, 'bf16')).out.shape).toEqual([1, 4, 7, 16]);
  });

  it('a tile that does not fit', async () => {
    const large = causal.schedule({ qTile: 128, kTile: 128, warps: 8, stages: 8 });
    const wide = { device, dtype, headDim: 128 } as const;
    const rows = tensor.random([1, 4, 7, 128], { seed: 1, dtype });
    const own = { q: rows, k: rows, v: rows };
    const options = { ...wide, kvHeads: 4 };
    expect(await refused('R013', () => attend(large, own, {}, options))).toMatchInlineSnapshot(`
      "error[R013]: no tile of 'causal' fits the 101376 bytes of shared memory of emulated:sm_80
        = help: state a smaller tile in .schedule, or fewer stages"
    `);
    const small = causal.schedule({ qTile: 64, kTile: 32, warps: 4, stages: 1 });
    expect((await attend(small, own, {}, options)).out.shape).toEqual([1, 4, 7, 128]);
  });
});

it('R014: a call that is too large for an emulated device', async () => {
  const hasty = new GpuDevice(new EmulatedMachine('sm_80', { seconds: 1, processes: 1 }));
  const call = (rows: number) => {
    const [q, k] = [4, 2].map((heads) => tensor.random([1, heads, rows, 8], { seed: 1, dtype }));
    return attend(causal, { q: q!, k: k!, v: k! }, {}, { device: hasty, dtype });
  };
  expect((await (await call(7)).out.read()).length).toBe(4 * 7 * 8);
  const large = async () => (await call(8192)).out.read();
  expect(await refused('R014', large)).toMatchInlineSnapshot(`
    "error[R014]: 'attention' takes longer than 1 s on emulated:sm_80
      = help: emulated devices are for small calls (report one that takes so long): shorten the sequences, or take the CPU or a GPU"
  `);
  await hasty.dispose();
});
