// Times an estimate on a device: the whole list of launches, and every kernel of it alone, after the list has run.

import { hopperArch } from '../../../codegen/attention/legal.ts';
import { estimateLaunch } from '../../../codegen/estimate/index.ts';
import type { LaunchList, Step } from '../../../codegen/kernel.ts';
import { invariant } from '../../../dsl/diagnostic.ts';
import type { EstimateGraph } from '../../../dsl/estimate/trace.ts';
import type { Device, Tensor } from '../../../index.ts';
import { Block, BlockMemory, checkVerdict } from '../../../runtime/cuda/block.ts';
import { notFinite } from '../../../runtime/cuda/error-words.ts';
import { rowStrides } from '../../../runtime/cuda/inputs.ts';
import { layoutOf, placeLayout } from '../../../runtime/cuda/layout.ts';
import type { Machine } from '../../../runtime/cuda/machine.ts';
import { type RoundOptions, stopwatchOn, timeRounds } from '../attention/rounds.ts';
import type { IndexWork } from './works.ts';

export interface Stage {
  /** The kernel; 'all' for the whole list. */
  readonly name: string;
  /** How often it is launched in the list, all of its launches timed together. */
  readonly launches: number;
  /** Of each round, all its launches together. */
  readonly ms: readonly number[];
}

export interface IndexResult {
  readonly work: string;
  readonly stages: readonly Stage[];
  readonly workspaceBytes: number;
  readonly failure: string | null;
}

/** A work with tensors on the device. */
export interface IndexCall {
  readonly q: Tensor;
  readonly k: Tensor;
  readonly graphs: readonly EstimateGraph[];
}

/** throws: what the device throws, and PlanError E004 for scores that are not finite. */
export async function timeWork(
  device: Device & { readonly machine: Machine },
  work: IndexWork,
  { q, k, graphs }: IndexCall,
  options: RoundOptions,
): Promise<IndexResult> {
  const { machine } = device;
  const { shape } = work;
  const strides = [q, k].map((tensor) => {
    const { batch: first, head, row } = rowStrides(tensor);
    return [first, head, row] as const;
  });
  const launch = estimateLaunch({
    graphs,
    shape,
    dtype: 'bf16',
    strides: { q: strides[0]!, k: strides[1]! },
    backend: machine.arch === hopperArch ? 'hopper' : 'portable',
    multiprocessors: machine.multiprocessors,
  });
  const { list, results } = launch;
  const layout = layoutOf([...list.workspace, ...results]);
  const block = new Block(machine, layout.bytes);
  try {
    const places: Record<string, number> = { q: addressOf(q), k: addressOf(k) };
    placeLayout(places, layout, block.address);
    const callOf = async (steps: readonly Step[]) => {
      const ready = await machine.prepare({ workspace: [], steps } as LaunchList);
      return async () => machine.run(ready, places);
    };
    const all = await callOf(list.steps);
    await all();
    const offset = places[launch.errorBuffer]! - block.address;
    await checkVerdict({ block, offset, explain: (word) => notFinite(work.pattern, word) });
    const stopwatch = await stopwatchOn(device);
    const [whole] = await timeRounds([all], stopwatch, options);
    const stages: Stage[] = [
      { name: 'all', launches: list.steps.length, ms: whole!.map(({ ms }) => ms) },
    ];
    for (const [name, steps] of byName(list.steps)) {
      // What is added to sums, stage by stage, is undone by the whole.
      await all();
      const [rounds] = await timeRounds([await callOf(steps)], stopwatch, options);
      stages.push({ name, launches: steps.length, ms: rounds!.map(({ ms }) => ms) });
    }
    const workspaceBytes = list.workspace.reduce((sum, { bytes }) => sum + bytes, 0);
    return { work: work.name, stages, workspaceBytes, failure: null };
  } finally {
    block.release();
  }
}

function addressOf({ memory }: Tensor): number {
  invariant(memory instanceof BlockMemory, 'the tensor is on the device');
  return memory.address;
}

/** The steps of each kernel, in the order of their first launches; fills together. */
function byName(steps: readonly Step[]): Map<string, Step[]> {
  const found = new Map<string, Step[]>();
  for (const step of steps) {
    const name = step.op === 'fill' ? 'fills' : step.kernel.name;
    found.set(name, [...(found.get(name) ?? []), step]);
  }
  return found;
}
