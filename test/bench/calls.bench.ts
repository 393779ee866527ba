// What a call costs the host beside its kernels. With `WARPLOOM_GRAPHS=off` every kernel is launched by itself.

import { type Command, Option } from 'commander';
import { alibiSoftcap, compile, documents, openDevice, patterns, tensor } from '../../index.ts';
import { exit, UsageError } from '../../runtime/commands/failure.ts';
import { countFrom } from '../../runtime/commands/inputs.ts';
import type { GpuDevice } from '../../runtime/cuda/device.ts';
import { Gpu } from '../../runtime/cuda/gpu.ts';
import type { CudaDevice } from '../../runtime/cuda/native.ts';
import { deviceOption, type Program } from '../programs/program.ts';

interface Flags {
  readonly device: string;
  readonly length: number;
  readonly only?: readonly string[];
  readonly profile?: boolean;
}

export const program: Program<Flags> = {
  summary: 'what a call costs the host: to compile, the first one, warm ones',
  examples: ['--length 1024', '--only causal --profile'],
  addOptions(command: Command) {
    command
      .addOption(deviceOption())
      .option('--length <n>', 'of queries and keys', countFrom, 1024)
      .addOption(
        new Option('--only <patterns...>', 'not all of them').choices([...patterns.keys()]),
      )
      .option('--profile', 'the parts of a call: the native core by function, and JavaScript');
  },
  async act(_, { device: name, length, only = [...patterns.keys()], profile }) {
    const device = await openDevice(name);
    if (device.kind === 'cpu')
      throw new UsageError('calls of the CPU return when they are done', '--device cuda');
    const watch =
      profile && device.machine instanceof Gpu ? new Watch(device.machine.device) : undefined;
    console.log(
      `${device.description}; ${heads} heads x ${length} x ${headDim}, bf16, medians of ${rounds} times ${calls} calls`,
    );
    const inputs = await inputsOn(device, length);
    for (const one of only) await timeCalls(one, device, inputs, watch);
    await device.dispose();
    return exit.fine;
  },
};

const [heads, headDim] = [16, 128];
const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1]!;
const since = (start: number): number => performance.now() - start;

/** Calls in a row: few enough that the queue of the device never fills and holds the host up. */
const calls = 20;
const rounds = 25;
/** Rounds before those that count: V8 compiles a function, and compiles it better, once it was called some thousand times. */
const warmRounds = 250;

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

async function inputsOn(device: GpuDevice, length: number) {
  const random = (seed: number) =>
    device.upload(tensor.random([1, heads, length, headDim], { dtype: 'bf16', seed }));
  const documentOf = Int32Array.from({ length }, (_, i) => Math.floor(i / 1000));
  const slopes = Float32Array.from({ length: heads }, (_, i) => 2 ** -(i + 1));
  const captured: Record<string, object> = {
    [documents.name]: { doc: tensor(documentOf, { shape: [1, length] }) },
    [alibiSoftcap.name]: { slopes: tensor(slopes, { shape: [heads] }) },
  };
  return { tensors: { q: await random(1), k: await random(2), v: await random(3) }, captured };
}

async function timeCalls(
  name: string,
  device: GpuDevice,
  { tensors, captured }: Awaited<ReturnType<typeof inputsOn>>,
  watch: Watch | undefined,
): Promise<void> {
  const pattern = patterns.get(name)!;
  const inputs = { ...tensors, ...captured[name] } as never;
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
    `${name.padEnd(16)} compile ${compiled.toFixed(0)} ms, first call ${called.toFixed(0)} ms,`,
    `host ${median(host).toFixed(1)} us a call, with the device ${median(all).toFixed(3)} ms`,
  );
  const mean = host.reduce((sum, one) => sum + one, 0) / rounds;
  if (watch)
    console.log(`${''.padEnd(16)} mean ${mean.toFixed(1)} us: ${watch.read(rounds * calls, mean)}`);
}
