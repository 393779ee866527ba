// Attention on two devices of one process, at the same time.

import assert from 'node:assert/strict';
import { compile, openDevice, tensor } from '../../index.ts';
import { causal, verticalSlash } from '../../patterns/index.ts';

const shape = { heads: 8, kvHeads: 2, headDim: 128 };
const [length, calls] = [4096, 20];

/** Throws where the two differ, or one reads what is the other's. Returns what it took. */
export async function attentionOnTwo(): Promise<string> {
  const devices = [await openDevice('cuda'), await openDevice('cuda:1')];
  const [own, other] = devices;
  const random = (heads: number, seed: number) =>
    tensor.random([1, heads, length, shape.headDim], { seed, dtype: 'bf16' });
  const host = {
    q: random(shape.heads, 1),
    k: random(shape.kvHeads, 2),
    v: random(shape.kvHeads, 3),
  };
  const works = [
    { pattern: causal, params: {} },
    { pattern: verticalSlash, params: { verticals: 200, slashes: 600 } },
  ];
  let said = '';
  for (const { pattern, params } of works) {
    const ready = await Promise.all(
      devices.map(async (device) => {
        const attend = await compile(pattern, { device, dtype: 'bf16', ...shape });
        const inputs = {
          q: await device.upload(host.q),
          k: await device.upload(host.k),
          v: await device.upload(host.v),
        };
        return { attend, inputs };
      }),
    );
    const run = async ({ attend, inputs }: (typeof ready)[number]): Promise<Uint8Array> => {
      let last = await attend(inputs, params as never);
      for (let i = 1; i < calls; i++) {
        for (const tensor of [last.out, last.lse]) tensor.dispose();
        last = await attend(inputs, params as never);
      }
      const { data } = await last.out.host();
      return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    };
    const [first, second] = await Promise.all(ready.map(run));
    assert.deepEqual(first, second);
    const crossed = { ...ready[0]!.inputs, q: ready[1]!.inputs.q };
    await assert.rejects(async () => ready[0]!.attend(crossed, params as never), /R012/);
    said += `${said ? ', ' : ''}${calls} calls of ${pattern.name} on each`;
  }
  // What one device leaves, the other does not miss.
  await other!.dispose();
  const attend = await compile(causal, { device: own!, dtype: 'bf16', ...shape });
  await attend(host, {});
  await own!.dispose();
  return said;
}
