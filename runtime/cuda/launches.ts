// The launch lists of a call that is looked at and not run: the same that a device of the architecture
// would be given. Of tensors, or of sizes alone.

import type { RowStrides } from '../../codegen/attention/call.ts';
import type { Kernel, LaunchList } from '../../codegen/kernel.ts';
import { type Definition, hullDefinition } from '../../dsl/definition.ts';
import { parametersOf } from '../../dsl/given.ts';
import { stridesOf } from '../dtype.ts';
import type { CheckedCall } from '../plans.ts';
import type { Tensor } from '../tensor.ts';
import { type CallFacts, Calls } from './calls.ts';
import { checkKernelShape } from './kernel-request.ts';
import type { ChosenKernel } from './kernels.ts';
import type { ChipName } from './machine.ts';
import { OfflineMachine } from './offline.ts';

/** One distinct pattern of a call, or what its heads fall back to. */
export interface PartLaunches {
  readonly definition: Definition;
  readonly heads: readonly number[];
  /** Of its first head: fixed ones are constants of the kernels. */
  readonly numbers: Readonly<Record<string, number>>;
  readonly attention: ChosenKernel;
  /** The estimate first, where there is one. */
  readonly lists: readonly LaunchList[];
  /** Device memory beside tensors and results: that of the lists, and the sets between them. Bytes. */
  readonly workspaceBytes: number;
}

/**
 * What a call launches on a chip of an architecture such as `sm_90`; on `chip` as it was tuned there. throws: DeviceError R009 without NVRTC,
 * R010 for an architecture that it does not know, R013 for a call without kernels; PlanError E010.
 */
export const launchesOf = (
  call: CheckedCall,
  arch: string,
  chip?: ChipName,
): Promise<PartLaunches[]> => launchesOn(new OfflineMachine(arch, chip), call);

/** The same on a machine that is there for this alone. */
export async function launchesOn(
  machine: OfflineMachine,
  { parts, inputs, shape, dtype, fallbacks }: CheckedCall,
): Promise<PartLaunches[]> {
  checkKernelShape({ ...shape, dtype });
  const calls = new Calls(machine);
  const { batch, heads, kvHeads, qLen, kLen, headDim, valueDim } = shape;
  // By the sizes of the call: tensors that stand in for sizes alone have another last dimension.
  const strides = ({ layout }: Tensor, axes: readonly number[]): RowStrides => {
    const [first = 0, second = 0, third = 0] = stridesOf(axes, layout);
    return { batch: first, head: second, row: third };
  };
  const { q, k, v } = inputs;
  const rows = {
    q: strides(q, [batch, heads, qLen, headDim]),
    k: strides(k, [batch, kvHeads, kLen, headDim]),
    v: strides(v, [batch, kvHeads, kLen, valueDim]),
    out: strides(q, [batch, heads, qLen, valueDim]),
  };
  const launches: PartLaunches[] = [];
  for (const [i, part] of parts.entries()) {
    const facts: CallFacts = { part, shape, dtype, strides: rows, given: inputs.given[i]! };
    const fallback = fallbacks?.[i];
    const chosen = fallback ? { ...facts, fallback, turn: 'chosen' as const } : facts;
    const isDynamic = part.definition.estimates.length > 0;
    const estimate = isDynamic ? await calls.estimate(chosen) : undefined;
    const { ready, attention, workspace } = await calls.attention(chosen, estimate?.sets ?? {});
    const numbers = parametersOf(facts.given.params, part.heads[0] ?? 0);
    launches.push({
      ...part,
      numbers,
      attention,
      lists: [...(estimate ? [estimate.ready.list] : []), ready.list],
      workspaceBytes:
        workspace.bytes + (estimate ? estimate.workspace.bytes + estimate.results.bytes : 0),
    });
    if (!estimate?.fallback) continue;
    const hull = { ...part, definition: hullDefinition(part.definition) };
    const other = await calls.attention({ ...chosen, part: hull, turn: 'hull' }, {});
    launches.push({
      ...hull,
      numbers,
      attention: other.attention,
      lists: [other.ready.list, estimate.fallback.finish.ready.list],
      workspaceBytes: other.workspace.bytes,
    });
  }
  return launches;
}

/** The kernels of lists in the order of their first launch, each text once. */
export function kernelsOf(lists: readonly LaunchList[]): Kernel[] {
  const kernels = new Map<string, Kernel>();
  for (const { steps } of lists)
    for (const step of steps)
      if (step.op === 'launch' && !kernels.has(step.kernel.source))
        kernels.set(step.kernel.source, step.kernel);
  return [...kernels.values()];
}
