// Kernels as the verbs show them: what the compiler says of each, and how often a call launches it.

import type { Kernel, LaunchList } from '../../codegen/kernel.ts';
import type { Diagnostic } from '../../dsl/diagnostic.ts';
import { bytesText, grouped } from '../../dsl/plan/explain.ts';
import { compileKernel } from '../cuda/compiler.ts';
import { kernelsOf, launchesOf } from '../cuda/launches.ts';
import { cudaDevices } from '../cuda/native.ts';
import type { Remark } from '../cuda/report.ts';
import type { CheckedCall } from '../plans.ts';
import { diagnosticsOf } from './failure.ts';
import { table } from './terminal.ts';

/** A kernel and what it takes; bytes where the name says so. */
export interface KernelFigures {
  readonly kernel: string;
  /** How often the call launches it, and the blocks of all launches together. */
  readonly launches: number;
  readonly blocks: number;
  readonly threads: number;
  /** Per block: dynamic, and declared by the text. */
  readonly sharedBytes: number;
  /** Per thread. */
  readonly registers: number;
  readonly spillBytes: number;
  readonly remarks: readonly Remark[];
}

/** What a call of one pattern does on a chip. */
export interface CudaPart {
  readonly pattern: string;
  readonly workspaceBytes: number;
  readonly kernels: readonly KernelFigures[];
}

/** The CUDA half of an explanation: kernels, or why there are none to show. */
export type CudaExplanation = { readonly arch: string } & (
  | { readonly parts: readonly CudaPart[] }
  | { readonly reason: Diagnostic }
);

/** `sm_90`, or what the first GPU of this machine is. */
export function usualArch(): string {
  const [gpu] = cudaDevices().devices;
  return gpu ? `sm_${gpu.major}${gpu.minor}` : 'sm_90';
}

/** Kernels of lists in the order of their first launch, compiled for an architecture. */
export function figuresOf(lists: readonly LaunchList[], arch: string): Promise<KernelFigures[]> {
  const steps = lists.flatMap((list) => list.steps);
  return Promise.all(
    kernelsOf(lists).map(async (kernel: Kernel): Promise<KernelFigures> => {
      const { report } = await compileKernel(kernel, arch);
      const grids = steps.flatMap((step) =>
        step.op === 'launch' && step.kernel.source === kernel.source ? [step.grid] : [],
      );
      return {
        kernel: kernel.name,
        launches: grids.length,
        blocks: grids.reduce((sum, [x, y, z]) => sum + x * y * z, 0),
        threads: kernel.threads,
        sharedBytes: kernel.sharedBytes + report.staticShared,
        registers: report.registers,
        spillBytes: report.spillStores + report.spillLoads,
        remarks: report.remarks,
      };
    }),
  );
}

/** What a call does on a chip. Never throws errors of ours: without NVRTC, or without kernels, it says so. */
export async function explainCuda(call: CheckedCall, arch: string): Promise<CudaExplanation> {
  try {
    const launches = await launchesOf(call, arch);
    const parts = launches.map(async ({ definition, workspaceBytes, lists }) => ({
      pattern: definition.name,
      workspaceBytes,
      kernels: await figuresOf(lists, arch),
    }));
    return { arch, parts: await Promise.all(parts) };
  } catch (error) {
    const [reason] = diagnosticsOf(error) ?? [];
    if (!reason) throw error;
    return { arch, reason };
  }
}

export function cudaText(explanation: CudaExplanation): string {
  const { arch } = explanation;
  if ('reason' in explanation) {
    const { what, help } = explanation.reason;
    return `kernels for ${arch}: ${what}${help === undefined ? '' : ` (${help})`}`;
  }
  return explanation.parts
    .map(({ pattern, workspaceBytes, kernels }) => {
      const workspace = workspaceBytes === 0 ? 'no workspace' : bytesText(workspaceBytes);
      const of = explanation.parts.length > 1 ? ` of ${pattern}` : '';
      return `kernels${of} for ${arch}, ${workspace}${workspaceBytes === 0 ? '' : ' of workspace'}\n${figuresText(kernels)}`;
    })
    .join('\n\n');
}

/** Without `sizes`, what depends on the sizes of the call is left out. */
export function figuresText(
  figures: readonly KernelFigures[],
  { sizes = true }: { sizes?: boolean } = {},
): string {
  const title = [
    'kernel',
    ...(sizes ? ['launches', 'blocks'] : []),
    ...['threads', 'shared', 'registers', 'spilled'],
  ];
  const rows = figures.map((one) => [
    one.kernel,
    ...(sizes ? [String(one.launches), grouped(one.blocks)] : []),
    String(one.threads),
    bytesText(one.sharedBytes),
    String(one.registers),
    bytesText(one.spillBytes),
  ]);
  return table([title, ...rows]);
}
