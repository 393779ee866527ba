// What a process that tries kernels is told, and what it answers. A kernel that never ends can only be ended with its
// process; so the device lives in another one, and everything that is done there is a command.

import type { LaunchList } from '../../codegen/kernel.ts';
import { Struct } from '../../codegen/struct.ts';
import { DeviceError, type Diagnostic, PatternError } from '../../dsl/diagnostic.ts';
import type { CompiledKernel } from '../cuda/compiler.ts';
import type { KernelFacts, Machine, Places } from '../cuda/machine.ts';
import type { CudaProperties } from '../cuda/native.ts';

/** Memory that is asked for lies at multiples of it: no device has more. Whose an address is can be told at once. */
export const addressStride = 2 ** 37;

/** Addresses are those of the process that asks: the other one knows what lies behind them. */
export type Command =
  | {
      readonly op: 'alloc';
      readonly address: number;
      readonly bytes: number;
      /** Filled with ones, which are no numbers: what is read without having been written shows. */
      readonly isMarked: boolean;
    }
  | { readonly op: 'free'; readonly address: number }
  | { readonly op: 'upload' | 'write'; readonly address: number; readonly bytes: Uint8Array }
  | { readonly op: 'download'; readonly address: number; readonly bytes: number }
  | { readonly op: 'prepare'; readonly id: number; readonly list: LaunchList }
  | { readonly op: 'run'; readonly id: number; readonly places: Places }
  | { readonly op: 'event'; readonly id: number }
  | { readonly op: 'elapsed'; readonly from: number; readonly to: number }
  | { readonly op: 'synchronize' };

/** A kernel to be compiled into the cache. */
export interface Compilation {
  readonly name: string;
  readonly source: string;
  readonly arch: string;
  /** The folder of what is compiled ahead, where it goes there. */
  readonly ahead?: string | undefined;
}

/** What the compiler says of it, whether it was kept already, and how long this took. */
export type CompilationReply = KernelFacts & Pick<CompiledKernel, 'fromCache' | 'milliseconds'>;

/** The device that a process has opened. */
export type DeviceFacts = Pick<
  Machine,
  'name' | 'arch' | 'blockSharedBytes' | 'multiprocessors' | 'chip'
> & { readonly properties: CudaProperties | undefined };

export interface Question {
  readonly id: number;
  readonly body: unknown;
}

export interface Answer {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: PlainError;
}

/** An error on its way between processes. */
export interface PlainError {
  readonly message: string;
  readonly diagnostics?: readonly Diagnostic[] | undefined;
}

export const plainError = (error: unknown): PlainError => ({
  message: error instanceof Error ? error.message : String(error),
  diagnostics: error instanceof PatternError ? error.diagnostics : undefined,
});

export function errorOf({ message, diagnostics = [] }: PlainError): Error {
  const [first, ...others] = diagnostics;
  return first ? new DeviceError([first, ...others]) : new Error(message);
}

/** A list that was sent: its arguments know again how they are packed. */
export const revivedList = ({ workspace, steps }: LaunchList): LaunchList => ({
  workspace,
  steps: steps.map((step) => {
    if (step.op !== 'launch') return step;
    const { name, fields } = step.kernel.params;
    return { ...step, kernel: { ...step.kernel, params: new Struct(name, fields) } };
  }),
});
