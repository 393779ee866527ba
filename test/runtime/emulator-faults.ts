// How the tests of faults are run: a kernel with one line that breaks a rule, beside one that keeps it.

import { expect, it } from 'vitest';
import type { Kernel, LaunchList } from '../../codegen/kernel.ts';
import { type FaultKind, KernelFault } from '../../runtime/emulator/fault.ts';
import { type Contents, type EmulatorOptions, runEmulated } from '../../runtime/emulator/run.ts';

export interface FaultCase {
  readonly kind: FaultKind;
  /** The body of the kernel; `wrong` and `right` stand where it says LINE. */
  readonly body: string;
  readonly wrong: string;
  readonly right: string;
  readonly threads?: number;
  readonly blocks?: number;
  readonly options?: EmulatorOptions;
  /** A part of the message. */
  readonly says?: string;
}

export interface FaultyLaunch {
  readonly kernel: Kernel;
  readonly list: LaunchList;
  readonly buffers: Readonly<Record<string, Contents>>;
}

/** A test of each wrong line, which has to be the fault that it says, and of each right one. */
export function checkFaults(
  cases: Readonly<Record<string, FaultCase>>,
  made: (one: FaultCase, line: string) => FaultyLaunch,
): void {
  it.each(Object.entries(cases))('is %s', async (_, one) => {
    const { kernel, list, buffers } = made(one, one.wrong);
    const error = await runEmulated(list, buffers, one.options).then(
      () => undefined,
      (found: unknown) => found,
    );
    expect(error).toBeInstanceOf(KernelFault);
    const fault = error as KernelFault;
    expect(fault.kind, fault.message).toBe(one.kind);
    if (one.says !== undefined) expect(fault.message).toContain(one.says);
    // The line is one of the body.
    const from = kernel.source.split('\n').findIndex((line) => line.includes('__global__'));
    expect(fault.line, fault.message).toBeGreaterThan(one.kind === 'crash' ? 0 : from);
  });

  it.each(Object.entries(cases))('is not what stands beside %s', async (_, one) => {
    for (const seed of [0, 1, 2]) {
      const { list, buffers } = made(one, one.right);
      await runEmulated(list, buffers, { ...one.options, seed });
    }
  });
}
