// Device memory with owners: given back when the last lets it go or it is collected, whichever comes first. Tensors
// and chosen sets hold parts of blocks.

import { DeviceError, diagnostic, invariant, type PatternError } from '../../dsl/diagnostic.ts';
import type { Elements } from '../dtype.ts';
import { DeviceMemory } from '../memory.ts';
import { giveLease, type Lease, takeLease } from './leases.ts';
import type { Machine } from './machine.ts';

/** One allocation, shared by those who hold it: `keep` adds a holder, `release` takes one away. */
export class Block {
  readonly machine: Machine;
  readonly address: number;
  #lease: Lease | undefined;
  #holders = 1;

  constructor(machine: Machine, bytes: number) {
    this.machine = machine;
    this.#lease = takeLease(machine, bytes);
    this.address = this.#lease.range.address;
  }

  keep(): this {
    this.#holders += 1;
    return this;
  }

  /** Whether nobody holds it, and its memory may be another's. */
  get isReleased(): boolean {
    return this.#holders === 0;
  }

  release(): void {
    this.#holders -= 1;
    if (this.#holders > 0) return;
    const lease = this.#lease;
    invariant(lease, 'a block was released more often than it was kept');
    this.#lease = undefined;
    giveLease(this.machine, lease);
  }
}

/** A word on the device that kernels leave all ones, or write what went wrong into. */
export interface Verdict {
  readonly block: Block;
  readonly offset: number;
  /** The error that a word other than all ones stands for. */
  explain(word: bigint): PatternError;
}

/** Waits for the work before and throws what a verdict says. */
export async function checkVerdict({ block, offset, explain }: Verdict): Promise<void> {
  const word = new BigUint64Array(1);
  await block.machine.download(block.address + offset, word);
  if (word[0] !== 0xffff_ffff_ffff_ffffn) throw explain(word[0]!);
}

/** Elements at an offset of a block; reading them asks the verdicts first. */
export class BlockMemory extends DeviceMemory {
  readonly block: Block;
  readonly offset: number;
  readonly #verdicts: readonly Verdict[];
  #disposed = false;

  /** Takes over one holder of the block, and one of the block of each verdict. */
  constructor(block: Block, offset = 0, verdicts: readonly Verdict[] = []) {
    super();
    this.block = block;
    this.offset = offset;
    this.#verdicts = verdicts;
  }

  get device(): string {
    return this.block.machine.name;
  }

  /** Throws DeviceError R003 after `dispose`. */
  get address(): number {
    if (this.#disposed) {
      throw new DeviceError([
        diagnostic('R003', 'this tensor was disposed', { help: 'keep it until its last use' }),
      ]);
    }
    return this.block.address + this.offset;
  }

  async read(into: Elements): Promise<void> {
    const { address } = this;
    // Who disposes of the tensor meanwhile does not give its memory to others yet.
    this.#keep();
    try {
      for (const verdict of this.#verdicts) await checkVerdict(verdict);
      await this.block.machine.download(address, into);
    } finally {
      this.#release();
    }
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#release();
  }

  #keep(): void {
    this.block.keep();
    for (const { block } of this.#verdicts) block.keep();
  }

  #release(): void {
    this.block.release();
    for (const { block } of this.#verdicts) block.release();
  }
}
