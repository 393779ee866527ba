// A captured tensor that lay on the device already was refused with R012 by the first call: proofs of integers
// read its values, which only the device had.

import { expect, it } from 'vitest';
import { compile, documents, i32, openDevice, pattern, tensor } from '../../index.ts';

it('captured tensors may lie on the device', async () => {
  const device = await openDevice('emulated:sm_80');
  if (device.kind === 'cpu') throw new Error('a device with a memory of its own is asked for');
  const [heads, length, headDim] = [1, 40, 16];
  const random = (seed: number) =>
    tensor.random([1, heads, length, headDim], { dtype: 'bf16', seed });
  const qkv = { q: random(1), k: random(2), v: random(3) };
  const doc = tensor(
    Int32Array.from({ length }, (_, i) => i >> 4),
    { shape: [1, length] },
  );
  // What a value decides is proved in every call; a comparison needs no proof.
  const shifted = pattern('shifted', { doc: i32('batch', 'k') }).mask(
    ({ q, k, batch }, at) => k <= q && at.doc.at(batch, k) + 1 > 1,
  );
  for (const one of [documents, shifted]) {
    const attend = await compile(one, { heads, headDim, dtype: 'bf16', device });
    const here = await attend({ ...qkv, doc } as never);
    for (let call = 0; call < 2; call += 1) {
      const there = await attend({ ...qkv, doc: await device.upload(doc) } as never);
      expect(await there.out.read()).toEqual(await here.out.read());
    }
  }
  await device.dispose();
});
