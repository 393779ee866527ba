// The clock of the multiprocessors while work ran: cycles over nanoseconds, both read on each of them before
// the work and after it. Not what a clock should be: cards lower it under load.

import type { Kernel, LaunchList } from '../../../codegen/kernel.ts';
import { Struct } from '../../../codegen/struct.ts';
import { Block } from '../../../runtime/cuda/block.ts';
import type { Gpu } from '../../../runtime/cuda/gpu.ts';
import type { ReadyList } from '../../../runtime/cuda/machine.ts';

/** Multiprocessors are numbered from 0, perhaps with gaps. */
const mostNumbers = 1024;
const readingBytes = 16 * mostNumbers;

const params = new Struct('Arguments', [
  { name: 'readings', type: 'address', pointer: 'unsigned long long*', comment: '[sm, 2]' },
]);

/** One block each, so large that no multiprocessor has room for two: each is read once. */
export const clockKernel = (sharedBytes: number): Kernel => ({
  name: 'clock_reading',
  source: `${params.text}

extern "C" __global__ void clock_reading(const Arguments p) {
  unsigned sm;
  unsigned long long cycles, nanoseconds;
  asm volatile("mov.u32 %0, %%smid;" : "=r"(sm));
  asm volatile("mov.u64 %0, %%clock64;" : "=l"(cycles));
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(nanoseconds));
  if (sm >= ${mostNumbers}) return;
  p.readings[2 * sm] = cycles;
  p.readings[2 * sm + 1] = nanoseconds;
}
`,
  threads: 1,
  sharedBytes,
  params,
});

/** Floating-point operations of the tensor cores in one cycle of one multiprocessor, of dense fp16 and bf16. */
const peaks: Readonly<Record<string, number>> = { sm_80: 2048, sm_90: 4096, sm_90a: 4096 };

/** Operations of the whole chip in a cycle; undefined for chips that are not known here. */
export function operationsPerCycle({ arch, multiprocessors }: Gpu): number | undefined {
  const peak = peaks[arch];
  return peak === undefined ? undefined : peak * multiprocessors;
}

/** Reads the clock before and after work: `mark(0)`, the work, `mark(1)`, then `megahertz()`. */
export class Clock {
  readonly #gpu: Gpu;
  readonly #ready: ReadyList;
  readonly #block: Block;

  private constructor(gpu: Gpu, ready: ReadyList, block: Block) {
    this.#gpu = gpu;
    this.#ready = ready;
    this.#block = block;
  }

  static async on(gpu: Gpu): Promise<Clock> {
    const grid = [gpu.multiprocessors, 1, 1] as const;
    const list: LaunchList = {
      workspace: [],
      steps: [
        { op: 'fill', buffer: 'readings', offset: 0, bytes: readingBytes, value: 0 },
        {
          op: 'launch',
          kernel: clockKernel(gpu.blockSharedBytes),
          grid,
          args: {},
          buffers: { readings: { buffer: 'readings', offset: 0 } },
        },
      ],
    };
    return new Clock(gpu, await gpu.prepare(list), new Block(gpu, 2 * readingBytes));
  }

  /** Enqueues a reading in its place. */
  mark(place: 0 | 1): void {
    this.#gpu.run(this.#ready, { readings: this.#block.address + place * readingBytes });
  }

  /** The mean clock between the readings, the median over the multiprocessors that were read twice. Waits. */
  async megahertz(): Promise<number | undefined> {
    const readings = new BigUint64Array((2 * readingBytes) / 8);
    await this.#gpu.download(this.#block.address, readings);
    return megahertzOf(readings);
  }
}

/** Of two readings after one another, each [sm, (cycles, nanoseconds)]; 0 where there is none. */
export function megahertzOf(readings: BigUint64Array): number | undefined {
  const half = readings.length / 2;
  const rates: number[] = [];
  for (let at = 0; at < half; at += 2) {
    const [from, to] = [readings[at + 1]!, readings[half + at + 1]!];
    if (from === 0n || to <= from) continue;
    rates.push((1000 * Number(readings[half + at]! - readings[at]!)) / Number(to - from));
  }
  return rates.sort((a, b) => a - b)[rates.length >> 1];
}
