// A chip that is not there, as far as kernels are chosen and compiled for it: what emit and explain know of
// a call without a GPU. Nothing can be run on it.

import type { Kernel, LaunchList } from '../../codegen/kernel.ts';
import { invariant } from '../../dsl/diagnostic.ts';
import { compileKernel } from './compiler.ts';
import type { ChipName, KernelFacts, Machine, Range, ReadyList } from './machine.ts';
import { factsOf } from './report.ts';

/** The most shared memory of a block in KB, by compute capability (CUDA C++ Programming Guide). */
const blockSharedKilobytes: Readonly<Record<string, number>> = {
  '80': 163,
  '87': 163,
  '90': 227,
  '100': 227,
  '103': 227,
  '110': 227,
};
/** What every chip from sm_80 on has. */
const leastKilobytes = 99;

/** What a compiler says of a kernel. */
export type CompileFacts = (kernel: Kernel, arch: string) => Promise<KernelFacts>;

const compiledHere: CompileFacts = async (kernel, arch) =>
  factsOf((await compileKernel(kernel, arch)).report);

export class OfflineMachine implements Machine {
  readonly name: string;
  readonly arch: string;
  readonly blockSharedBytes: number;
  /** Of an H100, for what is not run. */
  readonly multiprocessors = 132;

  /** The chip that this stands for, where it is there after all. */
  readonly chip: ChipName | undefined;

  readonly #compile: CompileFacts;

  /** `sm_90`, `sm_90a`; `compile` in place of the compiler of this process. */
  constructor(arch: string, chip?: ChipName, compile: CompileFacts = compiledHere) {
    const capability = /\d+/.exec(arch)?.[0] ?? '';
    this.name = arch;
    this.arch = arch;
    this.chip = chip;
    this.#compile = compile;
    this.blockSharedBytes = 1024 * (blockSharedKilobytes[capability] ?? leastKilobytes);
  }

  check(): void {}

  /** Numbers for what call lists point to; there is no memory behind them. */
  alloc(bytes: number): Range {
    return { address: 256, bytes };
  }

  free(): void {}

  async upload(): Promise<void> {}

  write(): void {}

  async download(): Promise<void> {
    invariant(false, 'a chip that is not there has no results');
  }

  facts(kernel: Kernel): Promise<KernelFacts> {
    return this.#compile(kernel, this.arch);
  }

  async prepare(list: LaunchList): Promise<ReadyList> {
    return { list };
  }

  run(): void {
    invariant(false, 'nothing runs on a chip that is not there');
  }

  async synchronize(): Promise<void> {}

  async dispose(): Promise<void> {}
}
