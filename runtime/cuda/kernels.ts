// Which attention kernel serves a call: the text for the pattern and its fixed numbers, with the knobs that were
// measured to be the fastest, else with the first of the table that the machine has room for and that needs no spills.

import { type Choice, kernelOf } from '../../codegen/attention/choice.ts';
import type { AttentionKernel } from '../../codegen/attention/kernel.ts';
import { lengthClass } from '../../codegen/attention/lengths.ts';
import type { AttentionSpec } from '../../codegen/attention/spec.ts';
import { hasTile, leftAside, statedText, statesTile } from '../../codegen/attention/stated.ts';
import { invariant } from '../../dsl/diagnostic.ts';
import type { Knobs } from '../../dsl/schedule.ts';
import { kernelId, textId } from '../tuner/key.ts';
import { isTunedOff, tunedStore } from '../tuner/store.ts';
import { defaultChoices, fits } from './candidates.ts';
import { type KernelRequest, specOf } from './kernel-request.ts';
import type { Machine } from './machine.ts';

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
  if (!chip || !lengths || statesTile(definition.knobs)) return undefined;
  const spec = specOf(request);
  const store = tunedStore();
  const kernel = kernelId(spec, statedText(definition.knobs));
  const best = store.best({ ...chip, kernel, length: lengthClass(lengths) });
  if (!best || !fits(request, machine, best.choice)) return undefined;
  const tuned = made(spec, best.choice, true);
  return tuned && !store.isBad(textId(tuned.kernel), chip) ? tuned : undefined;
}

/** Did a tuning on this chip find a kernel to fail, hang or be wrong? */
const isBad = ({ kernel }: ChosenKernel, { chip }: Machine): boolean =>
  chip !== undefined && !isTunedOff() && tunedStore().isBad(textId(kernel), chip);

/** Has a choice what its author states, where the other has not? Of two back-ends with one stated tile, the first. */
const outranks = (knobs: Knobs, choice: Choice, other: Choice): boolean =>
  hasTile(knobs)
    ? choice.backend !== other.backend
    : leftAside(knobs, choice).length < leftAside(knobs, other).length;

/**
 * The first that the compiler has registers enough for; where none is, the last as it is, a bad one only where all
 * are. What is stated is taken, spills and all: they cost time and change no result, and the author may know that it
 * is time well spent. Texts are written one by one: the first choice is nearly always taken.
 */
async function firstFitting(
  choices: readonly Choice[],
  request: KernelRequest,
  machine: Machine,
): Promise<ChosenKernel> {
  const spec = specOf(request);
  const { knobs } = request.definition;
  let last: ChosenKernel | undefined;
  let lastBad: ChosenKernel | undefined;
  for (const choice of choices) {
    if (last && outranks(knobs, last.choice, choice)) return last;
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
  return firstFitting(defaultChoices(request, machine), request, machine);
}

/**
 * The kernel whose results others are held against: portable, as it runs on every chip and in the emulator. It need not be
 * fast: the compiler is not asked whether it spills.
 */
export function referenceKernel(request: KernelRequest, machine: Machine): ChosenKernel {
  const spec = specOf(request);
  let last: ChosenKernel | undefined;
  for (const choice of defaultChoices(request, machine)) {
    const kernel = choice.backend === 'portable' ? made(spec, choice) : undefined;
    if (kernel && !isBad(kernel, machine)) return kernel;
    last = kernel ?? last;
  }
  invariant(last, 'there is no portable kernel for a call that was checked');
  return last;
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
