// Kernels as the verbs show them: what the compiler says of each, and how often a call launches it.

import { InvalidArgumentError } from 'commander';
import { type Choice, choiceName } from '../../codegen/attention/choice.ts';
import { hasTile, isStated, leftAside } from '../../codegen/attention/stated.ts';
import { scoresBuffer } from '../../codegen/estimate/places.ts';
import type { Kernel, LaunchList } from '../../codegen/kernel.ts';
import type { Diagnostic } from '../../dsl/diagnostic.ts';
import { bytesText, grouped } from '../../dsl/plan/explain.ts';
import { archOf, ownArch } from '../cuda/arch.ts';
import { compileKernel } from '../cuda/compiler.ts';
import { kernelsOf, launchesOf, type PartLaunches } from '../cuda/launches.ts';
import type { ChipName, Machine } from '../cuda/machine.ts';
import { cudaDevices } from '../cuda/native.ts';
import type { Remark } from '../cuda/report.ts';
import type { HullSplit } from '../hulls.ts';
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
  /** Of these, the scores of an estimate that no kernel sums as it makes them, held at once. */
  readonly scoreBytes: number;
  readonly attention: ChoiceData;
  readonly kernels: readonly KernelFigures[];
}

/** How an attention kernel is made. */
export interface ChoiceData {
  readonly backend: Choice['backend'];
  readonly knobs: Choice['knobs'];
  /** Whether a tuning on this chip found it, or the table of defaults has it. */
  readonly isTuned: boolean;
  /** Whether the tile is the one that the schedule states: it is taken, spills and all. */
  readonly isStated: boolean;
  /** Knobs that the schedule states and this back-end does not have. */
  readonly leftAside: readonly string[];
}

/** The CUDA half of an explanation: kernels, or why there are none to show. */
export type CudaExplanation = { readonly arch: string } & (
  | { readonly parts: readonly CudaPart[] }
  | { readonly reason: Diagnostic }
);

/** `sm_90`, or what the first GPU of this machine is. */
export function usualArch(): string {
  const [gpu] = cudaDevices().devices;
  return gpu ? archOf(gpu) : 'sm_90';
}

/** An architecture that kernels can be made for, if the compiler knows it. */
export function archFrom(text: string): string {
  const [, number] = /^sm_(\d+)[af]?$/.exec(text) ?? [];
  if (!(Number(number) >= 80))
    throw new InvalidArgumentError('Give one from sm_80 on: sm_80, sm_90, sm_90a.');
  return text;
}

/** The GPU of this machine that is of an architecture: what was tuned there holds. */
export function chipOf(arch: string): ChipName | undefined {
  const { devices, driver } = cudaDevices();
  const gpu = devices.find((one) => ownArch(one) === arch);
  return gpu && driver !== undefined ? { chip: gpu.name, driver } : undefined;
}

const choiceData = ({ definition, attention }: PartLaunches): ChoiceData => {
  const { choice, isTuned } = attention;
  const { knobs } = definition;
  return {
    ...choice,
    isTuned,
    isStated: hasTile(knobs) && isStated(knobs, choice),
    leftAside: leftAside(knobs, choice),
  };
};

/** How the attention kernels of a call are made on a machine, one for each distinct pattern. */
export async function choicesOf(call: CheckedCall, { arch, chip }: Machine): Promise<ChoiceData[]> {
  const launches = await launchesOf(call, arch, chip);
  return launches.map(choiceData);
}

/** A call as it runs where some heads attend to the hull of their mask. */
export function runningAs(call: CheckedCall, split: HullSplit): CheckedCall {
  const { parts, given } = split.of(call.inputs.given);
  return { ...call, parts, inputs: { ...call.inputs, given } };
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
    const launches = await launchesOf(call, arch, chipOf(arch));
    const parts = launches.map(async (part) => ({
      pattern: part.definition.name,
      workspaceBytes: part.workspaceBytes,
      scoreBytes: scoreBytesOf(part.lists),
      attention: choiceData(part),
      kernels: await figuresOf(part.lists, arch),
    }));
    return { arch, parts: await Promise.all(parts) };
  } catch (error) {
    const [reason] = diagnosticsOf(error) ?? [];
    if (!reason) throw error;
    return { arch, reason };
  }
}

/** Throws DeviceError R010 for an architecture that the NVRTC of this machine does not know; of other reasons it is silent. */
export async function checkArch(arch: string): Promise<void> {
  try {
    // Of suffixes, as in sm_80a, only the compiler itself can tell.
    await compileKernel({ name: 'probe', source: 'extern "C" __global__ void probe() {}' }, arch);
  } catch (error) {
    if (diagnosticsOf(error)?.some(({ code }) => code === 'R010')) throw error;
  }
}

const scoreBytesOf = (lists: readonly LaunchList[]): number =>
  lists
    .flatMap(({ workspace }) => workspace)
    .reduce((sum, { name, bytes }) => sum + (name === scoresBuffer ? bytes : 0), 0);

export function cudaText(explanation: CudaExplanation): string {
  const { arch } = explanation;
  if ('reason' in explanation) {
    const { what, help } = explanation.reason;
    return `kernels for ${arch}: ${what}${help === undefined ? '' : ` (${help})`}`;
  }
  return explanation.parts
    .map(({ pattern, workspaceBytes, scoreBytes, attention, kernels }) => {
      const workspace = workspaceBytes === 0 ? 'no workspace' : bytesText(workspaceBytes);
      const of = explanation.parts.length > 1 ? ` of ${pattern}` : '';
      const heading = `kernels${of} for ${arch}, ${workspace}${workspaceBytes === 0 ? '' : ' of workspace'}`;
      const made = choiceName(attention as Choice);
      const aside =
        attention.leftAside.length > 0 ? `; it has no ${attention.leftAside.join(', ')}` : '';
      const why = `${attention.isTuned ? 'tuned on this GPU' : 'not tuned'}${aside}`;
      const kept =
        scoreBytes === 0
          ? ''
          : `scores of the estimate are kept in memory, ${bytesText(scoreBytes)} at once: no kernel sums or selects them as it makes them\n`;
      const spills = spillsText(attention, kernels);
      return `${heading}\n${kept}attention is ${made} (${why})\n${spills}${figuresText(kernels)}`;
    })
    .join('\n\n');
}

/** What a stated tile costs for want of registers; nothing where there are enough. */
function spillsText({ isStated }: ChoiceData, kernels: readonly KernelFigures[]): string {
  const { spillBytes = 0 } = kernels.find(({ kernel }) => kernel === 'attention') ?? {};
  if (!isStated || spillBytes === 0) return '';
  return `the stated tile spills ${bytesText(spillBytes)} a thread, which takes time and changes no result: a smaller qTile or kTile spills less, and without them a tile is taken that spills nothing where there is one\n`;
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
