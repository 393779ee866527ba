// What a call costs beside its kernels: `npx tsx test/bench/calls.bench.ts [cuda] [length]` prints, for every
// built-in pattern, the time to compile, the first call, and warm calls on the host and on the device.

import { alibiSoftcap, compile, documents, openDevice, patterns, tensor } from '../../index.ts';

const [name = 'cuda', text = '1024'] = process.argv.slice(2);
const [heads, headDim, length] = [16, 128, Number(text)];
const device = await openDevice(name);
if (device.kind === 'cpu')
  throw new Error('this bench is for a GPU: its calls return before they are done');
const random = (seed: number) =>
  device.upload(tensor.random([1, heads, length, headDim], { dtype: 'bf16', seed }));
const [q, k, v] = [await random(1), await random(2), await random(3)];
const doc = tensor(
  Int32Array.from({ length }, (_, i) => Math.floor(i / 1000)),
  { shape: [1, length] },
);
const slopes = tensor(
  Float32Array.from({ length: heads }, (_, i) => 2 ** -(i + 1)),
  { shape: [heads] },
);

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1]!;
const since = (start: number): number => performance.now() - start;

/** Calls in a row: few enough that the queue of the device never fills and holds the host up. */
const calls = 20;

console.log(
  `${device.description}; ${heads} heads x ${length} x ${headDim}, bf16, medians of 5 times ${calls} calls`,
);
for (const pattern of patterns.values()) {
  const captured =
    pattern.name === documents.name
      ? { doc }
      : pattern.name === alibiSoftcap.name
        ? { slopes }
        : {};
  const inputs = { q, k, v, ...captured } as never;
  const start = performance.now();
  const attend = await compile(pattern, { heads, headDim, dtype: 'bf16', device });
  const compiled = since(start);
  const first = await attend(inputs);
  await first.lse.read();
  const called = since(start) - compiled;
  const call = async () => {
    const { out, lse } = await attend(inputs);
    out.dispose();
    lse.dispose();
  };
  for (let i = 0; i < 5 * calls; i += 1) await call();
  await device.synchronize();
  const [host, all]: [number[], number[]] = [[], []];
  for (let round = 0; round < 5; round += 1) {
    const begun = performance.now();
    for (let i = 0; i < calls; i += 1) await call();
    host.push((1000 * since(begun)) / calls);
    await device.synchronize();
    all.push(since(begun) / calls);
  }
  console.log(
    `${pattern.name.padEnd(16)} compile ${compiled.toFixed(0)} ms, first call ${called.toFixed(0)} ms,`,
    `host ${median(host).toFixed(1)} us a call, with the device ${median(all).toFixed(3)} ms`,
  );
}
await device.dispose();
