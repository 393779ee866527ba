// A call on a device that fails between its first copy and its launch kept those copies: found by reading,
// tried by a machine without room for the n-th allocation.

import { expect, it } from 'vitest';
import { BitSet } from '../../dsl/chosen.ts';
import { blockSparse, documents } from '../../patterns/index.ts';
import { compile } from '../../runtime/attend.ts';
import { GpuDevice } from '../../runtime/cuda/device.ts';
import type { Machine, Range } from '../../runtime/cuda/machine.ts';
import { tensor } from '../../runtime/tensor.ts';

/** Takes everything and computes nothing; counts what it holds. */
class CountingMachine implements Machine {
  readonly name = 'counting';
  readonly arch = 'sm_80';
  readonly blockSharedBytes = 99 * 1024;
  readonly multiprocessors = 1;
  readonly held = new Set<number>();
  allocations = 0;
  failAt = Number.POSITIVE_INFINITY;
  #next = 256;

  check(): void {}
  alloc(bytes: number): Range {
    this.allocations += 1;
    if (this.allocations === this.failAt) throw new Error('no room');
    this.#next += 256 * Math.ceil((bytes + 1) / 256);
    this.held.add(this.#next);
    return { address: this.#next, bytes };
  }
  free({ address }: Range): void {
    this.held.delete(address);
  }
  async upload(): Promise<void> {}
  write(): void {}
  async download(): Promise<void> {}
  async facts() {
    return { registers: 0, spillBytes: 0, isSerialized: false };
  }
  async prepare(list: Parameters<Machine['prepare']>[0]) {
    return { list };
  }
  run(): void {}
  async synchronize(): Promise<void> {}
  async dispose(): Promise<void> {}
}

it.each([documents, blockSparse])(
  '$name: what a failed call copied is given back',
  async (pattern) => {
    const machine = new CountingMachine();
    const device = new GpuDevice(machine);
    const q = tensor.random([1, 2, 100, 16], { dtype: 'bf16' });
    const doc = tensor(new Int32Array(100), { shape: [1, 100] });
    const inputs = { q, k: q, v: q, ...(pattern === documents ? { doc } : {}) };
    const attend = await compile(pattern as typeof documents, {
      heads: 2,
      headDim: 16,
      dtype: 'bf16',
      device,
    });
    // The sets of an estimate live as long as somebody holds them: they are passed here.
    const chosen = pattern === blockSparse ? sets() : undefined;
    const call = async () => {
      const { out, lse } = await attend({ ...inputs, chosen } as never);
      out.dispose();
      lse.dispose();
    };
    await call();
    const usual = machine.held.size;
    machine.allocations = 0;
    await call();
    const usualAllocations = machine.allocations;
    expect(machine.held.size).toBe(usual);
    for (machine.failAt = 1; machine.failAt <= usualAllocations; machine.failAt += 1) {
      machine.allocations = 0;
      await expect(call()).rejects.toThrow('no room');
      expect(machine.held.size, `allocation ${machine.failAt} fails`).toBe(usual);
    }
  },
);

function sets() {
  const domain = { rowFrom: 0, rows: 2, columns: 2, arity: 2 } as const;
  const axes = [
    { axis: 'qBlock', size: 64 },
    { axis: 'kBlock', size: 64 },
  ];
  const units = [0, 1].map(() => new BitSet(domain));
  return { blocks: { axes, perGroup: false, units, dense: [false, false] } };
}
