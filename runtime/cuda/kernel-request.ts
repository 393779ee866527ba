// What is asked of an attention kernel: the pattern with its numbers and a shape, and what the kernel's text is made from.

import type { Choice } from '../../codegen/attention/choice.ts';
import type { Lengths } from '../../codegen/attention/lengths.ts';
import type { AttentionSpec } from '../../codegen/attention/spec.ts';
import { type Definition, lifted, restSize } from '../../dsl/definition.ts';
import { DeviceError, diagnostic } from '../../dsl/diagnostic.ts';
import { isPerGroup } from '../../dsl/estimate/node.ts';
import type { EstimateGraph } from '../../dsl/estimate/trace.ts';
import { mentions } from '../../dsl/expression.ts';
import { type BoundParameters, isFixed } from '../../dsl/given.ts';
import type { BackendShape } from '../backend.ts';

export interface KernelRequest {
  readonly definition: Definition;
  /** The numbers of one head; fixed ones become constants of the kernel. */
  readonly numbers: Readonly<Record<string, number>>;
  /** The estimate of one head. */
  readonly graph: EstimateGraph;
  readonly shape: Pick<BackendShape, 'headDim' | 'valueDim' | 'dtype'>;
  readonly segments: boolean;
  /** Whether another kernel attends to some of the units. */
  readonly hasTurns?: boolean;
  /** No key at all: boxes of tensors without rows cannot be. */
  readonly empty?: boolean;
  /** Of the call; where they are not known yet, what is best for all lengths is taken. */
  readonly lengths?: Lengths | undefined;
  /** Query heads of a KV head that are all launched, with the same numbers; 1 when left out. */
  readonly group?: number;
  /** The one to make, whatever is known to be best: for tuning. */
  readonly choice?: Choice | undefined;
}

/** Query heads of a KV head that a launch has all of, with the same numbers to ask pairs with: 1 where they differ. */
export function groupOf(
  definition: Definition,
  params: BoundParameters,
  { heads, kvHeads }: Pick<BackendShape, 'heads' | 'kvHeads'>,
  launched: readonly number[],
): number {
  const { mask, score } = lifted(definition);
  const group = heads / kvHeads;
  const asks = (name: string): boolean =>
    mentions(mask, 'param', name) || (score !== undefined && mentions(score, 'param', name));
  const differs = Object.entries(params).some(
    ([name, values]) =>
      typeof values !== 'number' &&
      values.some((value, head) => value !== values[head - (head % group)]) &&
      asks(name),
  );
  return differs || launched.length < heads ? 1 : group;
}

/** throws: DeviceError R013 for a dtype or dimensions that CUDA has no kernel for. */
export function checkKernelShape({ headDim, valueDim, dtype }: KernelRequest['shape']): void {
  const refuse = (what: string, help: string): never => {
    throw new DeviceError([diagnostic('R013', what, { help })]);
  };
  if (dtype === 'fp32') refuse('CUDA has no kernel for fp32', "convert q, k and v: q.to('bf16')");
  for (const [name, dim] of [
    ['head', headDim],
    ['value', valueDim],
  ] as const) {
    if (dim % 8 !== 0 || dim > 256 || dim === 0)
      refuse(
        `CUDA has no kernel for a ${name} dimension of ${dim}`,
        'it takes multiples of 8 up to 256: append zeros',
      );
  }
}

/** What a kernel is made for, but for its tile. throws: DeviceError R013. */
export function specOf(request: KernelRequest): Omit<AttentionSpec, 'knobs'> {
  const { definition, numbers, graph, shape, segments, hasTurns = false } = request;
  checkKernelShape(shape);
  const { headDim, valueDim } = shape;
  const dtype = shape.dtype as AttentionSpec['dtype'];
  const { declarations, mask, score } = lifted(definition);
  const fixed = Object.entries(definition.given).flatMap(([name, entry]) =>
    isFixed(entry) ? [[name, numbers[name]!] as const] : [],
  );
  const perGroup = Object.entries(graph).filter(([, node]) => isPerGroup(node));
  return {
    declarations,
    mask,
    score,
    fixed: Object.fromEntries(fixed),
    gather: definition.knobs.gather,
    // A pattern without sets drops nothing that stand-ins could stand for; only such are packed.
    restSize: segments ? undefined : restSize(definition, numbers),
    perGroup: new Set(perGroup.map(([name]) => name)),
    dtype,
    headDim,
    valueDim,
    segments,
    hasTurns,
  };
}
