// Which attention kernel serves a call: the text for the pattern and its fixed numbers, with the knobs that were
// measured to be the fastest, else with the first of the table that the machine has room for and that needs no spills.

import { type Choice, kernelOf } from '../../codegen/attention/choice.ts';
import type { AttentionKernel, AttentionSpec } from '../../codegen/attention/kernel.ts';
import { type Lengths, lengthClass } from '../../codegen/attention/lengths.ts';
import { type Definition, lifted, restSize } from '../../dsl/definition.ts';
import { DeviceError, diagnostic, invariant } from '../../dsl/diagnostic.ts';
import { isPerGroup } from '../../dsl/estimate/node.ts';
import type { EstimateGraph } from '../../dsl/estimate/trace.ts';
import { isFixed } from '../../dsl/given.ts';
import type { BackendShape } from '../backend.ts';
import { kernelId, textId } from '../tuner/key.ts';
import { isTunedOff, tunedStore } from '../tuner/store.ts';
import { defaultChoices, fits, listsOf, statesTile } from './candidates.ts';
import type { Machine } from './machine.ts';

export interface KernelRequest {
  readonly definition: Definition;
  /** The numbers of one head; fixed ones become constants of the kernel. */
  readonly numbers: Readonly<Record<string, number>>;
  /** The estimate of one head. */
  readonly graph: EstimateGraph;
  readonly shape: Pick<BackendShape, 'headDim' | 'valueDim' | 'dtype'>;
  readonly segments: boolean;
  /** No key at all: boxes of tensors without rows cannot be. */
  readonly empty?: boolean;
  /** Of the call; where they are not known yet, what is best for all lengths is taken. */
  readonly lengths?: Lengths | undefined;
  /** The one to make, whatever is known to be best: for tuning. */
  readonly choice?: Choice | undefined;
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
  const { definition, numbers, graph, shape, segments } = request;
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
  };
}

/** A kernel, and why it is this one. */
export interface ChosenKernel extends AttentionKernel {
  readonly choice: Choice;
  /** Measured on this machine, not taken from the table of defaults. */
  readonly isTuned: boolean;
}

/** The kernel of a choice; undefined where the pattern leaves no room for it. */
function made(
  spec: Omit<AttentionSpec, 'knobs'>,
  choice: Choice,
  isTuned = false,
): ChosenKernel | undefined {
  const kernel = kernelOf(spec, choice);
  return kernel.problem === undefined ? { ...kernel, choice, isTuned } : undefined;
}

/** The winner of a tuning for calls like this on this chip, where its author leaves the choice. */
function tunedKernel(request: KernelRequest, machine: Machine): ChosenKernel | undefined {
  const { definition, lengths } = request;
  const { chip } = machine;
  if (!chip || !lengths || statesTile(definition)) return undefined;
  const spec = specOf(request);
  const store = tunedStore();
  const kernel = kernelId(spec, listsOf(definition));
  const best = store.best({ ...chip, kernel, length: lengthClass(lengths) });
  if (!best || !fits(request, machine, best.choice)) return undefined;
  const tuned = made(spec, best.choice, true);
  return tuned && !store.isBad(textId(tuned.kernel), chip) ? tuned : undefined;
}

/** Did a tuning on this chip find a kernel to fail, hang or be wrong? */
const isBad = ({ kernel }: ChosenKernel, { chip }: Machine): boolean =>
  chip !== undefined && !isTunedOff() && tunedStore().isBad(textId(kernel), chip);

/**
 * The first that the compiler has registers enough for; where none is, the last as it is, a bad one only where all
 * are. Texts are written one by one: the first choice is nearly always taken.
 */
async function firstFitting(
  choices: readonly Choice[],
  spec: Omit<AttentionSpec, 'knobs'>,
  machine: Machine,
): Promise<ChosenKernel> {
  let last: ChosenKernel | undefined;
  let lastBad: ChosenKernel | undefined;
  for (const choice of choices) {
    const attention = made(spec, choice);
    if (!attention) continue;
    if (isBad(attention, machine)) {
      lastBad = attention;
      continue;
    }
    const { spillBytes, isSerialized } = await machine.facts(attention.kernel);
    if (spillBytes === 0 && !isSerialized) return attention;
    last = attention;
  }
  const left = last ?? lastBad;
  invariant(left, 'there is no kernel for a call that was checked');
  return left;
}

/** The kernel that a call has where nothing was measured. */
export function untunedKernel(request: KernelRequest, machine: Machine): Promise<ChosenKernel> {
  return firstFitting(defaultChoices(request, machine), specOf(request), machine);
}

/** The kernel whose results others are held against: portable, as it runs on every chip and in the emulator. */
export function referenceKernel(request: KernelRequest, machine: Machine): Promise<ChosenKernel> {
  const choices = defaultChoices(request, machine).filter(({ backend }) => backend === 'portable');
  return firstFitting(choices, specOf(request), machine);
}

/**
 * The kernel that was measured to be the fastest, else the untuned one. One that a tuning found to fail, hang or be
 * wrong is not taken while there is another.
 */
export async function chooseKernel(
  request: KernelRequest,
  machine: Machine,
): Promise<ChosenKernel> {
  const { choice } = request;
  if (choice) {
    const kernel = made(specOf(request), choice);
    invariant(kernel, 'a kernel was asked for that cannot be');
    return kernel;
  }
  const tuned = isTunedOff() ? undefined : tunedKernel(request, machine);
  // It was measured, spills and all. Another compiler may refuse it: then there are still the defaults.
  const isMade = tuned && (await machine.facts(tuned.kernel).then(returnTrue, returnFalse));
  return tuned && isMade ? tuned : untunedKernel(request, machine);
}

const returnTrue = (): boolean => true;
const returnFalse = (): boolean => false;
