// What a call costs beside its kernels: `npx tsx test/bench/calls.bench.ts [cuda] [length]` prints, for every
// built-in pattern, the time to compile, the first call, and warm calls on the host and on the device. In the
// bundle: `./warploom bench:calls cuda 1024`. `--profile` splits the host time into calls of the native core, each
// with how often a call makes it, and the JavaScript between them; `--only causal` takes one pattern. With
// `WARPLOOM_GRAPHS=off` every kernel is launched by itself.

import { parseArgs } from 'node:util';
import { alibiSoftcap, compile, documents, openDevice, patterns, tensor } from '../../index.ts';
import { Gpu } from '../../runtime/cuda/gpu.ts';
import type { CudaDevice } from '../../runtime/cuda/native.ts';

const { values: options, positionals } = parseArgs({
  options: { profile: { type: 'boolean', default: false }, only: { type: 'string' } },
  allowPositionals: true,
});
const [name = 'cuda', text = '1024'] = positionals;
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
const rounds = 25;
/** Rounds before those that count: V8 compiles a function once it was called often. */
const warmRounds = 50;

/** What a warm call may ask of the native core, and the times since the last `reset`, in microseconds. */
class Watch {
  /** Collected tensors are freed between the calls, when nobody waits for it. */
  isOpen = false;
  readonly #times = new Map<string, { count: number; microseconds: number }>();

  constructor(device: CudaDevice) {
    for (const method of ['alloc', 'free', 'write', 'replay'] as const) {
      const original = device[method].bind(device) as (...given: unknown[]) => unknown;
      const time = { count: 0, microseconds: 0 };
      this.#times.set(method, time);
      const timed = (...given: unknown[]) => {
        if (!this.isOpen) return original(...given);
        const start = performance.now();
        try {
          return original(...given);
        } finally {
          time.count += 1;
          time.microseconds += 1000 * since(start);
        }
      };
      Object.assign(device, { [method]: timed });
    }
  }

  /** Per call, as text; `host` is the time of a call in all. */
  read(count: number, host: number): string {
    const used = [...this.#times].filter(([, time]) => time.count > 0);
    const parts = used.map(
      ([method, time]) =>
        `${method} ${(time.microseconds / count).toFixed(1)} us in ${(time.count / count).toFixed(1)} calls`,
    );
    const native = used.reduce((sum, [, time]) => sum + time.microseconds, 0) / count;
    return [...parts, `JavaScript ${(host - native).toFixed(1)} us`].join(', ');
  }

  reset(): void {
    for (const time of this.#times.values()) Object.assign(time, { count: 0, microseconds: 0 });
  }
}

const watch =
  options.profile && device.machine instanceof Gpu ? new Watch(device.machine.device) : undefined;
console.log(
  `${device.description}; ${heads} heads x ${length} x ${headDim}, bf16, medians of ${rounds} times ${calls} calls`,
);
for (const pattern of patterns.values()) {
  if (options.only !== undefined && pattern.name !== options.only) continue;
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
  const [host, all]: [number[], number[]] = [[], []];
  for (let round = -warmRounds; round < rounds; round += 1) {
    if (round === 0) watch?.reset();
    const begun = performance.now();
    if (watch) watch.isOpen = true;
    for (let i = 0; i < calls; i += 1) await call();
    if (watch) watch.isOpen = false;
    const enqueued = since(begun);
    await device.synchronize();
    if (round < 0) continue;
    host.push((1000 * enqueued) / calls);
    all.push(since(begun) / calls);
  }
  console.log(
    `${pattern.name.padEnd(16)} compile ${compiled.toFixed(0)} ms, first call ${called.toFixed(0)} ms,`,
    `host ${median(host).toFixed(1)} us a call, with the device ${median(all).toFixed(3)} ms`,
  );
  const mean = host.reduce((sum, one) => sum + one, 0) / rounds;
  if (watch)
    console.log(`${''.padEnd(16)} mean ${mean.toFixed(1)} us: ${watch.read(rounds * calls, mean)}`);
}
await device.dispose();
