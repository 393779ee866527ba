// Kernels compiled by several processes at once: NVRTC works on one at a time in a process. They leave what they make
// in the cache, where everybody finds it.

import { availableParallelism } from 'node:os';
import type { Kernel } from '../../codegen/kernel.ts';
import type { KernelFacts } from '../cuda/machine.ts';
import { Helper, type Start } from './process.ts';
import type { Compilation, CompilationReply } from './protocol.ts';

/** One core is left to the process that asks; more processes than these have nothing to do. */
const mostCompilers = 16;
/** A compilation that takes longer is ended. */
const mostMs = 60_000;

export class Compilers {
  /** Processes at most. */
  readonly count: number;
  readonly #start: Start | undefined;
  readonly #idle: Helper[] = [];
  readonly #all = new Set<Helper>();
  readonly #queue: (() => void)[] = [];
  #busy = 0;

  constructor(start?: Start, count = Math.max(1, availableParallelism() - 1)) {
    this.count = Math.min(count, mostCompilers);
    this.#start = start;
  }

  /** What the compiler says of a kernel, which lies in the cache from then on. throws: what `compileKernel` throws. */
  facts(kernel: Kernel, arch: string): Promise<KernelFacts> {
    return this.compile(kernel, arch);
  }

  /** The same, also into a folder of what is compiled `ahead`; throws then what `compileAhead` throws. */
  async compile({ name, source }: Kernel, arch: string, ahead?: string): Promise<CompilationReply> {
    if (this.#busy >= this.count) await new Promise<void>((resolve) => this.#queue.push(resolve));
    this.#busy += 1;
    const helper = this.#idle.pop() ?? this.#open();
    const timer = setTimeout(() => this.#end(helper), mostMs);
    try {
      const asked: Compilation = { name, source, arch, ahead };
      return await helper.ask<CompilationReply>(asked);
    } finally {
      clearTimeout(timer);
      if (this.#all.has(helper)) this.#idle.push(helper);
      this.#busy -= 1;
      this.#queue.shift()?.();
    }
  }

  kill(): void {
    for (const helper of this.#all) this.#end(helper);
    this.#idle.length = 0;
  }

  #open(): Helper {
    const helper = new Helper(['compile'], this.#start);
    this.#all.add(helper);
    return helper;
  }

  #end(helper: Helper): void {
    this.#all.delete(helper);
    helper.kill();
  }
}
